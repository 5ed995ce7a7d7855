"""The supernet, what is known of its channels, and what its subnets cost."""
