"""Trained teachers that come with the package: weights of 16 bits, and where each comes from."""
