"""`python -m gancompress` is the `gancompress` command."""

from gancompress.cli import main

main()
