"""Two processes that train together do what one does with the whole batch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import several
import torch
from images import save_pairs
from opening import pair_folders
from several import ALONE
from torch import Tensor

from gancompress.data.batches import batch_at
from gancompress.errors import RecipeError, RunError
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.stages import pipeline
from gancompress.storage.checkpoint import load_state, load_tensors
from gancompress.storage.metricslog import MetricsLog
from gancompress.training.distributed import Processes, own_device, processes

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
OVERRIDES = (
    "teacher.steps=12", "teacher.batch_size=8", "supernet.steps=3", "supernet.batch_size=4",
    "supernet.accumulate=2", "supernet.init=teacher", "family.blocks=1",
    "task.discriminator_width=4",
    "task.discriminator_layers=2",
    "teacher.width=4", "space={widths: [4, 2]}", "search.reduction=2",
    "search.budget_macs=null", "search.convention=true", "search.images=4", "search.candidates=2",
    "search.population=2", "metrics.features=effnet-lite0", "metrics.images=4",
    "export.formats=[safetensors]", "export.latency_repeats=1", "workers=0", "device=cpu",
    "precision=float32",
    "threads=1", "save_seconds=0", "supernet.losses={l1: 100, features: 1}",
)  # fmt: skip

Results = Callable[[str], list[dict[str, Any]]]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes wrote that did all the work together."""
    folder = tmp_path_factory.mktemp("several")
    command = [*TORCHRUN, several.__file__, str(folder)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.stderr.count("gancompress: said once, by 2") == 1, done.stderr
    assert "gloo" not in done.stderr  # a thread of it that is left may abort the process
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    """What each of two processes found, by the name of the work."""
    return lambda name: [
        torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1)
    ]


def assert_close(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], atol: float) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, wanted[name], rtol=0, atol=atol, msg=name)


def without_noise(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Not the biases before a norm, of which Adam blows up the rounding errors."""
    return {n: t for n, t in weights.items() if t.dim() > 1 or n == "generator.head.bias"}


@pytest.mark.parametrize("name", ["pix2pix", "accumulated", "distillation"])
def test_training_equals_one_process_with_the_whole_batch(
    name: str, results: Results, tmp_path: Path
) -> None:
    alone = without_noise(several.WORK[name](tmp_path, ALONE))
    first, second = map(without_noise, results(name))
    assert len(first) >= 12
    assert_close(first, alone, 1e-5)
    assert_close(first, second, 0)


def test_metrics_are_the_means_over_all_processes(folder: Path, tmp_path: Path) -> None:
    several.pix2pix(tmp_path, ALONE)
    alone = MetricsLog(tmp_path / "metrics.jsonl").rows()
    rows = MetricsLog(folder / "pix2pix" / "metrics.jsonl").rows()
    assert [row["step"] for row in rows] == [2, 4]  # one process writes
    for row, wanted in zip(rows, alone, strict=True):
        assert row == pytest.approx(wanted, rel=1e-5)


def test_dropout_differs_between_processes_and_the_first_draws_as_one_does(
    results: Results, tmp_path: Path
) -> None:
    first, second = results("dropout")
    alone = several.dropout(tmp_path, Processes(0, 2))  # one process, half of the batch
    both = first["could"] & second["could"]
    assert both.sum() > 20
    assert not torch.equal(first["did"][both], second["did"][both])
    assert torch.equal(first["did"], alone["did"])


def test_batch_norm_equals_torchs_with_the_whole_batch(results: Results, tmp_path: Path) -> None:
    alone = several.norms(tmp_path, ALONE)
    both = results("norms")
    assert len(alone) == 22 + 18 + 22 + 18  # kinds without weights or statistics have less to show
    for rank, found in enumerate(both):
        split = {
            name: tensor[rank::2] if tensor.dim() == 4 and "grad" not in name else tensor
            for name, tensor in alone.items()
        }
        assert_close(found, split, 1e-10)


def test_batch_norm_keeps_statistics_in_windows_and_in_float32(
    results: Results, tmp_path: Path
) -> None:
    alone = several.windowed(tmp_path, ALONE)
    for rank, found in enumerate(results("windowed")):
        torch.testing.assert_close(found["out"], alone["out"][rank::2])
        torch.testing.assert_close(found["running_mean"], alone["running_mean"])
        torch.testing.assert_close(found["running_var"], alone["running_var"])
        assert found["seen"] == 1 and found["running_mean"][2] == 0
        assert (found["running_mean"][:2] > 0.05).all()


def test_gradients_are_averaged_and_stay_none_where_nobody_has_one(results: Results) -> None:
    for found in results("gradients"):
        assert found["0"].tolist() == [1.5, 3.0]
        assert found["1"].tolist() == [2.0, 4.0]
        assert found["2"] is None


def test_processes_agree_and_are_refused_together(results: Results) -> None:
    for rank, found in enumerate(results("words")):
        assert found == {
            "agree": [False, True, True],
            "from_writer": "of 0",
            "together": rank,
            "alike": 5,
            "refused by the last": "1: no",
            "refused by the first": "0: no",
            "refused by all": "0: no",
            "not alike": "x/state.pt: the processes see different states (steps 0, 1); put the "
            "run's folder where all machines see it",
            "in the data": "1: no",
        }


def test_a_loss_that_is_not_finite_in_one_process_stops_all(results: Results) -> None:
    first, second = (found["said"] for found in results("diverged"))
    assert first.startswith("step 2, generator: the loss is not finite (gan ")
    assert first == second


def test_an_ill_training_stops_in_all_processes_and_is_told_by_one(
    folder: Path, results: Results
) -> None:
    first, second = results("unhealthy")
    text = "step 10, discriminator: saturated since step 1 (100% of its outputs "
    assert first.pop("said").startswith(text) and second.pop("said").startswith(text)
    assert_close(first, second, 0)
    (row,) = MetricsLog(folder / "unhealthy" / "health.jsonl").rows()
    assert (row["step"], row["what"]) == (10, "saturated")


def test_one_process_that_is_told_to_stop_stops_all_after_the_same_step(results: Results) -> None:
    (whole, _), both = results("pix2pix"), results("stopped")
    for found in both:
        assert found.pop("step") == 3
        assert_close(found, whole, 0)  # and goes on to the same bytes


def test_buffers_come_from_the_first_process(results: Results) -> None:
    assert [float(found["seen"]) for found in results("pooled")] == [12.0, 12.0]


def test_shares_are_together_the_batch_and_equal_parts_of_them_its_parts(tmp_path: Path) -> None:
    save_pairs(tmp_path, 9)
    data = pair_folders(folder=tmp_path, load_size=8, crop_size=8, flip=False)
    whole = batch_at(data, "train", 3, 4, seed=1)["input"]
    halves = [batch_at(data, "train", 3, 4, seed=1, rank=r, world=2)["input"] for r in (0, 1)]
    assert torch.equal(torch.stack(halves, 1).flatten(0, 1), whole)
    for part in (0, 1):
        seen = torch.cat([half.chunk(2)[part] for half in halves])
        assert torch.equal(seen, whole.chunk(2)[part])


def test_processes_augment_differently(tmp_path: Path) -> None:
    save_pairs(tmp_path, 1, 64, 64)
    (tmp_path / "train").mkdir()
    (tmp_path / "000.png").rename(tmp_path / "train" / "0.png")
    for split in ("search", "test"):
        save_pairs(tmp_path / split, 1, 64, 64)
    data = pair_folders(folder=tmp_path, load_size=64, crop_size=8)
    one, two = (batch_at(data, "train", 0, 2, 0, rank=r, world=2)["input"] for r in (0, 1))
    assert not torch.equal(one, two)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)


def test_what_torchrun_would_have_set_is_missed_by_name(launched: None) -> None:
    message = "^environment: WORLD_SIZE is 2, but MASTER_ADDR is not set; start several processes"
    with pytest.raises(RunError, match=message), processes(torch.device("cpu")):
        pass


def test_unreachable_processes_are_one_sentence(
    launched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "99999")
    message = r"^torchrun: process 0 of 2 does not reach the others at localhost:99999 \(port"
    with pytest.raises(RunError, match=message), processes(torch.device("cpu")):
        pass


def test_each_process_has_a_device_of_its_own(
    launched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert own_device("cuda") == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for kind in ("cuda", "mps"):
        with pytest.raises(RunError, match=f"^device: process 2 of this machine has no {kind} dev"):
            own_device(kind)


def recipe_of(folder: Path, run: Path) -> list[str]:
    """32-pixel pairs without augmentation."""
    sizes = "load_size: 32, crop_size: 32, flip: false, search_fraction: 0.3, test_fraction: 0.3"
    return ["edges2shoes", f"data={{name: pairs, folder: {folder}, {sizes}}}", *OVERRIDES,
            f"run={run}"]  # fmt: skip


def test_batches_that_processes_cannot_share_are_refused(launched: None, tmp_path: Path) -> None:
    save_pairs(tmp_path / "data", 9, 16, 16)
    name, *overrides = recipe_of(tmp_path / "data", tmp_path / "run")
    recipe = load_recipe(name, [*overrides, "supernet.batch_size=6"])
    with pytest.raises(RecipeError) as caught:
        pipeline.preflight(Project(recipe), ["teacher", "supernet"])
    assert str(caught.value) == (
        "edges2shoes: supernet.batch_size: found 6; multiples of 4 are allowed with 2 processes "
        "and accumulate 2"
    )


def started(command: str, arguments: list[str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*TORCHRUN, "-m", "gancompress", command, *arguments],
        env=environment(), stdout=pipe, stderr=pipe, text=True,
    )  # fmt: skip


def test_a_run_under_torchrun_stops_goes_on_and_ends_as_one_processs_does(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    save_pairs(tmp_path / "data", 20, 32, 32)
    both, alone = (recipe_of(tmp_path / "data", tmp_path / run) for run in ("both", "alone"))
    state = tmp_path / "both" / "teacher" / "state.pt"
    running = started("train-teacher", both)
    while not state.exists() and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate()
    assert said.count("same command again to go on") == 1, said
    assert 0 < load_state(state)["step"] < 12
    running = started("run", both)
    out, said = running.communicate()
    assert running.returncode == 0, said
    artefacts = {"teacher": "model.safetensors", "supernet": "shared_weights.safetensors"}
    for stage in (*artefacts, "search", "export"):
        assert out.count(f"{stage}: {tmp_path}") == 1, out  # one process speaks
    pipeline.run_stages(
        Project(load_recipe(alone[0], alone[1:])), list(artefacts), lambda text: None
    )
    for stage, name in artefacts.items():
        pair = [load_tensors(tmp_path / run / stage / name)[0] for run in ("both", "alone")]
        assert_close(*map(without_noise, pair), 1e-5)
