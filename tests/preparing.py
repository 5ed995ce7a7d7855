"""The scripts that fetch data sets, as modules; a server and archives for their tests."""

from __future__ import annotations

import io
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from images import Pixels
from PIL import Image

# `python scripts/NAME.py` finds its neighbours by their bare names.
sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))

import downloading
import prepare_cityscapes
import prepare_coco_stuff
import prepare_cyclegan
import prepare_pix2pix
import unpacking

__all__ = [
    "Server", "downloading", "png", "prepare_cityscapes", "prepare_coco_stuff", "prepare_cyclegan",
    "prepare_pix2pix", "serving", "tarred", "unpacking", "zipped",
]  # fmt: skip


class Server(ThreadingHTTPServer):
    """Files by their path, over HTTP, with faults on demand; remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.tag = '"one"'
        self.break_after: list[int] = []  # bytes sent of the next answers, before they end
        self.statuses: list[int] = []  # of the next answers, in place of a file
        self.knows_ranges = True
        self.asked: list[tuple[str, str | None]] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        ranged, server = self.headers.get("Range"), self.server
        server.asked.append((self.path[1:], ranged))
        content = server.files.get(self.path[1:])
        status = server.statuses.pop(0) if server.statuses else 200 if content is not None else 404
        if status != 200 or content is None:
            self.send_error(status)
            return
        start = int(ranged.removeprefix("bytes=").rstrip("-")) if ranged else 0
        if not server.knows_ranges or self.headers.get("If-Range", server.tag) != server.tag:
            start = 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            end = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", end)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        whole = content[start:]
        self.wfile.write(whole[: server.break_after.pop(0)] if server.break_after else whole)

    def log_message(self, *args: object) -> None:
        """Nothing: tests read what is printed."""


@contextmanager
def serving() -> Iterator[Server]:
    """A server that runs until the block ends."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: Mapping[str, bytes], *links: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, kind in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    return buffer.getvalue()


def png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()
