"""What would stop a command is found before its first step: each fault once, with its sentence."""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import ownnets
import pytest
import torch
from PIL import Image

from gancompress.data.pairs import PairFolders
from gancompress.errors import (
    ArchError,
    DataError,
    DivergedError,
    ExportError,
    GanCompressError,
)
from gancompress.project import Project
from gancompress.project.results import winners_of
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.stages import filecheck, pipeline, rehearsal
from gancompress.stages.filecheck import FileCheck
from gancompress.stages.preflight import TRAINED
from gancompress.storage.runs import Run
from gancompress.tasks.base import Phase, Step
from gancompress.training import steps
from gancompress.training.optimisers import Optimiser

pytest.importorskip("efficientnet_lite_pytorch")

STAGES = ("teacher", "supernet", "search", "export")
NOISE = ownnets.LEAST.replace("down, nn.ReLU()", "down, Noise()").replace(
    "def build", "import torch\nclass Noise(nn.Module):\n"
    "    def forward(self, x):\n        return x + torch.randn_like(x)\n\ndef build"
)  # fmt: skip
UNSAVED = ownnets.LEAST.replace("down, nn.ReLU()", "down, Scale(c)").replace(
    "def build", "import torch\nclass Scale(nn.Module):\n    def __init__(self, c):\n"
    "        super().__init__()\n        self.scale = torch.arange(c).view(1, -1, 1, 1) + 1.0\n"
    "    def forward(self, x):\n        return x * self.scale\n\ndef build"
)  # fmt: skip
FORKED = ownnets.LEAST.replace("down, nn.ReLU()", "down, Fork()").replace(
    "def build", "class Fork(nn.Module):\n    def forward(self, x):\n"
    "        return x if x.device.type == 'meta' or x.mean() > 9 else x.relu()\n\ndef build"
)  # fmt: skip
PAIRED = ownnets.SKIP.replace("def forward(self, x):", "def forward(self, x, y):")
SHRUNK = ownnets.LEAST.replace("ConvTranspose2d(c, 3, 4, 4)", "ConvTranspose2d(c, 3, 4, 2)")


def save_pairs(folder: Path, *, channels: int = 3, count: int = 10) -> Path:
    """Pairs in split folders, of inputs and of targets with so many channels."""
    rng = np.random.default_rng(0)
    for split in ("train", "search", "test"):
        for side, depth in (("in", 3), ("out", channels)):
            place = folder / side / split
            place.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (16, 16, depth), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{i}.png")
    return folder


def recipe_of(tmp_path: Path, text: str = ownnets.LEAST, *more: str, channels: int = 3) -> Recipe:
    """A small recipe of pairs, with a generator of one's own."""
    folder, path = save_pairs(tmp_path / "data", channels=channels), tmp_path / "net.py"
    path.write_text(text)
    data = f"input_folder: {folder / 'in'}, target_folder: {folder / 'out'}, layout: two-folders"
    sizes = "load_size: 16, crop_size: 16"
    return load_recipe(
        "edges2shoes",
        [
            f"data={{name: pairs, {data}, target_channels: {channels}, {sizes}}}",
            f"family={{file: {path}}}", "teacher.width=16", "space={widths: [16, 12, 8]}",
            "teacher.steps=2", "teacher.batch_size=2", "supernet.steps=2", "supernet.batch_size=2",
            "task.discriminator_width=4", "task.discriminator_layers=1",
            "metrics.features=effnet-lite0",
            "metrics.images=4", "search.images=4", "search.candidates=2", "search.population=2",
            "search.more_reductions=[]", "search.reduction=1.3", "search.budget_macs=null",
            "export.formats=[safetensors]", "export.latency_repeats=1", "workers=0", "device=cpu",
            "precision=float32",
            "precision=float32", f"run={tmp_path / 'run'}", *more,
        ],
    )  # fmt: skip


def refusal(recipe: Recipe, *stages: str) -> GanCompressError:
    """What a command is refused with, before anything of its run is made."""
    with pytest.raises(GanCompressError) as caught:
        pipeline.run_stages(Project(recipe), stages or STAGES, lambda text: None)
    assert not Path(recipe.run_dir).exists()
    return caught.value


def test_what_is_checked_is_said_and_nothing_is_left_behind(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    said: list[str] = []
    pipeline.preflight(Project(recipe), STAGES, said.append)
    assert said[0].startswith("checked beforehand, ")
    assert [line.strip() for line in said[1:]] == [
        "every file opened",
        "channels: the order of 1 of 1 width slots is free, proven on a batch",
        "teacher, smallest and largest generator: a batch of train, search, test each",
        "distillation: l1, features, gan",
        "metrics: L1, FD-EffNetLite0, KD-EffNetLite0",
        "formats, written and read back: safetensors",
    ]
    assert not (tmp_path / "run").exists()


def test_what_follows_draws_as_if_nothing_had_been_checked(tmp_path: Path) -> None:
    torch.manual_seed(3)
    pipeline.preflight(Project(recipe_of(tmp_path)), ["teacher"])
    drawn = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(2))


@pytest.mark.parametrize("split", ["train", "search", "test"])
def test_a_damaged_file_of_any_split_is_named_at_once(tmp_path: Path, split: str) -> None:
    recipe = recipe_of(tmp_path)
    path = tmp_path / "data" / "out" / split / "7.png"  # of which no first batch has any
    path.write_bytes(path.read_bytes()[:200])
    error = refusal(recipe, "teacher")
    assert isinstance(error, DataError) and str(error).startswith(f"{path}: ")


@pytest.fixture(params=["heeded", "ignored"])
def ctrl_c(request: pytest.FixtureRequest) -> Iterator[str]:
    """Ctrl-C as in a terminal, and as of jobs in the background."""
    handlers = {"heeded": signal.default_int_handler, "ignored": signal.SIG_IGN}
    before = signal.signal(signal.SIGINT, handlers[request.param])
    yield request.param
    signal.signal(signal.SIGINT, before)


def test_a_damaged_file_among_many_stops_the_training_and_keeps_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ctrl_c: str
) -> None:
    recipe = recipe_of(tmp_path, ownnets.LEAST, "teacher.steps=1000000")
    state = tmp_path / "run" / "teacher" / "state.pt"
    monkeypatch.setattr(filecheck, "AT_ONCE_SECONDS", 0.0)

    def slow(self: PairFolders) -> None:
        while not state.parent.exists():
            time.sleep(0.01)
        # A signal that comes before the training handles it stops the command, and no state is
        # kept; one that is ignored would be lost.
        while ctrl_c == "heeded" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            time.sleep(0.01)
        raise DataError("seven.png: damaged")

    monkeypatch.setattr(PairFolders, "check", slow)
    said: list[str] = []
    with pytest.raises(DataError, match="^seven.png: damaged$"):
        pipeline.run_stages(Project(recipe), ["teacher"], said.append)
    assert "  files are opened as it trains" in said and state.exists()


def test_a_file_check_that_comes_too_late_stops_nothing() -> None:
    go = threading.Event()

    class Slow:
        def check(self) -> None:
            go.wait()
            raise DataError("late")

    check = FileCheck(Slow())
    assert not check.wait(0)
    with check:
        pass
    go.set()
    with pytest.raises(DataError, match="late"):
        check.wait(5)
    assert FileCheck(None).wait() and FileCheck(object()).wait()


def test_ctrl_c_stays_ctrl_c_where_no_file_is_damaged() -> None:
    with pytest.raises(KeyboardInterrupt), FileCheck(None):
        raise KeyboardInterrupt


def test_packages_of_formats_that_do_not_load_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of our own families are not written beforehand, as the tests write them."""
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('no such symbol')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    pytest.importorskip("onnx")
    with pytest.raises(ExportError) as caught:
        rehearsal._try_packages(["pt2", "onnx"])
    assert "onnx needs onnxruntime, which does not load (ImportError: no such sym" in str(
        caught.value
    )


def test_targets_of_four_channels_are_refused_at_once(tmp_path: Path) -> None:
    text = ownnets.LEAST.replace("(arch)", "(arch, out_channels)")
    text = text.replace("(c, 3,", "(c, out_channels,")
    error = refusal(recipe_of(tmp_path, text, channels=4), "teacher")
    assert str(error) == (
        "edges2shoes: data: found targets of 4 channels; generators are evaluated on images of 1 "
        "or 3, give data.target_channels=3, and data.background if they are transparent"
    )


@pytest.mark.parametrize(
    ("text", "formats", "message"),
    [
        (NOISE, "safetensors", "answers the same input differently each time"),
        (UNSAVED, "safetensors", "keep as buffers the tensors that it holds"),
        (SHRUNK, "safetensors", r"the teacher answers \(2, 3, 10, 10\) to \(2, 3, 16, 16\)"),
        (FORKED, "pt2", "torch.export cannot trace this network"),
        (PAIRED, "safetensors", r"net.py: forward takes 2 inputs \(x, y\)"),
    ],
)
def test_generators_that_fail_later_are_refused_at_once(
    tmp_path: Path, text: str, formats: str, message: str
) -> None:
    error = refusal(recipe_of(tmp_path, text, f"export.formats=[{formats}]"))
    assert isinstance(error, ArchError | ExportError)
    assert re.search(message, str(error)), str(error)


@pytest.mark.parametrize("name", ["LEAST", "GROUPED"])
def test_generators_that_failed_late_go_all_the_way(tmp_path: Path, name: str) -> None:
    recipe = recipe_of(tmp_path, getattr(ownnets, name))
    pipeline.run_stages(Project(recipe), STAGES, lambda text: None)
    run = Run(tmp_path / "run")
    winner = winners_of(run)[0].arch
    x = Project(recipe).dataset.batch("test", [0, 1], None)["input"]
    supernet = Project(recipe).supernet
    with torch.no_grad():
        assert torch.equal(supernet.subnet(winner)(x), supernet.extract(winner)(x))
    assert (tmp_path / "run" / "export" / "card.json").exists()


def test_the_largest_subnet_answers_as_a_teacher_whose_skips_are_concatenated(
    tmp_path: Path,
) -> None:
    more = ("supernet.init=teacher", "supernet.lr=1e-12", "supernet.steps=1")
    recipe = recipe_of(tmp_path, ownnets.SKIP, *more)
    pipeline.run_stages(Project(recipe), ["teacher", "supernet"], lambda text: None)
    teacher, supernet = Project(recipe).teacher_net, Project(recipe).supernet
    x = Project(recipe).dataset.batch("test", [0, 1], None)["input"]
    with torch.no_grad():
        found, wanted = supernet.subnet(supernet.space.largest)(x), teacher(x)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_advice_after_values_that_are_not_finite_is_taken_in_every_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stage diverges at its rate in its third step, saved before, and not at a lower one."""

    def checked(optimiser: Optimiser, step: Step, phase: Phase) -> None:
        rate = optimiser.parts["adam"].param_groups[0]["lr"]
        if step.index == 2 and rate > 1e-4:
            raise DivergedError(f"step {step.index}, {phase.name}: a gradient is not finite")

    monkeypatch.setattr(steps, "_check_gradients", checked)
    more = [
        "teacher.steps=4", "supernet.steps=4", "finetune.steps=4", "finetune.batch_size=2",
        "finetune.lr=3e-4", "save_seconds=0", *(f"{s}.decay_from=1" for s in TRAINED),
    ]  # fmt: skip
    for stages, name in ((["teacher"], "teacher"), (["supernet"], "supernet"),
                         (["search", "finetune"], "finetune")):  # fmt: skip
        with pytest.raises(DivergedError) as caught:
            pipeline.run_stages(
                Project(recipe_of(tmp_path, ownnets.LEAST, *more)), stages, lambda text: 0
            )
        assert "\n" not in str(caught.value)
        keys = re.findall(r"(\w+\.\w+) \(now ([\d.e-]+)\)", str(caught.value))
        assert [key for key, _ in keys] == [f"{name}.lr"]
        assert len(list((tmp_path / "run" / name).rglob("state.pt"))) == 1
        more += [f"{key}={float(now) / 10}" for key, now in keys]
        said: list[str] = []
        pipeline.run_stages(Project(recipe_of(tmp_path, ownnets.LEAST, *more)), stages, said.append)
        assert any(f"{name}: goes on with another {name}.lr" in line for line in said)
        assert Run(tmp_path / "run").stage(name).is_finished()
