"""Archs, and the search spaces that hold them."""
