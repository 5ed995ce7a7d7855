"""A page of a folder in a headless browser, with what its console complained of."""

from __future__ import annotations

import io
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

VARIABLE = "GANCOMPRESS_TEST_BROWSER"
PATIENCE_S = 30
NAMES = ("chromium", "google-chrome", "chrome")


@cache
def browser_file() -> str:
    """The browser to test with, or empty."""
    named = os.environ.get(VARIABLE)
    return named or next(filter(None, map(shutil.which, NAMES)), "")


@contextmanager
def browser() -> Iterator[Any]:
    """A headless browser of its own; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not browser_file():
        pytest.skip(f"no {' or '.join(NAMES)} on PATH; name a browser in {VARIABLE}")
    with playwright.sync_playwright() as running:
        one = running.chromium.launch(
            executable_path=browser_file(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield one
        finally:
            one.close()


@contextmanager
def opened(
    folder: Path, *, from_disk: bool = False, is_isolated: bool = False
) -> Iterator[tuple[Any, list[str]]]:
    """The page of `folder` and its list of errors; a request to another place is one, too."""
    with browser() as one, served(folder, is_isolated=is_isolated) as url:
        page, errors = one.new_page(viewport={"width": 1000, "height": 1400}), []

        def asked(request: Any) -> None:
            if not request.url.startswith((url, "data:", "blob:", "file:")):
                errors.append(f"asked for {request.url}")

        def said(message: Any) -> None:
            if message.type in ("error", "warning"):
                errors.append(message.text)

        page.on("request", asked)
        page.on("console", said)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"file://{folder}/index.html" if from_disk else url)
        yield page, errors


def wait_until(page: Any, condition: str) -> None:
    """Waits until a JavaScript expression holds; the page's own policy forbids `wait_for_function`,
    which has the page evaluate a text."""
    ends = time.monotonic() + PATIENCE_S
    while not page.evaluate(condition):
        assert time.monotonic() < ends, f"{condition}: not so after {PATIENCE_S} s"
        page.wait_for_timeout(20)


class _Quiet(SimpleHTTPRequestHandler):
    is_isolated = False

    def log_message(self, *args: object) -> None:
        """Nothing: tests read what is printed."""

    def end_headers(self) -> None:
        if self.is_isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


class _Isolated(_Quiet):
    is_isolated = True


@contextmanager
def served(folder: Path, *, is_isolated: bool = False) -> Iterator[str]:
    """The address of a server of `folder`, as `python -m http.server` is one."""
    handler = partial(_Isolated if is_isolated else _Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def png(pixels: torch.Tensor) -> bytes:
    """(H, W, 3) of 0 to 255 as a PNG file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy().astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
