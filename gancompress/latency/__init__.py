"""Latency: the table of layers, and how it is measured."""
