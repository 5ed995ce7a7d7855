"""A batch that is worked through in parts trains as the whole batch does."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
import toytraining as toy
from several import ALONE, accumulated, pix2pix, whole_batch
from torch import Tensor, nn

from gancompress.errors import DivergedError, RecipeError
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.stagesections import stage_sections
from gancompress.storage.metricslog import MetricsLog
from gancompress.tasks.base import Batch, Phase, Step, Task
from gancompress.training.steps import step_rng


def batches(start: int) -> Iterator[dict[str, Tensor]]:
    while True:
        yield whole_batch(start)
        start += 1


def assert_equal_but_for_noise(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    """Not the biases before a norm, of which Adam blows up the rounding errors."""
    for name, tensor in one.items():
        if tensor.dim() > 1 or name == "generator.head.bias":
            torch.testing.assert_close(tensor, other[name], rtol=0, atol=1e-5, msg=name)


def test_parts_train_as_the_whole_batch_and_log_the_same_losses(tmp_path: Path) -> None:
    whole, parts = pix2pix(tmp_path / "whole", ALONE), accumulated(tmp_path / "parts", ALONE)
    assert_equal_but_for_noise(parts, whole)
    rows = [MetricsLog(tmp_path / n / "metrics.jsonl").rows() for n in ("whole", "parts")]
    assert len(rows[0]) == len(rows[1]) == 2
    for row, wanted in zip(rows[1], rows[0], strict=True):
        assert row == pytest.approx(wanted, rel=1e-5)


def test_parts_of_a_supernets_batch_draw_the_same_archs(tmp_path: Path) -> None:
    found = []
    for name, parts in (("whole", 1), ("parts", 4)):
        nets = toy.distillation_nets()
        settings = {"steps": 3, "feed": batches, "accumulate": parts}
        toy.train(toy.distillation("uniform", "both"), nets, tmp_path / name, **settings)
        found.append(toy.weights(nets))
    assert_equal_but_for_noise(*found)


class Seen(Task):
    """Keeps what it is called with; one phase leaves its input for the other."""

    target = "net"
    phases = (Phase("first", ("net",)), Phase("second", ("net",), 2))

    def __init__(self) -> None:
        self.calls: list[tuple[int, str, int, float]] = []

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        assert batch["input"].is_contiguous(memory_format=torch.channels_last)
        if phase == "first":
            step.kept["input"] = batch["input"]
        else:
            assert torch.equal(step.kept["input"], batch["input"])
        self.calls.append((step.index, phase, len(batch["input"]), step.rng.random()))
        return {"loss": nets["net"](batch["input"]).square().mean()}


def test_every_part_has_its_own_step_with_the_same_random_numbers(tmp_path: Path) -> None:
    seen, nets = Seen(), {"net": nn.Conv2d(3, 1, 1)}
    toy.train(seen, nets, tmp_path, steps=2, feed=batches, accumulate=2)
    draws = []
    for index in (0, 1):
        rng = step_rng(7, index)
        rng.integers(2**62)  # the seed of torch's random numbers
        draws.append([rng.random() for _ in range(2)])
    assert seen.calls == [
        *[(0, "first", 2, draws[0][0])] * 2,
        *[(0, "second", 2, draws[0][1])] * 2,
        *[(1, "first", 2, draws[1][0])] * 2,
    ]


def test_a_value_that_is_not_finite_is_found_in_every_part(tmp_path: Path) -> None:
    def feed(start: int) -> Iterator[dict[str, Tensor]]:
        batch = whole_batch(0)
        batch["target"][-1] = float("nan")
        yield batch

    with pytest.raises(DivergedError, match="^step 0, generator: the loss is not finite"):
        toy.train(toy.TASK, toy.pix2pix_nets(), tmp_path, steps=1, feed=feed, accumulate=4)


def test_a_batch_that_has_no_equal_parts_is_refused() -> None:
    message = "batch_size=4: found 4; multiples of 3 are allowed with accumulate 3$"
    with pytest.raises(RecipeError, match=message):
        load_recipe("quickstart", ["teacher.accumulate=3", "teacher.batch_size=4"])


def test_a_run_goes_on_with_other_parts() -> None:
    """Parts are of the machine's memory, as its device is: no other recipe."""
    one, other = (load_recipe("quickstart", [f"teacher.accumulate={n}"]) for n in (1, 2))
    for stage in ("teacher", "supernet"):
        assert stage_sections(one, stage) == stage_sections(other, stage)
