"""What a recipe's text may hold, looked at piece by piece before anything is built of it."""

from __future__ import annotations

import unicodedata
from typing import Any

import yaml

from gancompress.errors import RecipeError

# The largest packaged recipe has 1 500 characters, 60 values and 3 levels; a list of 1 000 classes
# with their colours has 40 000, 5 000 and 4.
MAX_CHARACTERS = 200_000
MAX_VALUES = 20_000  # Aliases count as much as what they stand for.
MAX_DEPTH = 20
MAX_SHOWN = 60  # characters of a value in a message
_TEXT_TAG = "tag:yaml.org,2002:str"
_SCALAR, _ALIAS = yaml.ScalarEvent, yaml.AliasEvent
_OPENS, _CLOSES = yaml.CollectionStartEvent, yaml.CollectionEndEvent


def shown(text: str, most: int = MAX_SHOWN) -> str:
    """A text cut to `most` characters, and what no terminal shows as an escape."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(one if _is_plain(one) else repr(one)[1:-1] for one in cut)


def check_text(text: str, where: str) -> None:
    """Raises: RecipeError for a text that is too long or has characters that are no text."""
    if len(text) > MAX_CHARACTERS:
        raise RecipeError(
            f"{where}: found {len(text)} characters or more; at most {MAX_CHARACTERS} are allowed"
        )
    if odd := next((one for one in text if not _is_plain(one)), None):
        raise RecipeError(f"{where}: found the character {odd!r}, which is no text; take it out")


def check_events(text: str, loader: Any, where: str) -> None:
    """Counts what would be built of a YAML text, without building it.

    Raises: RecipeError for too many values, too deep nesting, an alias inside of what it stands
    for, tags, and control characters; yaml.YAMLError for what is not YAML.
    """
    sizes: dict[str, int | None] = {}  # values of each anchor, None while it is not complete
    open_ones: list[tuple[str | None, int]] = [(None, 0)]  # anchor, and values before it
    count = 0
    for event in yaml.parse(text, Loader=loader):
        place = f"{where}: line {event.start_mark.line + 1 if event.start_mark else 1}"
        if isinstance(event, _ALIAS):
            count += _aliased(event.anchor or "", sizes, place)
        elif isinstance(event, _SCALAR):
            _check_scalar(event, place)
            count += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, _OPENS):
            _check_tag(event.tag, None, place)
            open_ones.append((event.anchor, count))
            if event.anchor:
                sizes[event.anchor] = None
            count += 1
            if len(open_ones) > MAX_DEPTH + 1:
                raise RecipeError(
                    f"{place}: found more than {MAX_DEPTH} levels of nesting; a recipe has fewer"
                )
        elif isinstance(event, _CLOSES):
            anchor, before = open_ones.pop()
            if anchor:
                sizes[anchor] = count - before
        if count > MAX_VALUES:
            raise RecipeError(
                f"{place}: found more than {MAX_VALUES} values, aliases counted as what they "
                "stand for; a recipe has fewer"
            )


def _aliased(anchor: str, sizes: dict[str, int | None], place: str) -> int:
    size = sizes.get(anchor, 1)  # An unknown anchor is refused where it is built.
    if size is None:
        raise RecipeError(
            f"{place}: the alias *{shown(anchor)} stands inside of what it stands for; write the "
            "values out"
        )
    return size


def _check_scalar(event: yaml.ScalarEvent, place: str) -> None:
    _check_tag(event.tag, _TEXT_TAG, place)
    check_text(event.value, place)


def _check_tag(tag: str | None, allowed: str | None, place: str) -> None:
    if tag is not None and tag != allowed:
        name = shown(tag.replace("tag:yaml.org,2002:", "!!"))
        raise RecipeError(f"{place}: found the tag {name}; values without tags are allowed")


def _is_plain(one: str) -> bool:
    """Whether a character is text: no control character but those of spaces, no half a pair."""
    return one in "\t\n\r" or unicodedata.category(one) not in ("Cc", "Cs")
