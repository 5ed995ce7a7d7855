"""SHA-256 of files, and of settings with the files that they go with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gancompress.errors import DataError
from gancompress.storage.regularfiles import name_bytes, open_regular

Digests = Callable[[Sequence[Path]], Sequence[str]]  # SHA-256 of files, perhaps known already


def file_digest(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes. Raises: DataError naming a file that is gone."""
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); put it back") from None


def file_digests(files: Sequence[Path]) -> list[str]:
    """`file_digest` of each."""
    return [file_digest(path) for path in files]


def files_digest(
    settings: object,
    files: Iterable[Path],
    digests: Digests = file_digests,
    beside: Sequence[str] = (),
) -> str:
    """Hexadecimal SHA-256 of settings (plain JSON values) and of names and bytes of the files.

    beside: a text for each file that counts too, if any.
    """
    digest, listed = hashlib.sha256(json.dumps(settings).encode()), list(files)
    texts = [f"{text}\n" for text in beside] or [""] * len(listed)
    for path, text, told in zip(listed, texts, digests(listed), strict=True):
        digest.update(name_bytes(f"\n{path.name}\n{text}{told}"))
    return digest.hexdigest()
