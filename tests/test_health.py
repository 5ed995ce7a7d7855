"""The monitor of a training: each symptom, found in discriminators' outputs and in trainings."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import pytest
import torch
import toylsgan as blobs
import toytraining as toy
from torch import Tensor

from gancompress.recipe.stagesections import changeable
from gancompress.storage.checkpoint import load_state, save_state
from gancompress.storage.metricslog import MetricsLog
from gancompress.storage.stagenames import STAGES
from gancompress.tasks import TASKS
from gancompress.tasks.base import Step
from gancompress.tasks.losses import GAN_LOSSES
from gancompress.tasks.outputs import DISCRIMINATOR_OUTPUTS, DiscriminatorOutput
from gancompress.tasks.taskoptions import TaskContext
from gancompress.training import health
from gancompress.training.health import HealthMonitor, is_look_due, values_of, variety
from gancompress.training.steps import step_rng
from gancompress.training.symptoms import (
    OF_DISCRIMINATORS,
    OF_IMAGES,
    OF_PICTURES,
    OF_VALUES,
    READINGS,
    SYMPTOMS,
)


class Watched:
    """A monitor of one discriminator that is fed by hand, and what it said."""

    def __init__(self, folder: Path, output: DiscriminatorOutput = "probability") -> None:
        self.lines: list[str] = []
        self.log = MetricsLog(folder / "health.jsonl")
        self.monitor = HealthMonitor(output, "test", self.log, self.lines.append)
        self.step = 0

    def hear(self, real: Tensor, fake: Tensor, times: int = 1) -> None:
        for _ in range(times):
            self.step += 1
            self.monitor.see(self.step, [[(real, fake)]])

    def found(self) -> list[tuple[str, int, bool]]:
        """(what, since, is it over) of all rows."""
        return [(row["what"], row["since"], row["is_over"]) for row in self.log.rows()]


def around(mean: float, spread: float = 0.1) -> Tensor:
    """16 logits, evenly spread."""
    return mean + spread * torch.linspace(-1, 1, 16)[:, None]


# output, logits of real images, of made ones -> what is found, and after how many turns
ILL: dict[str, tuple[DiscriminatorOutput, Tensor, Tensor, str, int]] = {
    "all called real": ("probability", around(12), around(12), "saturated", 10),
    "all called made": ("probability", around(-12), around(-12), "saturated", 10),
    "all known": ("probability", around(12), around(-12), "saturated", 10),
    "all known well": ("squared probability", around(4.5), around(-4.5), "unrivalled", 40),
    "half and half": ("probability", around(0), around(0), "locked at chance", 40),
    "targets met": ("target", around(1, 1e-4), around(0, 1e-4), "idle", 100),
    "targets not known": ("target", around(0.5), around(0.5), "locked at chance", 40),
    "margins met": ("margin", around(1.2), around(-3), "idle", 100),
    "margins not known": ("margin", around(0.5), around(0.5), "locked at chance", 40),
    **{
        f"one answer, {kind}": (kind, torch.full((16, 1), 0.1), torch.full((16, 1), 0.1), "dead", 5)
        for kind in READINGS
    },
}


@pytest.mark.parametrize("name", ILL)
def test_what_a_discriminator_says_is_found_when_it_lasts(name: str, tmp_path: Path) -> None:
    output, real, fake, what, turns = ILL[name]
    watched = Watched(tmp_path, output)
    watched.hear(around(0.5), around(0.3), times=3)
    watched.hear(real, fake, times=turns - 1)
    assert watched.lines == [] and not watched.monitor.is_ill
    watched.hear(real, fake)
    assert watched.found() == [(what, 4, False)]
    (line,) = watched.lines
    assert line.startswith(f"test: discriminator {what} since step 4 (") and "\n" not in line
    assert line.endswith(f"; {OF_DISCRIMINATORS[what].advice('test')}")
    watched.hear(real, fake, times=200)  # said once, and nothing that follows from it
    assert len(watched.lines) == 1 and watched.monitor.is_ill


def test_every_symptom_has_a_case() -> None:
    assert {what for *_, what, _ in ILL.values()} == set(OF_DISCRIMINATORS)
    assert {output for output, *_ in ILL.values()} == set(READINGS)
    assert set(itertools.chain(*READINGS.values())) == set(OF_DISCRIMINATORS)
    assert set(GAN_LOSSES) == set(DISCRIMINATOR_OUTPUTS)


WELL: dict[str, tuple[DiscriminatorOutput, Tensor, Tensor]] = {
    "sure, not saturated": ("probability", around(5), around(-5)),
    "nearly sure": ("squared probability", around(2.5), around(-5)),
    "one side saturated": ("probability", around(12), around(-5)),
    "hardly apart": ("probability", around(0), around(0.01)),
    "one target met": ("target", around(1, 1e-4), around(0.1, 1e-4)),
    "one margin open": ("margin", around(1.2), around(-1, 0.1)),
    "equal scores": ("score", around(0), around(0)),
    "scores far apart": ("score", around(1e4), around(-1e4)),
    "small scores": ("score", around(0, 1e-5), around(0, 1e-5)),
}


@pytest.mark.parametrize("name", WELL)
def test_healthy_discriminators_are_left_alone(name: str, tmp_path: Path) -> None:
    output, real, fake = WELL[name]
    watched = Watched(tmp_path, output)
    watched.hear(real, fake, times=300)
    assert watched.found() == []


def test_what_is_over_is_said_once_it_stays_away(tmp_path: Path) -> None:
    watched, well = Watched(tmp_path), (around(1), around(-1))
    watched.hear(around(12), around(12), times=20)
    watched.hear(*well, times=9)
    assert watched.monitor.is_ill
    watched.hear(around(12), around(12))
    watched.hear(*well, times=10)
    assert watched.found() == [("saturated", 1, False), ("saturated", 31, True)]
    assert watched.lines[1] == "test: discriminator recovered at step 31, no longer saturated"
    assert not watched.monitor.is_ill
    watched.hear(around(12), around(12), times=10)
    assert watched.found()[2] == ("saturated", 41, False)


def test_a_lesser_finding_shows_when_the_one_that_hid_it_is_over(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.hear(around(12), around(12), times=45)
    watched.hear(around(0), around(0), times=10)
    saturated, over, locked = watched.found()
    assert (saturated[0], over) == ("saturated", ("saturated", 46, True))
    assert locked == ("locked at chance", 1, False)


def test_a_lesser_finding_that_is_passing_is_not_told(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.hear(around(12), around(12), times=45)
    watched.hear(around(1), around(-1), times=60)
    assert watched.found() == [("saturated", 1, False), ("saturated", 46, True)]


def test_each_discriminator_and_scale_is_watched_by_itself(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    well = (around(1), around(-1))
    for step in range(1, 11):
        watched.monitor.see(step, [[well, (around(12), around(12)), well]])
    (row,) = watched.log.rows()
    assert (row["where"], row["what"], row["step"]) == ("discriminator 2 of 3", "saturated", 10)


def test_steps_without_a_discriminators_turn_neither_count_nor_interrupt(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    for step in range(1, 51):
        watched.monitor.see(step, [[(around(12), around(12))] if step % 5 == 0 else []])
    (row,) = watched.log.rows()
    assert (row["step"], row["since"]) == (50, 5)


def test_parts_of_a_batch_are_judged_together(tmp_path: Path) -> None:
    real, fake = around(1), around(0.3, 1.0)
    whole = health.measured(real, fake, "probability")
    halves = zip(real.view(8, 2).unbind(1), fake.view(8, 2).unbind(1), strict=True)
    parts = torch.stack([health.measured(a, b, "probability") for a, b in halves]).mean(0)
    torch.testing.assert_close(parts[:3], whole[:3])  # means of equal parts
    watched = Watched(tmp_path)
    for step in range(1, 11):  # one part alone is no whole batch
        watched.monitor.see(step, [[(around(12), around(12))], [(around(1), around(-1))]])
    assert watched.found() == []


def test_variety_is_the_mean_distance_of_all_pairs() -> None:
    draw = torch.Generator().manual_seed(1)
    made, real = torch.rand(2, 5, 3, 4, 4, generator=draw)
    pairs = [tuple(pair) for pair in itertools.combinations(range(5), 2)]
    sums = [
        sum(math.sqrt(float((x[a] - x[b]).square().mean())) for a, b in pairs) for x in (made, real)
    ]
    assert variety(made, real) == pytest.approx(sums[0] / sums[1], rel=1e-6)
    assert variety(real[:1].expand(5, -1, -1, -1), real) == 0
    assert variety(made[:1], real[:1]) is None
    assert variety(made, real[:1].expand(5, -1, -1, -1)) is None


# what the looks saw -> what is found, since which of them
LOOKS: dict[str, tuple[list[float], list[tuple[str, int, bool]]]] = {
    "fell": ([0.05, 0.5, 0.9, 0.001, 0.0], [("collapsed", 4, False)]),
    "fell once": ([0.5, 0.0, 0.3, 0.0, 0.3], []),
    "young": ([0.0] * 35 + [0.03, 0.5], []),
    "never rose": ([0.01] * 36, [("stuck", 1, False)]),
    "came back": ([0.5, 0.0, 0.0, 0.3, 0.4], [("collapsed", 2, False), ("collapsed", 4, True)]),
}


@pytest.mark.parametrize("name", LOOKS)
def test_images_that_no_longer_differ_are_found(name: str, tmp_path: Path) -> None:
    shares, wanted = LOOKS[name]
    watched = Watched(tmp_path)
    for step, share in enumerate(shares, 1):
        watched.monitor.look(step, None)
        watched.monitor.look(step, share)
    assert watched.found() == wanted


def test_the_fixed_batch_is_whole_after_some_small_ones_and_stays(tmp_path: Path) -> None:
    monitor = Watched(tmp_path).monitor
    batches = [{"input": torch.full((3, 2, 1, 1), float(i))} for i in range(4)]
    for batch in batches:
        monitor.keep(batch)
    assert monitor.fixed["input"][:, 0, 0, 0].tolist() == [0.0, 0.0, 0.0, 1.0]
    large = Watched(tmp_path).monitor
    for _ in range(3):
        large.keep({"input": torch.empty(1, 64, 512, 512)})
    assert len(large.fixed["input"]) == 2  # a pair at least


@pytest.mark.parametrize("stop", [4, 15, 45])
def test_a_guard_goes_on_from_its_state(stop: int, tmp_path: Path) -> None:
    whole, first, second = (Watched(tmp_path / name) for name in ("whole", "parts", "parts"))
    feed = [(around(12), around(12))] * 30 + [(around(0), around(0))] * 60
    for watched in (whole, first):
        watched.monitor.keep(blobs.batch_at(0))
    for real, fake in feed:
        whole.hear(real, fake)
    for real, fake in feed[:stop]:
        first.hear(real, fake)
    save_state(tmp_path / "state.pt", first.monitor.state())
    second.monitor.restore(load_state(tmp_path / "state.pt"))
    second.step = stop
    for real, fake in feed[stop:]:
        second.hear(real, fake)
    assert second.found() == whole.found() and len(whole.found()) == 3
    assert torch.equal(second.monitor.fixed["input"], whole.monitor.fixed["input"])


def test_every_kind_of_gan_says_what_its_discriminators_answers_are() -> None:
    found = {name: make().task(TaskContext()).discriminator_output for name, make in TASKS.items()}
    assert found == {
        "pix2pix": "margin", "cyclegan": "target", "stargan": "score", "gaugan": "margin",
        "munit": "target", "unconditional": "score", "superres": "probability",
        "imitation": "margin",
    }  # fmt: skip


def test_the_largest_subnet_is_looked_at() -> None:
    nets = toy.distillation_nets()
    at = Step(0, step_rng(0, 0))
    made, real = toy.distillation().pictures(nets, toy.batch_at(0), at)
    largest = nets["generator"].extract(nets["generator"].space.largest)
    assert torch.equal(made, largest(toy.batch_at(0)["input"]))
    assert torch.equal(real, toy.batch_at(0)["target"])


def test_symptoms_of_pictures_are_of_the_generator_alone() -> None:
    assert set(OF_PICTURES) == {"collapsed", "stuck"}


REAL = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
FLAT = torch.tensor([-0.9, -0.2, 0.3, 0.8]).view(4, 1, 1, 1).expand(4, 3, 8, 8)
# made images and real ones at each look -> what is found where, since which look
VALUES: dict[str, tuple[list[tuple[Tensor, Tensor]], list[tuple[str, str, int]]]] = {
    "tanh": ([(REAL.tanh(), REAL)] * 40, []),
    "sigmoid": ([(REAL.sigmoid(), REAL)] * 5, [("generator", "out of range", 1)]),
    "relu": ([(REAL.relu(), REAL)] * 5, [("generator", "out of range", 1)]),
    "white at last": ([(REAL, REAL), *[(REAL.abs(), REAL)] * 40], []),
    "bright images": ([(REAL.abs(), REAL.abs())] * 40, []),
    "one colour each": ([(FLAT, REAL)] * 36, [("generator", "blank", 1)]),
    "one colour at first": ([*[(FLAT, REAL)] * 35, (REAL, REAL)], []),
    "flat real images": ([(REAL, FLAT)], [("images", "blank", 1)]),
    "equal real images": ([(REAL, REAL[:1].expand(4, 3, 8, 8))] * 3, [("images", "alike", 1)]),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_that_cannot_be_right_are_found(name: str, tmp_path: Path) -> None:
    looks, wanted = VALUES[name]
    watched = Watched(tmp_path)
    for step, (made, real) in enumerate(looks, 1):
        watched.monitor.measure(step, None)
        watched.monitor.measure(step, values_of(made, real))
    assert [(row["where"], row["what"], row["since"]) for row in watched.log.rows()] == wanted
    assert len(watched.lines) == len(wanted) and not any("\n" in one for one in watched.lines)


def test_values_are_those_of_a_hand_count() -> None:
    made = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]], [[[0.5, 0.5], [0.5, 0.5]]]])
    real = torch.tensor([[[[-1.0, 1.0], [-1.0, 1.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    assert values_of(made, real) == {
        "detail": 0.25, "real_detail": 0.5, "least": 0.0, "below": 0.25,
        "real_apart": pytest.approx(math.sqrt(2)),
    }  # fmt: skip
    assert values_of(made[:1], real[:1])["real_apart"] == math.inf


def test_every_symptom_of_values_has_a_case() -> None:
    found = {(where, what) for _, wanted in VALUES.values() for where, what, _ in wanted}
    named = {("generator", what) for what in OF_VALUES} | {("images", what) for what in OF_IMAGES}
    assert found == named


@pytest.mark.parametrize("stage", ["teacher", "supernet", "finetune"])
def test_advice_names_rates_that_an_unfinished_stage_goes_on_with(stage: str) -> None:
    rates = set()
    for symptoms in SYMPTOMS.values():
        for symptom in symptoms.values():
            advice = symptom.advice(stage)
            assert "{" not in advice and "\n" not in advice
            named = re.findall(r"the same command with .*? (\S+\.\S+?)(?:,|$)", advice)
            assert len(named) == bool(symptom.rate)
            rates |= set(named)
            if "anew" in advice:
                assert f"(gancompress {STAGES[stage]} … --redo)" in advice
            if stage != "teacher":  # All else would need another teacher.
                assert not re.search("seed|smaller|larger|tanh at|ReLUs,", advice)
    assert rates == {f"{stage}.lr", f"{stage}.lr_discriminator"} == set(changeable(stage))


def test_what_was_found_is_watched_for_anew_when_something_changed(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.hear(around(12), around(12), times=15)
    watched.monitor.watch_anew(15)
    assert not watched.monitor.is_ill
    watched.hear(around(12), around(12), times=9)
    assert not watched.monitor.is_ill
    watched.hear(around(12), around(12))
    found = [("saturated", 1, False), ("saturated", 15, True), ("saturated", 16, False)]
    assert watched.found() == found


def test_looks_are_close_enough_to_name_a_collapse_within_fifty_steps() -> None:
    looks = [step for step in range(1, 2001) if is_look_due(step)]
    turns = OF_PICTURES["collapsed"].turns
    worst = max(b - a for a, b in zip(looks, looks[turns:], strict=False))
    assert looks[0] == 1 and worst <= 50
    assert sum(step <= 600 for step in looks) == OF_PICTURES["stuck"].turns
