"""A day of a hospital with a scripted nurse: a long run, not a part of the test suite."""
