"""What a command opens, it opens once; and a search is driven in few steps."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toyrecipes import SMALL, TOY, of_pairs, save_toy_pairs
from typer.testing import CliRunner

from gancompress.cli import commands as cli
from gancompress.data.options import PairsOptions
from gancompress.metrics.evaluate import Evaluator
from gancompress.nets.families.options import ResNetOptions
from gancompress.project import Project, results
from gancompress.recipe.reading import load_recipe
from gancompress.stages import pipeline
from gancompress.storage import checkpoint

pytest.importorskip("efficientnet_lite_pytorch")

FEW = ("finetune.steps=2", "search.first_images=3", "search.candidates=3")
OPENED = ("data", "family", "features", "teacher")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once")
    save_toy_pairs(folder / "pairs")
    return folder


def options(root: Path) -> list[str]:
    return [*of_pairs(root / "pairs"), *TOY, *SMALL, *FEW, f"run={root / 'run'}"]


@pytest.fixture(scope="module")
def commands(root: Path) -> dict[str, Counter[str]]:
    """By command, how often it opened each thing, hashed each image, and read each JSON file."""
    found = {}
    for name, stages, redo in (
        ("run", None, False),
        ("search", ("search",), True),
        ("export", ("export",), True),
        ("again", None, False),
    ):
        with pytest.MonkeyPatch.context() as patch:
            found[name] = counted(patch, root)
            project = Project(load_recipe("edges2shoes", options(root)))
            names = pipeline.stages_of(project) if stages is None else stages
            pipeline.run_stages(project, names, lambda text: None, redo=redo)
    return found


def counted(patch: pytest.MonkeyPatch, root: Path) -> Counter[str]:
    """Counts from now on: what is opened by its name, files by their place."""
    found: Counter[str] = Counter()

    def noting(work: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def noted(*args: Any, **options: Any) -> Any:
            found[name(*args)] += 1
            return work(*args, **options)

        return noted

    def place(path: Path) -> str:
        is_ours = Path(path).is_relative_to(root)
        return Path(path).relative_to(root).as_posix() if is_ours else str(path)

    def teacher(path: Path) -> str:
        return "teacher" if place(path) == "run/teacher/model.safetensors" else "other weights"

    def family(*_: object) -> str:
        is_of_recipe = sys._getframe(2).f_code.co_name == "family"  # of the recipe's options
        return "family" if is_of_recipe else "family of a file"

    patch.setattr(PairsOptions, "open", noting(PairsOptions.open, lambda *_: "data"))
    patch.setattr(ResNetOptions, "of", staticmethod(noting(ResNetOptions.of, family)))
    load_features = "gancompress.project.project.load_features"
    patch.setattr(load_features, noting(_attribute(load_features), lambda *_: "features"))
    patch.setattr(results, "load_tensors", noting(results.load_tensors, teacher))
    digest = "gancompress.storage.filehashes.file_digest"
    patch.setattr(digest, noting(_attribute(digest), place))
    patch.setattr(checkpoint, "_read", noting(checkpoint._read, place))
    return found


def _attribute(dotted: str) -> Callable[..., Any]:
    module, _, name = dotted.rpartition(".")
    found: Callable[..., Any] = getattr(sys.modules[module], name)
    return found


@pytest.mark.parametrize("command", ["run", "search", "export"])
def test_each_thing_is_opened_once_a_command(
    commands: dict[str, Counter[str]], command: str
) -> None:
    assert {name: commands[command][name] for name in OPENED} == dict.fromkeys(OPENED, 1)


def test_what_is_done_needs_nothing_opened(commands: dict[str, Counter[str]]) -> None:
    assert {name: commands["again"][name] for name in OPENED if commands["again"][name]} in (
        {},
        {"data": 1},  # whose files are compared with those that the stages were made from
    )


def test_no_image_is_hashed_twice(commands: dict[str, Counter[str]]) -> None:
    images = {f"pairs/{i:02}.png" for i in range(12)}
    assert {name for name in commands["run"] if name.startswith("pairs/")} == images
    assert all(commands["run"][name] == 1 for name in images)
    for later in ("search", "export", "again"):  # the run's cache knows them
        assert not [name for name in commands[later] if name.startswith("pairs/")]


@pytest.mark.parametrize("command", ["search", "export"])
def test_records_of_finished_stages_are_read_once(
    commands: dict[str, Counter[str]], command: str
) -> None:
    for stage in ("teacher", "supernet"):
        assert commands[command][f"run/{stage}/stage.json"] == 1
    assert commands["export"]["run/search/front.json"] <= 1


def test_a_search_is_eight_frames_deep(root: Path, commands: object) -> None:
    depths: list[int] = []
    score = Evaluator.score

    def noting(*args: Any, **options: Any) -> Any:
        frames = list(_frames_below_the_command())
        depths.append(len(frames))
        return score(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluator, "score", noting)
        again = ["search", "edges2shoes", *options(root), "--redo"]
        result = CliRunner().invoke(cli.app, again, catch_exceptions=False)
    assert result.exit_code == 0
    # _stages, run_stages, search_stage, search_in_rungs, search, scores; then the score
    assert depths and max(depths) <= 8


def _frames_below_the_command() -> Iterator[str]:
    """The functions that are running, from the scoring up to the command's own."""
    frame = sys._getframe(1)
    names = []
    while frame is not None and not (
        frame.f_code.co_filename == cli.__file__ and frame.f_code.co_name == "search"
    ):
        names.append(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return iter([] if frame is None else [*names, "search"])
