"""Families' options: each default stands once, and a family is one file and one line."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from toyrecipes import SMALL, TOY, of_pairs, save_toy_pairs

import conformance
from gancompress.nets.families import FAMILIES, family_of
from gancompress.nets.families.familyoptions import FamilyOptions
from gancompress.recipe.recipe import Family, Recipe

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", FAMILIES)
def test_no_default_of_an_option_stands_in_the_class_too(name: str) -> None:
    options = FAMILIES[name]
    has_default = {
        field.name
        for field in dataclasses.fields(options.made())
        if field.default is not dataclasses.MISSING
    }
    assert not has_default & (options.model_fields.keys() - {"name"})


@pytest.mark.parametrize("name", FAMILIES)
def test_stored_options_rebuild_a_family(name: str) -> None:
    family = conformance.small(name, 1, 2)
    assert family.name == name and family_of(name, **family.options) == family


def test_each_name_is_that_of_its_own_options_and_recipes_take_all() -> None:
    names = {name: made.model_fields["name"].default for name, made in FAMILIES.items()}
    assert names == {name: name for name in FAMILIES} and len(set(FAMILIES.values())) == 10
    assert get_args(get_args(Family)[0]) == tuple(FAMILIES.values())
    assert Recipe.model_fields["family"].discriminator == "name"


def test_options_that_make_nothing_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        FamilyOptions(name="none")  # type: ignore[abstract]


# One file and one line: what a user's own package would do before it reads recipes.
COMMAND = """
import sys
sys.path.insert(0, sys.argv[1])
from example_family import HourglassOptions
from gancompress.nets.families import FAMILIES
FAMILIES["hourglass"] = HourglassOptions
sys.argv = ["gancompress", *sys.argv[2:]]
from gancompress.__main__ import main
main()
"""


def test_a_family_of_one_file_and_one_line_is_compressed_and_exported(tmp_path: Path) -> None:
    save_toy_pairs(tmp_path / "pairs")
    changes = [
        *TOY, *SMALL, *of_pairs(tmp_path / "pairs"), f"run={tmp_path / 'run'}",
        "family={name: hourglass, blocks: 1}", "export.formats=[safetensors]",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(ROOT / "docs"), "run", "edges2shoes", *changes],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "hourglass" in (tmp_path / "run" / "export" / "model" / "arch.json").read_text()
