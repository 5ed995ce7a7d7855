"""Recipes from files, packaged ones, overrides; every problem is told at once."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gancompress.errors import RecipeError
from gancompress.fields.bounds import shown
from gancompress.recipe.reading import (
    FAULT,
    load_recipe,
    packaged_recipes,
    recipe_comment,
    resolved_yaml,
)
from gancompress.recipe.yamlreading import RecipeDumper, parse

GOOD = """\
data: {name: maps}
family: {name: resnet}
task: {name: pix2pix}
teacher: {steps: 5}
space: {widths: [16, 8]}
supernet: {steps: 7}
search: {reduction: 8}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    return path


def lines_of(path: Path | str, *overrides: str) -> list[str]:
    """The lines of the RecipeError that loading raises, the file's folder taken away."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return [line.replace(f"{Path(path).parent}/", "") for line in str(caught.value).splitlines()]


def test_a_file_names_its_recipe_unless_it_says_otherwise(good: Path) -> None:
    assert load_recipe(good).name == "mine"
    assert load_recipe(good, ["name=other"]).name == "other"


def test_an_override_takes_the_place_of_the_other_form(good: Path) -> None:
    made = load_recipe(good, ["search.budget_macs=5", "space.preset=channels-32"])
    assert (made.search.budget_macs, made.search.reduction) == (5, None)
    assert (made.space.preset, made.space.widths) == ("channels-32", None)
    with pytest.raises(RecipeError, match="reduction=2: given beside budget_macs"):
        load_recipe(good, ["search.budget_macs=5", "search.reduction=2"])


def test_overrides_set_dotted_keys_with_yaml_values(good: Path) -> None:
    made = load_recipe(
        good,
        [
            "teacher.lr=1e-3",
            "teacher.steps=1e5",
            "supernet.losses={l1: 10, ssim: 0.5}",
            "search.reduction=null",
            "search.budget_macs=2.5e8",
            "search.more_reductions=[13, 38]",
            "metrics.features=effnet-lite0",
            "data.flip=false",
            "run=2024",
            "device=cpu",
        ],
    )
    assert (made.teacher.lr, made.teacher.steps) == (1e-3, 100_000)
    assert made.supernet.losses == {"l1": 10.0, "ssim": 0.5}
    assert (made.search.reduction, made.search.budget_macs) == (None, 250_000_000)
    assert isinstance(made.search.budget_macs, int)
    assert made.search.more_reductions == (13.0, 38.0)
    assert made.metrics.features == "effnet-lite0"
    assert made.data.flip is False
    assert (made.run, made.device) == ("2024", "cpu")


def test_the_last_override_of_a_key_counts(good: Path) -> None:
    assert load_recipe(good, ["seed=1", "seed=2"]).seed == 2


def test_all_problems_are_told_at_once_with_clean_keys(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("""\
sede: 3
data: {name: pairs, fodler: x, load_size: [1, x], search_fraction: 1.5}
family: {name: unett}
task: {nam: pix2pix}
teacher: {width: 0, stepz: 5, op: dens, beta1: true, ema: .nan}
space: {preset: channels-48, widths: [1, 2]}
supernet: {steps: 2.5, losses: {l2: 1, l1: x}, flip: 3}
metrics: 5
search: {}
export: {formats: [safetensors, onx]}
steps: 5
""")
    assert lines_of(path) == [
        "bad.yaml: data.search_fraction: found 1.5; below 1 is allowed",
        'bad.yaml: data.load_size.1: found "x"; an integer is allowed',
        'bad.yaml: data.fodler: unknown key; did you mean "folder"?',
        'bad.yaml: family.name: found "unett"; one of resnet, stargan, spade, unet, munit, '
        'progan, lsgan, srresnet, own, traced; did you mean "unet"?',
        "bad.yaml: task.name: missing; one of pix2pix, cyclegan, stargan, gaugan, munit, "
        "unconditional, superres, imitation",
        "bad.yaml: teacher.steps: missing; it is needed: training steps, one batch each",
        "bad.yaml: teacher.beta1: found true; a number is allowed",
        "bad.yaml: teacher.ema: found NaN; a finite number is allowed",
        "bad.yaml: teacher.width: found 0; at least 1 is allowed",
        'bad.yaml: teacher.op: found "dens"; one of dense, separable; did you mean "dense"?',
        'bad.yaml: teacher.stepz: unknown key; did you mean "steps"?',
        "bad.yaml: space.preset: given beside widths; exactly one is allowed, set one to null",
        "bad.yaml: supernet.steps: found 2.5; an integer is allowed",
        "bad.yaml: supernet.losses.l2: unknown key; one of l1, features, gan, ssim",
        'bad.yaml: supernet.losses.l1: found "x"; a number is allowed',
        'bad.yaml: supernet.flip: unknown key here; did you mean "data.flip"?',
        "bad.yaml: metrics: found 5; a section of keys is allowed",
        "bad.yaml: search.reduction: missing, and budget_macs too; exactly one is needed",
        'bad.yaml: export.formats.1: found "onx"; one of safetensors, pt2, onnx, '
        "onnx-static, onnx-fp16, onnx-int8, openvino, openvino-16bit, openvino-int8, executorch, "
        'web; did you mean "onnx"?',
        'bad.yaml: sede: unknown key; did you mean "seed"?',
        'bad.yaml: steps: unknown key here; did you mean "teacher.steps" or "supernet.steps" or '
        '"finetune.steps"?',
    ]


def test_a_key_named_like_its_kind_is_no_riddle(good: Path) -> None:
    change = "data={name: maps, maps: 3, size: 28}"
    assert lines_of(good, change) == [
        f"override {change}: data.size: found 28; at least 32 is allowed",
        f"override {change}: data.maps: unknown key; "
        "name, size, min_land, flip, folder, source are allowed",
    ]


def test_missing_sections_are_told_each(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("seed: 1\n")
    found = [line.split(": ")[1:3] for line in lines_of(tmp_path / "x.yaml")]
    wanted = ["data", "family", "task", "teacher", "space", "supernet", "search"]
    assert found == [[name, "missing; it is needed"] for name in wanted]


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("task.critic_width=3", 'unknown key; it is called "discriminator_width" now'),
        ("teacher.lr_critic=1e-4", 'unknown key; it is called "lr_discriminator" now'),
        (
            "supernet.target=truth",
            'found "truth"; one of ground-truth, teacher, both; it is called "ground-truth" now',
        ),
        ("supernet.lrr=3", 'unknown key; did you mean "lr"?'),
        ("seed", "not of the form key=value; write section.key=value"),
        ("a..b=1", "not of the form key=value; write section.key=value"),
        ("seed={a: 1, a: 2}", 'line 1: key "a" is given twice; valid YAML is needed'),
        ("seed.x=3", 'seed: found {"x": 3}; an integer is allowed'),
        ("teacher.width.x=1", 'teacher.width: found {"x": 1}; an integer is allowed'),
        ("teacher.steps=true", "found true; an integer is allowed"),
        ("data=5", "found 5; a section of keys is allowed"),
        (
            "data.name=mapz",
            'found "mapz"; one of maps, pairs, map-domains, domains, unpaired, maps-unpaired, '
            "labelmaps, maps-labels, images, idx, inputs, superres, maps-superres, maps-inputs; "
            'did you mean "maps"?',
        ),
        (
            "data={}",
            "data.name: missing; one of maps, pairs, map-domains, domains, unpaired, "
            "maps-unpaired, labelmaps, maps-labels, images, idx, inputs, superres, maps-superres, "
            "maps-inputs",
        ),
        ("data.folder.x=1", 'data.folder: found {"x": 1}; text is allowed'),
        (
            "supernet.losses={l2: 1}",
            "supernet.losses.l2: unknown key; one of l1, features, gan, ssim",
        ),
        ("supernet.losses={l1: 0}", "found {'l1': 0.0}; at least one weight above 0 is needed"),
        ("space.widths=x", 'found "x"; a list is allowed'),
        ("space.widths={a: [8, x]}", 'space.widths.a.1: found "x"; an integer is allowed'),
        (
            "data={name: pairs, folder: x, crop_size: 250}",
            "data.crop_size: found [250, 250]; multiples of 4 are allowed with family resnet",
        ),
        (
            "data={name: pairs, folder: x, crop_size: 300}",
            "data.crop_size: found [300, 300]; at most load_size, [286, 286], is allowed",
        ),
    ],
)
def test_overrides_are_named_in_their_problems(good: Path, override: str, problem: str) -> None:
    assert lines_of(good, override) == [f"override {override}: {problem}"]


def test_an_override_of_a_section_that_is_none_is_refused(good: Path) -> None:
    below, itself = "search.reduction=3", "search=5"
    assert lines_of(good, itself, below) == [
        f"override {below}: search is 5; it has no keys of its own",
        f"override {below}: search: found 5; a section of keys is allowed",
    ]
    assert lines_of(good, "search.budget_macs=5", "search=[3]") == [
        "override search=[3]: found [3]; a section of keys is allowed"
    ]


def test_lists_that_lack_entries_are_told_once(good: Path) -> None:
    data = "data={name: pairs, folder: x}"
    assert lines_of(good, data, "data.crop_size=[256]") == [
        "override data.crop_size=[256]: found [256]; a list of 2 is allowed"
    ]
    assert lines_of(good, data, "data.crop_size=[]") == [
        "override data.crop_size=[]: found []; a list of 2 is allowed"
    ]
    assert lines_of(good, "space.bands=[[0.5], 0.25]") == [
        "override space.bands=[[0.5], 0.25]: space.bands.0: found [0.5]; a list of 2 is allowed"
    ]


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("name=" + "a" * 101, f'found "{"a" * 58}…; text of at most 100 characters is allowed'),
        (f"teacher.steps={2**63}", f"found {2**63}; a number of at most 63 bits is allowed"),
        ("run=" + "a" * 256, "found a path of 256 characters; names of at most 255 bytes, in a "
         "path of fewer than 4096, are allowed"),
        ("run=" + "a/" * 2048, "found a path of 4096 characters; names of at most 255 bytes, in a "
         "path of fewer than 4096, are allowed"),
        ("run=a\0b", "found the character '\\x00', which is no text; take it out"),
    ],
)  # fmt: skip
def test_what_no_disk_or_tensor_takes_is_refused(good: Path, override: str, text: str) -> None:
    (line,) = lines_of(good, override)
    assert line.startswith(f"override {shown(override, 200)}: ")
    assert line.endswith(text)


def test_names_that_no_file_can_have_are_refused_as_names() -> None:
    for name in ("a" * 300, "~nobody-of-that-name/x.yaml", "a\0b.yaml"):
        with pytest.raises(RecipeError, match="no such"):
            load_recipe(name)


def test_a_thousand_problems_are_told_in_part(good: Path) -> None:
    good.write_text(GOOD + "".join(f"key{i}: 1\n" for i in range(1000)))
    lines = lines_of(good)
    assert len(lines) == 31
    assert lines[-1] == "mine.yaml: and 970 problems more"


def test_a_fault_of_the_reader_is_one_sentence_too(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("gancompress.recipe.reading.typed", fail)
    assert lines_of(good) == [f"mine.yaml: {FAULT} (KeyError: 'x'); please report this recipe"]


def test_an_override_below_a_plain_value_is_refused(good: Path) -> None:
    assert lines_of(good, "search.reduction.x=1") == [
        "override search.reduction.x=1: search.reduction is 8; it has no keys of its own"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2\n", r"x.yaml: line 2: .*; valid YAML is needed"),
        ("seed: 1\nseed: 2\n", r'x.yaml: line 2: key "seed" is given twice; valid YAML .*'),
        ("a: {b: 1,\n  b: 2}\n", r'x.yaml: line 2: key "b" is given twice; valid YAML .*'),
        ("\ta: 1\n", r"x.yaml: line 1: .*; valid YAML is needed"),
        ("a: !!python/object/apply:os.system [x]\n", r"x.yaml: line 1: found the tag .*"),
        ("a: \x00\n", r"x.yaml: found the character '.x00', which is no text; take it out"),
        ("", r"x.yaml: found nothing; a recipe of lines `key: value` is needed"),
        ("- 1\n", r"x.yaml: found \[1\]; a recipe of lines `key: value` is needed"),
    ],
)
def test_what_is_not_a_recipe_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    (line,) = lines_of(tmp_path / "x.yaml")
    assert re.fullmatch(message, line)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    assert lines_of(tmp_path / "x.yaml") == ["x.yaml: not UTF-8 text; a YAML file is needed"]


def test_unknown_recipes_are_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match='^quikstart: no such .*; did you mean "quickstart"[?]$'):
        load_recipe("quikstart")
    with pytest.raises(RecipeError, match="^zzz: no such recipe or file; .* map2sat, maps, "):
        load_recipe("zzz")
    with pytest.raises(RecipeError, match=r"^no/x.yaml: no such file; give a recipe file, or one"):
        load_recipe("no/x.yaml")


@pytest.mark.parametrize("name", packaged_recipes())
def test_packaged_recipes_load_and_begin_with_their_command(name: str) -> None:
    assert load_recipe(name).name == name
    comment = recipe_comment(name)
    command, *overrides = comment[0].split(" data.")  # where a recipe needs the user's images
    assert command == f"gancompress run {name}"
    assert all("=DIR" in override for override in overrides)
    assert len(" ".join(comment[1:])) > 40


def test_the_packaged_recipes_are_these() -> None:
    of_papers = ["cityscapes", "coco-stuff", "edges2shoes", "horse2zebra", "map2sat"]
    of_maps = ["cyclegan-maps", "gaugan-maps", "maps", "munit-maps", "pix2pix-unet-maps"]
    of_maps += ["progan-maps", "quickstart", "srgan-maps", "stargan-maps"]
    others = ["lsgan-digits", "progan-celeba", "srgan-celeba", "stargan-celeba", "stargan-rafd"]
    others += ["realesrgan"]
    assert packaged_recipes() == sorted([*of_papers, *of_maps, *others])


def test_recipes_of_the_papers_have_their_settings() -> None:
    shoes, sat = load_recipe("edges2shoes"), load_recipe("map2sat")
    assert shoes.space.preset == "channels-64-pix2pix"
    assert sat.space.preset == "channels-48"
    for made in (shoes, sat):
        assert (made.family.blocks, made.teacher.width, made.teacher.op) == (9, 64, "dense")
        assert made.data.image_size == (256, 256)
        assert (made.teacher.batch_size, made.teacher.lr, made.teacher.beta1) == (4, 2e-4, 0.5)
        assert (made.task.gan, made.task.lambda_l1) == ("hinge", 100.0)
        assert made.metrics.features == "inception"


@pytest.mark.parametrize("name", packaged_recipes())
def test_resolved_recipes_read_back_equal(name: str, tmp_path: Path) -> None:
    made = load_recipe(name, ["run=no", "teacher.ema=1e-9", "metrics.inception_weights=1:30"])
    (tmp_path / "recipe.yaml").write_text(resolved_yaml(made))
    assert load_recipe(tmp_path / "recipe.yaml") == made


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e6", 1_000_000),
        ("2.5e8", 250_000_000),
        ("1e-4", 1e-4),
        ("-1.5E+3", -1500),
        ("200_000", 200_000),
        ("24_24_40_56_24_56_16_40", "24_24_40_56_24_56_16_40"),
        ("2.0", 2.0),
        (".5", 0.5),
        ("007", "007"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("no", "no"),
        ("True", True),
        ("~", None),
        ("", None),
        ("'1e6'", "1e6"),
        ("0", 0),
        ("1e", "1e"),
        ("e5", "e5"),
        ("{<<: {a: 1}, b: 2}", {"a": 1, "b": 2}),
    ],
)
def test_numbers_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = parse(text, "x")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    ["1e6", "no", "null", "~", "", "1", "1_000", ".5", "true", "a: b", "ü", "<<", 1e6, 2e-5, 1, 0.1]
    + [True, None, math.inf, [1, [2]], {"a": {"b": []}}],
    ids=repr,
)  # fmt: skip
def test_what_is_written_is_read_back(value: Any) -> None:
    text = yaml.dump({"x": value}, Dumper=RecipeDumper)
    assert parse(text, "x") == {"x": value}
    assert type(parse(text, "x")["x"]) in (type(value), int)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("meine Schuhe \u00fc", "meine-Schuhe-u"),
        ("meine Schuhe u\u0308", "meine-Schuhe-u"),
        ("a--b_c.1", "a--b_c.1"),
        ("maps-2", "maps-2"),
        ("_x (1)", "x-1"),
        ("\u5199\u771f", "recipe"),
        (".a", "a"),
        ("a\udcff", "a"),
    ],
)
def test_any_name_of_a_file_gives_a_recipe_s(tmp_path: Path, stem: str, name: str) -> None:
    path = tmp_path / f"{stem}.yaml"
    path.write_text(GOOD)
    recipe = load_recipe(path)
    assert recipe.name == name and recipe.run_dir == Path("runs") / name


@pytest.mark.parametrize("told", ["", "run: runs/one\n"])
def test_the_recipe_of_a_copied_run_means_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("runs/one", "elsewhere/copy", "elsewhere/recipes"):
        Path(place).mkdir(parents=True)
        Path(place, "recipe.yaml").write_text(f"name: one\n{told}{GOOD}")
    for run in ("runs/one", "elsewhere/copy"):
        Path(run, "teacher").mkdir()
        Path(run, "teacher", "stage.json").touch()
    assert load_recipe("runs/one/recipe.yaml").run_dir == Path("runs/one")
    assert load_recipe("elsewhere/copy/recipe.yaml").run_dir == Path("elsewhere/copy")
    assert load_recipe("elsewhere/recipes/recipe.yaml").run_dir == Path("runs/one")
    assert load_recipe("elsewhere/copy/recipe.yaml", ["run=x"]).run_dir == Path("x")
    monkeypatch.chdir("elsewhere/copy")
    assert load_recipe("recipe.yaml").run_dir.resolve() == tmp_path / "elsewhere" / "copy"
