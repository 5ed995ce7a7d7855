"""Families of generators: what their slots are, and how an arch becomes a network."""
