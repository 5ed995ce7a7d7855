"""The web page's Content-Security-Policy lets run what the page needs, and nothing else.

`test_export_webpage.py` runs it in a browser, where every violation is an error.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib import resources

FILES = resources.files("gancompress.export").joinpath("webpage")
PAGE = FILES.joinpath("index.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Every tag with its attributes, and the texts of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[tuple[str, str]] = []
        self.feed(PAGE)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style") and data.strip():
            self.inline.append((self.tags[-1][0], data))


FOUND = Tags()


def policy() -> dict[str, set[str]]:
    (text,) = (
        attrs["content"] or ""
        for tag, attrs in FOUND.tags
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    )
    parts = (part.split() for part in text.split(";"))
    return {name: set(sources) for name, *sources in parts}


def test_no_directive_names_another_place_or_lets_text_run() -> None:
    found = policy()
    assert found["default-src"] == found["base-uri"] == found["form-action"] == {"'none'"}
    allowed = {"'self'", "'none'", "'wasm-unsafe-eval'", "data:"}
    for sources in found.values():
        assert all(one in allowed or one.startswith("'sha256-") for one in sources)
    assert found["img-src"] == {"data:"}  # the empty icon
    assert found["connect-src"] == found["worker-src"] == found["style-src"] == {"'self'"}


def test_the_policy_stands_before_all_that_it_is_for() -> None:
    names = [tag for tag, _ in FOUND.tags]
    place = next(i for i, (_, attrs) in enumerate(FOUND.tags) if attrs.get("http-equiv"))
    assert place < min(names.index(name) for name in ("link", "script", "body"))


def test_what_stands_inline_is_allowed_by_its_hash() -> None:
    ((kind, text),) = FOUND.inline
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    hashes = {one for one in policy()["script-src"] if one.startswith("'sha256-")}
    assert kind == "script" and hashes == {f"'sha256-{digest}'"}


def test_nothing_on_the_page_breaks_the_policy() -> None:
    for tag, attrs in FOUND.tags:
        assert "style" not in attrs and not any(name.startswith("on") for name in attrs), tag
        for name in ("src", "href"):
            assert not re.match(r"\w+:|//", attrs.get(name) or "") or attrs[name] == "data:,"
    for file in FILES.iterdir():
        if file.name.endswith(".js"):
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"\beval\b|new Function|innerHTML|insertAdjacent|https?://", text)
            assert not re.search(
                r"setAttribute\(.style|createElement\(.(style|script|iframe)", text
            )
