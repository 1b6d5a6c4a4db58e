"""A simulated week of a large ward, and whether what a worker takes stays flat."""
