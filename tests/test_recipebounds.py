"""What a recipe's text may hold, and that whatever is given ends in a sentence."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from gancompress.errors import RecipeError
from gancompress.fields import bounds as recipebounds
from gancompress.fields.bounds import MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES, check_events, shown
from gancompress.recipe import yamlreading as recipeyaml
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.yamlreading import parse

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
SEEDS = range(300)


def refused(text: str) -> str:
    """The sentence that a YAML text is refused with."""
    with pytest.raises(RecipeError) as caught:
        parse(text, "x.yaml")
    return str(caught.value)


def nested(width: int, levels: int, form: str = "[{}]") -> str:
    """A bomb: a value that `width` ** `levels` values stand for, in a few lines."""
    lines = ["x0: &x0 {a: 1}"]
    for i in range(1, levels + 1):
        lines.append(f"x{i}: &x{i} " + form.format(", ".join([f"*x{i - 1}"] * width)))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("form", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_count_as_what_they_stand_for(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    text = nested(3, 2, form)
    # x0: a mapping, a key, a value. x1: a list of 3 of them, 10 values; in the other form two more,
    # mapping and <<. x2: 3 of x1, likewise. The whole: a mapping, and a name each.
    inner = 2 if "<<" in form else 0
    x1 = 1 + inner + 3 * 3
    count = 1 + 3 + 3 + x1 + (1 + inner + 3 * x1)
    monkeypatch.setattr(recipebounds, "MAX_VALUES", count)
    parse(text, "x.yaml")
    monkeypatch.setattr(recipebounds, "MAX_VALUES", count - 1)
    assert "values, aliases counted as what they stand for" in refused(text)


@pytest.mark.parametrize("form", ["[{}]", "{{<<: [{}]}}"])
def test_a_bomb_of_aliases_is_refused_before_it_is_built(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(yaml, "load", lambda *args, **options: pytest.fail("built"))
    assert refused(nested(9, 30, form)) == (
        f"x.yaml: line 5: found more than {MAX_VALUES} values, aliases counted as what they stand "
        "for; a recipe has fewer"
    )


def test_what_is_too_large_or_deep_is_refused() -> None:
    assert parse("x" * MAX_CHARACTERS, "x.yaml") == "x" * MAX_CHARACTERS
    assert "at most 200000 are allowed" in refused("x" * (MAX_CHARACTERS + 1))
    found, depth = parse("[" * MAX_DEPTH + "]" * MAX_DEPTH, "x.yaml"), 1
    while found:
        (found,), depth = found, depth + 1
    assert depth == MAX_DEPTH
    assert "more than 20 levels" in refused("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    assert refused("[" * 100_000).startswith("x.yaml: line 1: ")


def test_a_large_file_is_read_no_further_than_it_may_be(tmp_path: Path) -> None:
    with (tmp_path / "x.yaml").open("wb") as file:
        file.truncate(10**12)  # sparse: it takes no room on the disk
    with pytest.raises(RecipeError, match="found 200001 characters or more; at most 200000"):
        load_recipe(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("&a [*a]", "the alias *a stands inside of what it stands for; write the values out"),
        ("a: &a {b: *a}", "the alias *a stands inside of what it stands for; write the values out"),
        ("a: !!timestamp x", "found the tag !!timestamp; values without tags are allowed"),
        ("a: !!int x", "found the tag !!int; values without tags are allowed"),
        ("a: !!str [1]", "found the tag !!str; values without tags are allowed"),
        ("a: !x {b: 1}", "found the tag !x; values without tags are allowed"),
        ("{[1]: 2}", "found unhashable key; valid YAML is needed"),
        ('a: "\\0"', "found the character '\\x00', which is no text; take it out"),
        ('"\\e[31m": 1', "found the character '\\x1b', which is no text; take it out"),
        ("a: " + "9" * 400, f"a number of 400 characters, {'9' * 59}…; valid YAML is needed"),
        (f"{'k' * 400}: 1\n{'k' * 400}: 2", f'key "{"k" * 59}…" is given twice'),
    ],
)  # fmt: skip
def test_each_line_that_is_no_recipe_is_named(text: str, sentence: str) -> None:
    line = 1 + text.count("\n")
    assert refused(text).startswith(f"x.yaml: line {line}: {sentence}")


def test_keys_are_names_also_where_an_alias_is_one() -> None:
    assert parse("{a: &x 5, *x : 3, ~: 1, 1.10: 2}", "x") == {"a": 5, "5": 3, "~": 1, "1.10": 2}
    assert parse("a: !!str 1.10", "x") == {"a": "1.10"}


def test_both_parsers_are_bounded_alike() -> None:
    """libyaml's, which some builds of PyYAML lack, and the one in Python."""
    for loader in (yaml.SafeLoader, recipeyaml._RecipeLoader):
        check_events("a: {b: [1, 2]}", loader, "x")
        for text in (nested(9, 30), "&a [*a]", "a: !x 1", "[" * 21 + "]" * 21):
            with pytest.raises(RecipeError, match="^x: line "):
                check_events(text, loader, "x")


def test_long_texts_are_cut_and_marks_escaped() -> None:
    assert shown("a" * 60) == "a" * 60
    assert shown("a" * 61) == "a" * 59 + "…"
    assert shown("a\x1b[31m\ud800ü") == "a\\x1b[31m\\ud800ü"


@pytest.fixture(scope="module")
def fuzzer() -> ModuleType:
    sys.path.append(str(SCRIPTS))
    import fuzz_recipes

    return fuzz_recipes


def test_mutated_recipes_end_in_exit_0_or_2_and_write_nothing(
    fuzzer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand with 10 000: scripts/fuzz_recipes.py."""
    monkeypatch.chdir(tmp_path)
    wrong = {}
    for seed in SEEDS:
        how = fuzzer.ended("profile", fuzzer.mutation(seed), "--dry-run")
        if how not in ("0", "2"):
            wrong[seed] = how
    assert wrong == {}
