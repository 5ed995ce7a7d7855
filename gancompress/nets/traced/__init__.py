"""A trained generator as a graph of ATen operators: traced, taken apart into channels, rebuilt."""
