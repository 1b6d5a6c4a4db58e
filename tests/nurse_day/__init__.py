"""A day of a hospital with a scripted nurse: a long run, of which the test suite has a short one."""
