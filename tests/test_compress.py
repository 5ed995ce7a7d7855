"""`gancompress compress`: a trained generator and a folder of images, as a user brings them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import tracednets
import yaml
from broughtfiles import MODULE, TOY, bring
from typer.testing import CliRunner

from gancompress.archs.arch import Arch
from gancompress.cli.commands import app
from gancompress.errors import RunError
from gancompress.export import load
from gancompress.importers.generators import How
from gancompress.stages.asked import CompressOptions
from gancompress.stages.compress import budget_widths, compressed_project, depths_of
from gancompress.supernet.cost import network_cost


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with net.py, net.pth and photos."""
    folder = tmp_path_factory.mktemp("user")
    bring(folder)
    return folder


def call(place: Path, *more: str, out: str = "run", value_range: str = "-1,1") -> tuple[int, str]:
    args = [
        "compress", f"{place}/net.py:Generator", "--weights", f"{place}/net.pth", "--images",
        f"{place}/photos", "--out", f"{place}/{out}", "--size", "32x32", "--minutes", "0.2",
    ]  # fmt: skip
    ranged = ["--range", value_range] if value_range else []
    result = CliRunner().invoke(app, [*args, *ranged, *more, *TOY])
    text = " ".join((result.output + result.stderr).split())
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, text


def test_a_dry_run_says_what_was_understood_and_leaves_nothing(place: Path) -> None:
    code, text = call(place, "--dry-run", out="dry")
    assert code == 0, text
    assert "input 3 channels, any height and width, multiples of 1, values -1 to 1" in text
    assert "graph answers as the original to 0 of its range" in text
    assert "channels 1 groups, each proven" in text and "100.0% of all MACs" in text
    assert not (place / "dry").exists()


def test_everything_is_done_and_given_again_it_is_done_already(place: Path) -> None:
    code, text = call(place, "--reduction", "4", "--for", "safetensors", "--for", "pt2")
    assert code == 0, text
    run = place / "run"
    recipe = yaml.safe_load((run / "compress.yaml").read_text())
    assert recipe["task"] == {"name": "imitation"} and recipe["search"]["reduction"] == 4.0
    assert list(recipe["space"]["depths"].values()) == [[2]]
    assert (run / "report.html").exists()
    rows = json.loads((run / "export" / "card.json").read_text())["rows"]
    assert rows[0]["macs_true"] >= 4 * rows[1]["macs_true"]
    x = torch.rand(1, 3, 40, 24) * 2 - 1
    small = load(run / "export" / "model")
    program = torch.export.load(run / "export" / "model" / "model.pt2").module()
    with torch.no_grad():
        torch.testing.assert_close(program(x), small(x), atol=1e-5, rtol=1e-5)
    before = (run / "export" / "model" / "model.safetensors").read_bytes()
    code, text = call(place, "--reduction", "4", "--for", "safetensors", "--for", "pt2")
    assert code == 0 and "goes on with this recipe" in text and "export: done already" in text
    assert (run / "export" / "model" / "model.safetensors").read_bytes() == before


def test_a_range_that_cannot_be_told_is_asked_for(place: Path) -> None:
    code, text = call(place, "--dry-run", out="found", value_range="")
    assert code == 2 and "cannot be told from its answers to 8 of yours" in text
    assert "give --range 0,1 or -1,1 or 0,255" in text


def test_strange_answers_in_a_given_range_are_said(place: Path, tmp_path: Path) -> None:
    dark = "class Dark(Generator):\n    def forward(self, x):\n"
    dark += "        return 0.01 * super().forward(x)\n"
    (tmp_path / "dark.py").write_text(f"{MODULE}\n\n{dark}")
    args = ["compress", f"{tmp_path}/dark.py:Dark", "--weights", f"{place}/net.pth", "--images",
            f"{place}/photos", "--out", f"{tmp_path}/run", "--range", "-1,1", "--size", "32x32",
            "--dry-run", *TOY]  # fmt: skip
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    assert "given your images in -1 to 1 its answers vary 0.0" in " ".join(result.output.split())


OTHERS: list[tuple[str, Callable[[CompressOptions], CompressOptions]]] = [
    ("TEACHER", lambda own: replace(own, teacher="other.py:Generator")),
    ("--weights", lambda own: replace(own, how=replace(own.how, weights=Path("other.pth")))),
    ("--args", lambda own: replace(own, how=replace(own.how, arguments={"width": 4}))),
    ("--bind", lambda own: replace(own, how=replace(own.how, bound={"y": torch.ones(1)}))),
    ("--images", lambda own: replace(own, images=Path("others"))),
    ("--reduction", lambda own: replace(own, reduction=5.0)),
    ("--for", lambda own: replace(own, formats=("onnx",))),
]


@pytest.fixture(scope="module")
def begun(place: Path) -> CompressOptions:
    """The options of a run of which nothing but the recipe is made."""
    how = How(place / "net.pth")
    options = CompressOptions(
        f"{place}/net.py:Generator", place / "photos", place / "begun", how, minutes=0.1,
        value_range="-1,1", size=(32, 32), overrides=TOY,
    )  # fmt: skip
    assert compressed_project(options, print, is_dry=False) is not None
    return options


def test_a_run_that_is_there_goes_on_with_its_recipe(
    begun: CompressOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    path = begun.out / "compress.yaml"
    path.write_text(path.read_text().replace("l1: 100.0", "l1: 70.0"))
    project = compressed_project(begun, print, is_dry=False)
    assert project is not None and project.recipe.supernet.losses == {"l1": 70.0}
    assert compressed_project(begun, print, is_dry=True) is None
    assert "goes on with this recipe" in capsys.readouterr().out


@pytest.mark.parametrize(("option", "other"), OTHERS)
def test_a_run_begun_with_other_options_is_not_gone_on_with(
    option: str, other: Callable[[CompressOptions], CompressOptions], begun: CompressOptions
) -> None:
    with pytest.raises(RunError, match=f"begun: was begun with {option} .*, not .*give another"):
        compressed_project(other(begun), print, is_dry=False)


REFUSED = [
    (["--reduction", "100000"], "-1,1", "--reduction 100000: under the floor; with one channel in"),
    ([], "0,7", "--range 0,7: not a range; one of 0,1 -1,1 0,255"),
    (["--args", "[1]"], "-1,1", "--args [1]: not a JSON object"),
    (["--size", "32"], "-1,1", "--size 32: not a size"),
]


@pytest.mark.parametrize(("more", "value_range", "message"), REFUSED)
def test_what_cannot_be_done_is_refused_and_nothing_left(
    more: list[str], value_range: str, message: str, place: Path
) -> None:
    code, text = call(place, *more, out="refused", value_range=value_range)
    assert code == 2 and message in text, text
    assert not (place / "refused").exists()


def test_of_a_chain_of_equal_branches_half_are_kept() -> None:
    family = tracednets.usual_family(blocks=5)
    depths = depths_of(family)
    (stage,) = depths
    assert depths == {stage: [3]}
    assert depths_of(tracednets.usual_family(blocks=3)) == {}  # too few to be a chain


@pytest.mark.parametrize("reduction", [3.0, 8.0, 30.0])
def test_widths_lie_about_the_budget_at_the_depth_that_is_kept(reduction: float) -> None:
    family = tracednets.usual_family(blocks=4)
    widths, has_second = budget_widths(family, depths_of(family), (16, 16), reduction)
    depth = {f"{stage}.depth": (str(kept),) for stage, (kept,) in depths_of(family).items()}

    def macs(arch: Arch) -> int:
        with torch.device("meta"):
            return network_cost(family.build(arch), torch.empty(1, 3, 16, 16)).macs_true

    def at(end: int) -> Arch:
        kept = {slot: values[0] for slot, values in depth.items()}
        return family.arch([widths[slot][end] for slot in family.width_slots]).replace(kept)

    full = macs(family.traced_arch)
    assert macs(at(0)) >= full / reduction >= macs(at(-1))
    assert has_second == (macs(at(-1)) <= full / reduction / 2)
