"""Recipes as no one would write them: packaged ones, changed at random, and overrides of them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from gancompress.recipe.reading import load_recipe, packaged_recipes
from gancompress.recipe.recipe import Recipe

# Values of a wrong kind, size or form, as YAML; what they did to earlier versions of the reader is
# in the tests of `recipe.reading`.
VALUES = (
    "", "~", "null", "true", "no", "-1", "0", "1", "3.5", "1e6", "1e300", "1e400", ".inf", ".nan",
    "9" * 19, "9" * 400, "-" + "9" * 5000, "0x10", "1_000", "12:30", "2024-01-01", "x", "ü\u0301😀",
    "'", '"', "{", "}", "[", "]", "[]", "{}", "[1]", "[256]", "[1, 2]", "[1, 2, 3]", "[[1]]",
    "[[]]", "[x, ~]", "{a: 1}", "{a: [1]}", "{~: 1}", "{1: 2}", "{[1]: 2}", "{name: x}", "{name: }",
    "{file: x}", "{file: /dev/zero}", "{name: own, file: [1]}", "!!int x", "!!float x", "!!set {a}",
    "!!timestamp x", "!!binary x", "!!omap [a]", "!!python/name:os.system", "!x y", "&a [*a]",
    "&b {c: *b}", "*a", "*c", "&d 1", "<<", "{<<: 1}", "{<<: [1]}", "{<<: {a: 1}}", '"\\0"',
    '"\\ud800"', '"\\x1b[31m"', "a" * 300, "/" + "a/" * 3000, "~", "~/x", "~nobody-of-that-name/x",
    "/dev/null", "..", "[" * 30, "[" * 3000, "{a: " * 40, "|", ">", "? x", "- x", "%TAG", "@", "`",
    "# x", ": ", "{" + ", ".join(f"k{i}: {i}" for i in range(500)) + "}", "[0.5, 2]", "[-1, nan]",
)  # fmt: skip
KEYS = ("~", "", "name", "file", "<<", "a" * 300, "[1]", "{a: 1}", "1", "no", "&k x", "*k", "? y",
        '"\\0"', "ü", "sha256", "from", "__class__", "model_config")  # fmt: skip
MARKS = "{}[]:,&*#?|-<>=!%@`'\"\\ \t\n\r\0\x07\x1b\x85\u2028\ufeff~0a9.eü"


@dataclass(frozen=True)
class Mutation:
    """The text of a recipe's file, and overrides that are given with it."""

    text: str
    overrides: tuple[str, ...]


def mutation(seed: int) -> Mutation:
    """The mutation of that number: always the same one."""
    draw = random.Random(seed)
    name = draw.choice(packaged_recipes())
    text = packaged_text(name)
    for _ in range(draw.choice((0, 0, 0, 1, 1, 2, 4))):
        text = draw.choice(_CHANGES)(text, draw)
    count = draw.choice((0, 1, 1, 2, 4)) or (text == packaged_text(name))
    return Mutation(text, tuple(_override(name, draw) for _ in range(count)))


@cache
def packaged_text(name: str) -> str:
    """The packaged recipe of that name as its file has it, defaults left out, without comments."""
    recipe = load_recipe(name)
    plain = recipe.model_dump(mode="json", by_alias=True, exclude_unset=True)
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return text


@cache
def packaged_values(name: str) -> dict[str, Any]:
    """The values of that recipe by their dotted keys."""
    return _values(load_recipe(name).model_dump(mode="json", by_alias=True))


def _override(name: str, draw: random.Random) -> str:
    values = packaged_values(name)
    key = draw.choice(list(values))
    if draw.random() < 0.4:
        return f"{key}={_near(values[key], draw)}"
    if draw.random() < 0.1:
        key = f"{key}.{draw.choice(KEYS)}"
    if draw.random() < 0.05:
        key = draw.choice(KEYS)
    return f"{key}={draw.choice(VALUES)}"


def _values(place: dict[str, Any], before: str = "") -> dict[str, Any]:
    """The values of a recipe by their dotted keys, whole sections too."""
    found = {}
    for key, value in place.items():
        found[before + key] = value
        if isinstance(value, dict):
            found |= _values(value, f"{before}{key}.")
    return found


def _near(value: Any, draw: random.Random) -> str:
    """What may well be allowed in the place of `value`, as YAML."""
    if isinstance(value, bool) or value is None or isinstance(value, str) or not value:
        return json.dumps(value) if draw.random() < 0.5 else draw.choice(("1", "x", "true", "0.5"))
    if isinstance(value, int | float):
        factor = draw.choice((0.5, 1, 2, 1000, 1e12))
        return json.dumps(type(value)(value * factor) + draw.choice((0, 1, -1)))
    if isinstance(value, list):
        return json.dumps(value[::-1] if draw.random() < 0.5 else value[: draw.randrange(3)])
    kept = {key: one for key, one in value.items() if draw.random() < 0.8}
    return json.dumps(kept)


def _one_character(text: str, draw: random.Random) -> str:
    place = draw.randrange(len(text) + 1)
    kept = place + draw.randrange(2)  # in the place of one, or between two
    return text[:place] + draw.choice(MARKS) + text[kept:]


def _cut_out(text: str, draw: random.Random) -> str:
    first = draw.randrange(len(text) + 1)
    return text[:first] + text[first + draw.randrange(20) :]


def _truncated(text: str, draw: random.Random) -> str:
    return text[: draw.randrange(len(text) + 1)]


def _lines(text: str, draw: random.Random) -> str:
    """Two lines exchanged, one twice or one left out."""
    lines = text.splitlines() or [""]
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    how = draw.randrange(4)
    if how == 0:
        lines[one], lines[other] = lines[other], lines[one]
    elif how == 1:
        lines.insert(one, lines[other])
    elif how == 2:
        del lines[one]
    else:
        lines[one] = " " * draw.randrange(5) + lines[one].lstrip()
    return "\n".join(lines) + "\n"


def _value(text: str, draw: random.Random) -> str:
    """Another value on a line, or another key."""
    lines = text.splitlines() or [""]
    at = draw.randrange(len(lines))
    key, colon, value = lines[at].partition(":")
    if draw.random() < 0.8:
        value = " " + draw.choice(VALUES)
    else:
        key = key[: len(key) - len(key.lstrip())] + draw.choice(KEYS)
    lines[at] = f"{key}{colon}{value}"
    return "\n".join(lines) + "\n"


def _section(text: str, draw: random.Random) -> str:
    """A line more, of a section that is there already or was not yet."""
    section = draw.choice((*Recipe.model_fields, *KEYS))
    return f"{text}{section}: {draw.choice(VALUES)}\n"


def _bomb(text: str, draw: random.Random) -> str:
    """Aliases of aliases: each level is as many times larger as it has aliases."""
    width, levels, is_merged = draw.randrange(2, 12), draw.randrange(1, 12), draw.random() < 0.3
    lines = ["x0: &x0 {a: 1}"]
    for i in range(1, levels + 1):
        inner = ", ".join([f"*x{i - 1}"] * width)
        lines.append(f"x{i}: &x{i} " + (f"{{<<: [{inner}]}}" if is_merged else f"[{inner}]"))
    place = draw.choice((*Recipe.model_fields, "name"))
    return text + "\n".join(lines) + f"\n{place}: *x{levels}\n"


def _large(text: str, draw: random.Random) -> str:
    """Up to 1 MB of keys or entries, in one mapping, list or word."""
    count = draw.choice((100, 5_000, 9_000, 60_000))
    key = draw.choice((*Recipe.model_fields, "other"))
    body = draw.choice(
        (
            "\n" + "".join(f"  key{i}: {i}\n" for i in range(count)),
            " [" + ", ".join(str(i) for i in range(count)) + "]\n",
            " " + "x" * count + "\n",
            "\n" + "  - {name: 1}\n" * count,
        )
    )
    is_inside = draw.random() < 0.5
    return f"{text}{key}:{body}" if is_inside else text + body.replace("\n  ", "\n")


_Change = Callable[[str, random.Random], str]
_CHANGES: tuple[_Change, ...] = (
    _one_character, _one_character, _one_character, _cut_out, _truncated, _lines, _lines, _value,
    _value, _value, _value, _section, _section, _bomb, _large,
)  # fmt: skip
