"""Files that are whole or absent: atomic writing, and reading that never executes code."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import re
import socket
import struct
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise_tensors
from torch import Tensor

from gancompress.errors import CheckpointError
from gancompress.storage.regularfiles import open_regular, read_regular

NAME_BYTES = 255  # Nearly every file system allows a name so many.
# Files of this prefix are what a killed command may leave behind; see `remove_leftovers`.
TEMPORARY_PREFIX = ".tmp-"
_TEMPORARY = re.compile(r"\.tmp-(?:([0-9a-f]{8})-)?(\d+)-([0-9a-z]+)-")  # machine, process, which
_HERE = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]  # the machine's name, short
_OURS = uuid.uuid4().hex[:8]  # tells this process from an earlier one of the same number
_LONGEST_WRITE_SECONDS = 86_400.0  # until a temporary file of another machine counts as left over
DIGEST = "digest"  # the key of a record that holds the hash of all its others; see `write_record`
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
_STATE_END = b"gancompress-sha256"  # closes a state file, followed by 32 bytes of hash


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path beside `path` that becomes `path` when the block succeeds.

    The temporary name ends as `path`'s own name, for writers that choose a format by suffix. When
    the block fails it is removed, and what `path` held before is untouched.

    Raises: CheckpointError if the disk is full or the folder cannot be written.
    """
    path = Path(path)
    mark = f"{TEMPORARY_PREFIX}{_HERE}-{os.getpid()}-{_OURS}{threading.get_ident()}-"
    temporary = path.with_name(mark + _end(path.name, NAME_BYTES - len(mark)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise _write_error(path, temporary, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _end(name: str, most: int) -> str:
    """The end of a file's name that takes at most that many bytes."""
    while len(os.fsencode(name)) > most:
        name = name[1:]
    return name


def _sync(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_error(path: Path, temporary: Path, error: OSError) -> Exception:
    """A CheckpointError if the disk or the folder is at fault, otherwise `error` itself."""
    if error.errno in _NO_SPACE:
        return CheckpointError(
            f"{path}: no space left on disk; free some and give the same command again"
        )
    ours = {str(p) for p in (temporary, path, *path.parents)}  # not a file that the block reads
    if error.errno in _REFUSED and str(error.filename) in ours:
        reason = os.strerror(error.errno).lower()
        return CheckpointError(f"{path}: cannot be written ({reason}); choose another folder")
    return error


def remove_leftovers(folder: Path | str) -> None:
    """Deletes temporary files of killed commands; only for who alone writes to `folder`."""
    for leftover in Path(folder).glob(f"{TEMPORARY_PREFIX}*"):
        leftover.unlink()


def remove_dead(root: Path | str) -> None:
    """Deletes temporary files of killed commands in `root` and all folders in it.

    Also while others write there: files of processes that live are left, and young ones of other
    machines, whose processes cannot be seen from here. What cannot be deleted stays.
    """
    for folder, _, names in os.walk(root):
        for name in names:
            if (found := _TEMPORARY.match(name)) and _is_left(Path(folder, name), *found.groups()):
                with suppress(OSError):
                    os.unlink(os.path.join(folder, name))


def _is_left(path: Path, machine: str | None, process: str, which: str) -> bool:
    """Whether nobody writes to a temporary file any more."""
    if machine not in (None, _HERE):
        with suppress(OSError):
            return time.time() - path.lstat().st_mtime > _LONGEST_WRITE_SECONDS
        return False
    if int(process) == os.getpid():
        return not which.startswith(_OURS)
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # It is another user's, and lives.
        return False
    return False


def write_bytes(path: Path | str, content: bytes) -> None:
    """Writes `content` as a whole or not at all. Raises: CheckpointError as `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path | str, text: str) -> None:
    """Writes UTF-8 text as a whole or not at all. Raises: CheckpointError as `atomic_path`."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, obj: Any) -> None:
    """Writes `obj` as indented JSON, keys in their order. Raises: CheckpointError."""
    text = json.dumps(obj, indent=2, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode(errors="surrogatepass"))  # names of files that are not UTF-8


def write_record(path: Path | str, record: Mapping[str, Any]) -> None:
    """Writes a JSON object with a hash of itself, so that `read_record` notices every change.

    Raises: CheckpointError.
    """
    plain = {key: value for key, value in record.items() if key != DIGEST}
    write_json(path, {**plain, DIGEST: record_digest(plain)})


def read_record(path: Path | str) -> Any:
    """What `write_record` wrote, or a JSON file without a hash, as earlier versions wrote them.

    Raises: CheckpointError if it is missing, truncated or changed.
    """
    record = read_json(path)
    if isinstance(record, dict) and DIGEST in record:
        told = record.pop(DIGEST)
        if told != record_digest(record):
            raise CheckpointError(f"{path}: changed on disk; delete it and make it again")
    return record


def record_digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of plain JSON values, in hexadecimal; the order of keys does not matter."""
    plain = json.loads(json.dumps(record))  # as it will be read back: every key is a text
    text = json.dumps(plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_json(path: Path | str) -> Any:
    """The content of a JSON file. Raises: CheckpointError if it is missing or truncated."""
    try:
        return json.loads(_read(path))
    except ValueError:  # JSON and UTF-8 errors alike
        raise CheckpointError(
            f"{path}: not JSON, perhaps truncated; delete it and make it again"
        ) from None


def _read(path: Path | str) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise _read_error(path, error) from None


def _read_error(path: Path | str, error: OSError) -> CheckpointError:
    if isinstance(error, FileNotFoundError):
        return CheckpointError(f"{path}: no such file; give a file that exists")
    reason = (error.strerror or str(error)).lower()
    return CheckpointError(f"{path}: cannot be read ({reason}); a readable file is needed")


def save_tensors(path: Path | str, tensors: Mapping[str, Tensor], meta: Mapping[str, str]) -> None:
    """Writes tensors and texts as safetensors; equal content gives equal bytes.

    Views and tensors on other devices are written as what they show. Raises: CheckpointError.
    """
    owned = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    write_bytes(path, _with_sorted_meta(serialise_tensors(owned, dict(meta))))


def _with_sorted_meta(content: bytes) -> bytes:
    """The same safetensors file with its texts in sorted order (the library's order is random).

    Layout: 8 bytes little-endian header size, JSON header padded to 8 bytes, data; the offsets in
    the header count from the start of the data.
    """
    (size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + size])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def load_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors (on the CPU) and texts of a safetensors file, in the order of their names.

    Raises: CheckpointError if the file is missing, truncated or of another kind.
    """
    with _opened_tensors(path) as (reader, texts):
        return {name: reader.get_tensor(name) for name in sorted(reader.keys())}, texts


def load_texts(path: Path | str) -> dict[str, str]:
    """The texts of a safetensors file, in the order of their names. Raises: as `load_tensors`."""
    with _opened_tensors(path) as (_, texts):
        return texts


@contextmanager
def _opened_tensors(path: Path | str) -> Iterator[tuple[Any, dict[str, str]]]:
    try:
        with safe_open(str(path), framework="pt") as reader:
            yield reader, dict(sorted((reader.metadata() or {}).items()))
    except SafetensorError:
        raise CheckpointError(
            f"{path}: truncated, changed or not a safetensors file; make it again"
        ) from None
    except OSError as error:
        raise _read_error(path, error) from None


def save_state(path: Path | str, obj: Any) -> None:
    """Writes tensors, numbers, texts and containers of them, closed by a SHA-256.

    `torch.load(path, weights_only=True)` reads it too. Raises: CheckpointError.
    """
    buffer = io.BytesIO()  # a path would put the temporary name into the file
    torch.save(obj, buffer)
    content = buffer.getbuffer()
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(content)
        file.write(_STATE_END + hashlib.sha256(content).digest())


def load_state(path: Path | str) -> Any:
    """What `save_state` wrote, on the CPU; objects of any other type are refused, not built.

    Raises: CheckpointError if the file is missing, truncated, changed or of another kind.
    """
    whole = _read(path)
    end = len(_STATE_END) + hashlib.sha256().digest_size
    content, mark = memoryview(whole)[:-end], whole[-end:]
    if mark != _STATE_END + hashlib.sha256(content).digest():
        raise CheckpointError(
            f"{path}: truncated, changed or not a training state; delete it to start this stage "
            "again from its beginning"
        )
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError):
        raise CheckpointError(
            f"{path}: holds objects other than tensors and plain data, which are never loaded; "
            "delete it"
        ) from None


def file_hash(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. Raises: CheckpointError if it cannot be read."""
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _read_error(path, error) from None
