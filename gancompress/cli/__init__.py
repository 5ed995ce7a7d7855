"""The command line; nothing else reads its arguments."""
