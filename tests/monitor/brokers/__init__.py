"""Tests of the local brokers."""
