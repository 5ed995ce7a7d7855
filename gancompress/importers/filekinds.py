"""What a file is that is no checkpoint, told by its first bytes; nothing in it is opened."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gancompress.storage.regularfiles import open_regular

HEAD = 512  # Bytes that tell what a file is; a tar archive says so at 257.
_NAMED = 3  # names of an archive's files that are shown
_AGAIN = "copy or download it again"
_STATE = "save the network's state_dict() alone, in the program that made it"
_ARCHIVES = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z", b"Rar!": "rar",
    b"\x28\xb5\x2f\xfd": "zstandard",
}  # fmt: skip
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM")


@dataclass(frozen=True)
class File:
    """What is looked at: the name's suffix, the first bytes, and the names in a zip archive."""

    suffix: str
    head: bytes
    names: tuple[str, ...]

    def has(self, end: str) -> bool:
        """Whether a name in the archive ends so."""
        return any(name.endswith(end) for name in self.names)


def _is_page(file: File) -> bool:
    text = file.head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head"))


def _is_onnx(file: File) -> bool:
    """A protobuf whose first fields are the version of ONNX and the producer's name."""
    return file.suffix == ".onnx" or (file.head[:1] == b"\x08" and file.head[2:3] in b"\x12\x3a")


def _is_text(file: File) -> bool:
    return bool(file.head) and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in file.head)


# What it is, how that is told, and what to do. The first that holds counts.
KINDS: tuple[tuple[str, Callable[[File], bool], str], ...] = (
    ("empty", lambda f: not f.head, _AGAIN),
    (
        "a git-lfs pointer, which stands for the weights and does not hold them",
        lambda f: f.head.startswith(b"version https://git-lfs"),
        "give `git lfs pull` where it was cloned",
    ),
    (
        "a web page, as links give that lead to a page, a login or a question",
        _is_page,
        "download the file itself",
    ),
    (
        "a TorchScript program, which is code and never run here",
        lambda f: f.has("/constants.pkl") and f.has("/data.pkl"),
        "if you trust its maker, give in Python "
        "torch.save(torch.jit.load(FILE).state_dict(), 'net.pth')",
    ),
    (
        "a program of torch.export",
        lambda f: f.has("models/model.json") or f.has("serialized_exported_program.json"),
        _STATE,
    ),
    ("NumPy arrays", lambda f: f.has(".npy") or f.head.startswith(b"\x93NUMPY"), _STATE),
    (
        "a Keras file",
        lambda f: f.head.startswith(b"\x89HDF") or f.has(".weights.h5"),
        "PyTorch's are read; bring the network as a generator of your own",
    ),
    (
        "a zip archive of {names}, none of which torch.save wrote",
        lambda f: bool(f.names) and not f.has("data.pkl"),
        "unpack it, and give the checkpoint in it",
    ),
    ("truncated, a zip archive without its end", lambda f: f.head.startswith(b"PK") and not f.names,
     _AGAIN),
    (
        "an archive ({archive})",
        lambda f: bool(_archive(f.head)),
        "unpack it, and give the checkpoint in it",
    ),
    (
        "an ONNX graph, whose weights have lost their layers' names",
        _is_onnx,
        _STATE,
    ),
    ("a picture", lambda f: f.head.startswith(_PICTURES), "give the generator's weights"),
    ("text, {text!r}", _is_text, "give the generator's weights"),
)  # fmt: skip


def kind_of(path: Path) -> str | None:
    """`what it is; what to do` of a file that is no checkpoint; None if that cannot be told."""
    with open_regular(path) as opened:
        head = opened.read(HEAD)
    file = File(path.suffix.lower(), head, names_in(path, head))
    shown = {
        "names": ", ".join(file.names[:_NAMED]) + (", …" if len(file.names) > _NAMED else ""),
        "archive": _archive(head),
        "text": head.split(b"\n")[0][:60].decode("ascii", "replace"),
    }
    for what, holds, remedy in KINDS:
        if holds(file):
            return f"{what.format(**shown)}; {remedy}"
    return None


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the size of a JSON header, and that header."""
    with open_regular(path) as opened:
        head = opened.read(9)
    size = int.from_bytes(head[:8], "little")
    return len(head) == 9 and head[8:] == b"{" and size <= path.stat().st_size - 8


def names_in(path: Path, head: bytes) -> tuple[str, ...]:
    """The names in a zip archive; () if it is none, or damaged."""
    if not head.startswith(b"PK"):
        return ()
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return ()


def _archive(head: bytes) -> str:
    if head[257:262] == b"ustar":
        return "tar"
    return next((name for magic, name in _ARCHIVES.items() if head.startswith(magic)), "")
