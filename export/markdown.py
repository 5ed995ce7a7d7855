"""Other people's words in Markdown, where they stay words: no tags, links, code, tables or lines.

Readers of Markdown let HTML through, so that it is escaped first.
"""

from __future__ import annotations

import html
import re

_MARKS = re.compile(r"([\\`*\[\]|~])")  # These begin code, links, stress and cells.
_FIRST = re.compile(r"^([-+#>=]|\d+[.)])")  # These begin lists, titles and rules.


def words(text: object) -> str:
    """One line of a text, as it reads."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return _FIRST.sub(r"\\\1", _MARKS.sub(r"\\\1", line))


def code(text: object) -> str:
    """One line of a text as code; a fence longer than any in it keeps it closed."""
    line = " ".join(str(text).split()).replace("|", "\\|")
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line or ' '}{pad}{fence}"


def table_words(table: str) -> str:
    """A table of ours whose cells hold others' words: no tags in it; its lines and cells stay."""
    return html.escape(table, quote=False)
