"""The stages of a compression, and what is checked before the first of them."""
