"""Keys that are texts take what was typed; files and folders may begin at the home folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gancompress.errors import RecipeError
from gancompress.recipe.reading import load_recipe, resolved_yaml
from gancompress.recipe.recipe import Recipe
from gancompress.recipe.texts import file_keys

GOOD = """\
data: {name: maps}
family: {name: resnet}
task: {name: pix2pix}
teacher: {steps: 5}
space: {widths: [16, 8]}
supernet: {steps: 7}
search: {reduction: 8}
"""
DOMAINS = GOOD.replace("{name: maps}", "{name: domains, folder: photos, domains: [a, b]}").replace(
    "pix2pix", "stargan"
)
TYPED = [
    "1.10", "1_000", "007", "1e3", "0x10", "yes", "no", "on", "true", "True", "false", "Null",
    "x~",
    "2024-01-02", "12:30", ".5", ".inf", "a: b", "a #1", "#1", "@home", "*", "[x]", "{x}", "a, b",
    "C:\\images", "%x", "!x", "&x", "- x", "= x", "ü", "x=y", "-",
]  # fmt: skip


def _data(made: Recipe) -> dict[str, Any]:
    return made.data.model_dump()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    return path


@pytest.mark.parametrize("text", TYPED)
def test_a_text_on_the_command_line_is_what_was_typed(good: Path, text: str) -> None:
    made = load_recipe(good, [f"run={text}", f"data.folder={text}", f"export.licence={text}"])
    assert (made.run, _data(made)["folder"], made.export.licence) == (text, text, text)
    again = good.with_name("again.yaml")
    again.write_text(resolved_yaml(made))
    assert load_recipe(again) == made


@pytest.mark.parametrize("text", TYPED[:17])
def test_a_text_in_a_file_is_what_was_typed(good: Path, text: str) -> None:
    typed = GOOD.replace("{name: maps}", f"{{name: maps, folder: {text}}}")
    good.write_text(f"{typed}run: {text}\nexport: {{licence: {text}}}\n")
    made = load_recipe(good)
    assert (made.run, _data(made)["folder"], made.export.licence) == (text, text, text)


def test_names_take_the_text_too(good: Path) -> None:
    assert load_recipe(good, ["name=1.10"]).name == "1.10"
    assert str(load_recipe(good, ["name=1.10"]).run_dir) == "runs/1.10"
    good.write_text(GOOD + "name: 2_000\n")
    assert load_recipe(good).name == "2_000"


def test_null_unsets_and_quoted_is_a_text(good: Path) -> None:
    good.write_text(GOOD + "run: kept\n")
    for text in ("null", "", " null "):
        assert load_recipe(good, [f"run={text}"]).run is None
    for text in ("'null'", '"null"'):
        assert load_recipe(good, [f"run={text}"]).run == "null"
    assert load_recipe(good, ["run='1.10 '"]).run == "1.10 "
    for text, run in (("null", None), ("", None), ("'null'", "null")):
        good.write_text(GOOD + f"run: {text}\n")
        assert load_recipe(good).run == run


def test_lists_of_names_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(DOMAINS.replace("[a, b]", "[no, yes, 1.10, null, ~, 1_000, true]"))
    names = ("no", "yes", "1.10", "null", "~", "1_000", "true")
    assert load_recipe(path).data.domain_names == names
    path.write_text(DOMAINS)
    made = load_recipe(path, ["data.domains=[no, yes, 1.10, 'x y', 3]"])
    assert made.data.domain_names == ("no", "yes", "1.10", "x y", "3")
    whole = "data={name: domains, folder: 1.10, domains: [1.10, off], size: 64}"
    made = load_recipe(path, [whole])
    assert (_data(made)["folder"], made.data.domain_names) == ("1.10", ("1.10", "off"))
    assert made.data.image_size == (64, 64)


def test_keys_of_mappings_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    names = "classes: 3, class_names: [1.10, no, on]"
    labels = f"{{name: labelmaps, label_folder: a, image_folder: b, {names}}}"
    path.write_text(
        GOOD.replace("{name: maps}", labels)
        + "metrics: {segmentation: {file: 1.10, kind: pt2, classes: {1.10: 4, no: 5}}}\n"
    )
    section = load_recipe(path).metrics.segmentation
    assert section is not None and section.file == "1.10"
    assert section.classes == {"1.10": 4, "no": 5}
    path.write_text(GOOD + "1.0: x\n1.00: y\n")
    with pytest.raises(RecipeError, match=r"1\.0: unknown key(.|\n)*1\.00: unknown key"):
        load_recipe(path)


def test_numbers_and_switches_stay_what_they_are(good: Path) -> None:
    made = load_recipe(good, ["teacher.steps=1_000", "data.flip=false", "seed=7"])
    assert (made.teacher.steps, _data(made)["flip"], made.seed) == (1000, False, 7)
    with pytest.raises(RecipeError, match="seed=1.10: found 1.1; an integer is allowed"):
        load_recipe(good, ["seed=1.10"])


def test_files_and_folders_may_begin_at_home(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    made = load_recipe(good, ["run=~/x/~y", "data.folder=~"])
    assert (made.run, _data(made)["folder"]) == ("/home/me/x/~y", "/home/me")
    assert load_recipe(good, ["run=x/~"]).run == "x/~"
    assert load_recipe(good, ["run=~root/x"]).run == "/root/x"
    assert load_recipe(good, ["search.storage=journal:~/x"]).search.storage == "journal:/home/me/x"
    assert load_recipe(good, ["metrics.inception_weights=~/w"]).metrics.inception_weights == (
        "/home/me/w"
    )
    with pytest.raises(RecipeError, match="run=~nobody-here/x: found ~nobody-here/x; no user of"):
        load_recipe(good, ["run=~nobody-here/x"])
    (tmp_path / "net.py").write_text("def build(arch): ...")
    monkeypatch.setenv("HOME", str(tmp_path))
    family = load_recipe(good, ["family={file: ~/net.py}"]).family
    assert family.model_dump()["file"] == f"{tmp_path}/net.py"


def test_every_key_that_names_a_file_is_known_as_one() -> None:
    """Read off the models' own descriptions, so that a new key is not forgotten."""
    schema = Recipe.model_json_schema()
    told = {
        f"{name}.{key}"
        for name, model in schema["$defs"].items()
        for key, about in model.get("properties", {}).items()
        if key.endswith(("folder", "file", "weights"))
        and {"type": "string"} in (about.get("anyOf", []) + [{"type": about.get("type")}])
    }
    assert len(told) >= 20
    with_files = {
        "data": {
            "name": "labelmaps", "label_folder": "a", "image_folder": "b", "instance_folder": "c",
            "colour_file": "d", "classes": 2,
        },
        "task": {"name": "gaugan", "vgg_weights": "e"},
        "family": {"name": "spade"},
        "run": "f",
        "metrics": {
            "inception_weights": "g",
            "segmentation": {"file": "h", "kind": "pt2"},
            "classifier": {"file": "i", "kind": "pt2"},
        },
    }  # fmt: skip
    rest = {
        "name": "x", "teacher": {"steps": 1}, "space": {"widths": [1]}, "supernet": {"steps": 1},
        "search": {"reduction": 2},
    }  # fmt: skip
    found = file_keys(Recipe.model_validate({**rest, **with_files}))
    assert sorted(found.values()) == list("abcdefghi")
    assert found["metrics.segmentation.file"] == "h" and found["data.colour_file"] == "d"
