"""Training: the loop, precision, several processes, health."""
