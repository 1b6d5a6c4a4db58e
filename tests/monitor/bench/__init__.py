"""Tests of the measurements of `sepsis-monitor bench`."""
