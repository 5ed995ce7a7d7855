"""Timing teacher and compressed generators in every format."""
