"""Real processes under faults, and a judge that is not the code under test."""
