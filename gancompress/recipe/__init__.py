"""Recipes: reading them, checking them, and saying what is wrong."""
