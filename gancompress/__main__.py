"""`gancompress`, and `python -m gancompress`."""

from __future__ import annotations

from gancompress.process import settle


def main() -> None:
    """The `gancompress` command. Exit codes: 0 done, 2 refused in one sentence, 130 stopped."""
    settle()
    from gancompress.cli import app  # only now, because it imports torch

    app()


if __name__ == "__main__":
    main()
