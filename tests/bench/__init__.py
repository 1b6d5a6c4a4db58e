"""Measurements on running processes, with limits that make the exit code; none is a part of the test suite."""
