"""What is done with a compressed generator: apply, sample, demo."""
