"""Tests of the live budget."""
