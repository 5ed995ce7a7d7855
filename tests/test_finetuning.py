"""The stage finetune: what it chooses, how it resumes, what it says, what export makes of it.

What only the slow tests prove: that it goes on from what SIGKILL leaves, and that two processes
train as one does; tests/test_distributed.py has the latter of the other stages in every suite.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from images import save_pairs

import gancompress.export
from gancompress.archs.arch import Arch
from gancompress.cli import describe
from gancompress.distill.halving import Rung, rungs_of, steps_in_all
from gancompress.errors import CheckpointError, RecipeError, RunError
from gancompress.metrics.value import MetricValue
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.project.results import finetuned_of
from gancompress.project.subnets import Subnets
from gancompress.ranks import RankAgreement, rank_agreement
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.recipe.stagesections import stage_sections
from gancompress.search.results import (
    FRONT,
    TRIALS,
    Front,
    Measured,
    RowWinner,
    SearchTrials,
)
from gancompress.stages import finalists, pipeline
from gancompress.stages import finetune as finetuning
from gancompress.stages.archevaluation import values_of
from gancompress.storage.checkpoint import load_tensors, write_record
from gancompress.storage.metricslog import MetricsLog
from gancompress.storage.runs import Run

pytest.importorskip("efficientnet_lite_pytorch")

TOY = (
    "teacher={width: 4, steps: 2, batch_size: 4}", "space={widths: [4, 3, 2]}", "family.blocks=1",
    "supernet.steps=2", "supernet.batch_size=4", "supernet.init=teacher",
    "task={name: pix2pix, discriminator_width: 4, discriminator_layers: 1}",
    "metrics.features=effnet-lite0",
    "metrics.images=4", "search={reduction: 2, images: 4}", "finetune.steps=3",
    "finetune.batch_size=4", "export={formats: [safetensors], images: 2, latency_repeats: 1}",
    "workers=0", "device=cpu", "threads=1", "precision=float32",
)  # fmt: skip


def options(folder: Path, run: Path, *more: str) -> list[str]:
    sizes = "load_size: 32, crop_size: 32, flip: false, search_fraction: 0.3, test_fraction: 0.3"
    data = f"data={{name: pairs, folder: {folder}, {sizes}}}"
    return ["edges2shoes", data, *TOY, f"run={run}", *more]


def searched(recipe: Recipe, *, winners: list[Arch], front: list[Arch]) -> None:
    """Finishes the stage search with these results."""
    stage = Run(recipe.run_dir).stage("search")
    stage.begin(stage_sections(recipe, "search"), pipeline.PARENTS["search"])
    rows = ("compressed", "3x smaller", "4x smaller")
    cost: dict[str, float] = {"macs": 1}
    result = Front(
        objective="fd",
        better="min",
        cost="macs",
        features="effnet-lite0",
        images=4,
        first_images=0,
        algorithm="pareto",
        first_look=None,
        winners=tuple(
            RowWinner(row=row, limits=cost, arch=arch, costs=cost, scores={"fd": 1, "kid": 0})
            for row, arch in zip(rows, winners, strict=False)
        ),
        points=tuple(Measured(arch, cost, {"fd": 1}) for arch in front),
    )
    scores = [{"fd": 1.0, "kid": float(place)} for place, _ in enumerate(front)]
    measured = tuple(Measured(arch, cost, of) for arch, of in zip(front, scores, strict=True))
    TRIALS.write(stage.path / "trials.json", (SearchTrials("search", False, None, measured),))
    FRONT.write(stage.path / "front.json", result)
    stage.finish("front.json", files=["trials.json"])


def archs_of(recipe: Recipe, count: int) -> list[Arch]:
    space = Project(recipe).space
    slots = [slot for slot, values in space.choices if 3 in values][:count]
    return [space.smallest.replace({slot: 3}) for slot in slots]


class Trained:
    """A run with teacher and supernet; `copy` gives another run that begins as it."""

    def __init__(self, folder: Path, *more: str) -> None:
        save_pairs(folder / "data", 16, 32, 32)
        self._folder, self._more = folder, more
        pipeline.run_stages(
            Project(self.recipe(folder / "run")), ("teacher", "supernet"), lambda text: None
        )

    def recipe(self, run: Path, *more: str) -> Recipe:
        name, *overrides = options(self._folder / "data", run, *self._more, *more)
        return load_recipe(name, overrides)

    def options(self, run: Path, *more: str) -> list[str]:
        return options(self._folder / "data", run, *self._more, *more)

    def copy(self, run: Path, *more: str, winners: int = 1, front: int = 4) -> Recipe:
        """That run, searched: the first archs have won, all that are wanted are in the front."""
        shutil.copytree(self._folder / "run", run)
        recipe = self.recipe(run, *more)
        archs = archs_of(recipe, 4)
        searched(recipe, winners=archs[:winners], front=archs[:front])
        return recipe


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("trained"))


def finetune(recipe: Recipe, *, redo: bool = False) -> dict[str, Any]:
    """Does the stage; returns finetune.json with what was said."""
    said: list[str] = []
    pipeline.run_stages(Project(recipe), ("finetune",), said.append, redo=redo)
    path = Run(recipe.run_dir).stage("finetune").artefact()
    return {**json.loads(path.read_text()), "said": said}


def files(run: Path) -> dict[str, bytes]:
    """What the stage leaves, by its path in the stage's folder."""
    folder = run / "finetune"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_winners_come_first_then_others_spread_over_the_front(
    trained: Trained, tmp_path: Path
) -> None:
    recipe = trained.copy(tmp_path / "run")
    run, archs = Run(recipe.run_dir), archs_of(recipe, 6)
    run.stage("search").set_aside()
    winners = [archs[4], archs[4], archs[0]]  # two rows of one arch
    searched(recipe, winners=winners, front=archs)
    chosen = {
        count: [(one.name, archs.index(one.arch)) for one in finetuning.choices(run, count)]
        for count in (1, 2, 3, 4, 99)
    }
    rows = [("compressed", 4), ("4x smaller", 0)]
    assert chosen[1] == rows[:1] and chosen[2] == rows
    assert chosen[3] == [*rows, ("front 4", 3)]
    assert chosen[4] == [*rows, ("front 3", 2), ("front 6", 5)]
    assert chosen[99] == [*rows, *((f"front {i + 1}", i) for i in (1, 2, 3, 5))]


def test_figures_are_of_the_subnets_and_of_what_the_files_hold(
    trained: Trained, tmp_path: Path
) -> None:
    recipe = trained.copy(tmp_path / "run", "finetune.archs=4", winners=2)
    found = finetune(recipe)
    run = Run(recipe.run_dir)
    names = ["compressed", "3x smaller", "front 3", "front 4"]
    assert [one["name"] for one in found["generators"]] == names
    assert (found["steps"], found["objective"], found["images"]) == (3, "fd", 4)
    subnets, family = Subnets(Project(recipe)), Project(recipe).family
    judge = evaluator_of(Project(recipe), "search", images=4)
    for one in found["generators"]:
        weights, meta = load_tensors(tmp_path / "run" / "finetune" / one["file"])
        arch = Arch.from_json(meta["arch"])
        assert arch.as_dict() == one["arch"]
        net = family.build(arch).eval()
        net.load_state_dict({n.removeprefix("generator."): t for n, t in weights.items()})
        for when, wanted in (("before", subnets.plain(arch)), ("after", net)):
            scores = {name: figure.value for name, figure in judge.score(wanted).items()}
            assert scores == one[when]
        assert one["before"] != one["after"]
    scores = [[one[when]["fd"] for one in found["generators"]] for when in ("before", "after")]
    assert found["rank_agreement"] == asdict(rank_agreement(*scores))
    assert found["rank_agreement"]["n"] == 4
    log = MetricsLog(tmp_path / "run" / "finetune" / "front-3" / "metrics.jsonl")
    assert [row["step"] for row in log.rows()] == [3]
    record = run.stage("finetune").record()
    assert set(record.parents) == {"search", "supernet", "teacher"}
    assert any(line.startswith("  front 4: fd ") and "(n=4)" in line for line in found["said"])
    assert all("done already" in line for line in finetune(recipe)["said"])


def test_rank_agreement_is_kendalls_tau_of_three_or_more() -> None:
    # Of six pairs, five are in the same order and one is not: (5 - 1) / 6.
    assert rank_agreement([1, 2, 3, 4], [1, 3, 2, 4]) == RankAgreement(pytest.approx(4 / 6), 4)
    assert rank_agreement([1, 2, 3], [3, 2, 1]).kendall_tau == pytest.approx(-1)
    assert rank_agreement([1, 2], [1, 2]) == RankAgreement(None, 2)
    assert rank_agreement([1, 2, 3], [5, 5, 5]) == RankAgreement(None, 3)


@pytest.mark.parametrize(
    "sign", [pytest.param(signal.SIGKILL, marks=pytest.mark.slow), signal.SIGINT]
)
def test_a_stopped_stage_ends_with_the_bytes_of_an_unstopped_one(
    trained: Trained, tmp_path: Path, sign: signal.Signals
) -> None:
    """Stopped in the middle of the second of two generators: the first is not trained again."""
    more = ("finetune.archs=2", "finetune.steps=12", "save_seconds=0")
    finetune(trained.copy(tmp_path / "whole", *more))
    recipe = trained.copy(tmp_path / "cut", *more)
    command = [sys.executable, "-m", "gancompress", "finetune"]
    running = subprocess.Popen(
        [*command, *trained.options(tmp_path / "cut", *more)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    folder = tmp_path / "cut" / "finetune"
    while not (folder / "front-3" / "state.pt").exists() and running.poll() is None:
        time.sleep(0.002)
    running.send_signal(sign)
    out = running.communicate()[0]
    if sign == signal.SIGINT and running.returncode:
        assert running.returncode == 130 and b"same command again" in out
    first = folder / "compressed.safetensors"
    written = first.stat().st_mtime_ns
    finetune(recipe)
    assert first.stat().st_mtime_ns == written
    ours, theirs = files(tmp_path / "cut"), files(tmp_path / "whole")
    assert set(theirs) == {
        "stage.json", "finetune.json", "compressed.safetensors", "compressed/metrics.jsonl",
        "front-3.safetensors", "front-3/metrics.jsonl", "compressed/training.json",
        "front-3/training.json",
        *(f"{name}/previews/{file}" for name in ("compressed", "front-3")
          for file in ("000012.png", "previews.jsonl")),
    }  # fmt: skip
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_what_a_kill_leaves_between_weights_and_state_is_cleared(
    trained: Trained, tmp_path: Path
) -> None:
    recipe = trained.copy(tmp_path / "run")
    finetune(recipe)
    folder = tmp_path / "run" / "finetune"
    record = json.loads((folder / "stage.json").read_text())
    write_record(folder / "stage.json", {**record, "finished": False})
    (folder / "compressed" / "state.pt").write_bytes(b"of before")
    (folder / "compressed" / ".tmp-1-1-state.pt").write_bytes(b"half")
    before = files(tmp_path / "run")["finetune.json"]
    finetune(recipe)
    assert files(tmp_path / "run")["finetune.json"] == before
    left = sorted(p.name for p in (folder / "compressed").iterdir())
    assert left == ["metrics.jsonl", "previews", "training.json"]


def test_export_takes_what_was_trained_further(trained: Trained, tmp_path: Path) -> None:
    recipe = trained.copy(tmp_path / "run", winners=2)
    finetune(recipe)
    later = trained.recipe(tmp_path / "run", "finetune.steps=0")  # export need not be told again
    pipeline.run_stages(Project(later), ("export",), lambda text: None)
    run = Run(recipe.run_dir)
    (one,) = finetuned_of(run)
    subnets = Subnets(Project(recipe))
    x = Project(recipe).dataset.batch("test", [0, 1], None)["input"]
    with torch.no_grad():
        exported = gancompress.export.load(tmp_path / "run" / "export" / "model")(x)
        assert torch.equal(exported, subnets.finetuned(one)(x))
        assert not torch.equal(exported, subnets.plain(one.arch)(x))
    card = json.loads((tmp_path / "run" / "export" / "card.json").read_text())
    names = [
        "teacher", "compressed, fine-tuned", "compressed before fine-tuning", "3x smaller",
    ]  # fmt: skip
    assert [row["name"] for row in card["rows"]] == names
    assert list(card["archs"]) == names[1:]
    assert card["archs"][names[1]] == card["archs"][names[2]] == one.arch.as_dict()
    assert card["finetune"]["steps"] == 3 and card["finetune"]["names"] == ["compressed"]
    assert set(run.stage("export").record().parents) == {
        "teacher", "supernet", "search", "finetune",
    }  # fmt: skip
    fd = {row["name"]: row["figures"][-2]["value"] for row in card["rows"]}
    assert fd[names[1]] != fd[names[2]]
    judged = describe.evaluate(Project(recipe), [], "test")
    assert {row.name: row.figures[-2].value for row in judged} == fd


def test_an_export_from_before_says_how_to_make_it_again(trained: Trained, tmp_path: Path) -> None:
    recipe = trained.copy(tmp_path / "run")
    pipeline.run_stages(Project(recipe), ("export",), lambda text: None)
    assert "finetune" not in json.loads((tmp_path / "run" / "export" / "card.json").read_text())
    finetune(recipe)
    with pytest.raises(RunError) as caught:
        pipeline.run_stages(Project(recipe), ("export",), lambda text: None)
    assert str(caught.value) == (
        f"{tmp_path}/run/export: made before {tmp_path}/run/finetune was; give "
        "`gancompress export … --redo` to make it again"
    )
    pipeline.run_stages(Project(recipe), ("export",), lambda text: None, redo=True)
    Run(recipe.run_dir).stage("finetune").set_aside()
    with pytest.raises(RunError, match="made from .*finetune, which is no longer finished or up"):
        pipeline.run_stages(Project(recipe), ("export",), lambda text: None)


def test_generators_of_an_earlier_search_are_left_alone(trained: Trained, tmp_path: Path) -> None:
    recipe = trained.copy(tmp_path / "run")
    finetune(recipe)
    run = Run(recipe.run_dir)
    run.stage("search").set_aside()
    assert finetuned_of(run) == []
    archs = archs_of(recipe, 3)
    searched(recipe, winners=archs[2:], front=archs)
    assert finetuned_of(run) == [] and pipeline.parents_of(Project(recipe), "export") == (
        "search", "supernet", "teacher",
    )  # fmt: skip
    said: list[str] = []
    pipeline.run_stages(Project(recipe), ("export",), said.append)
    path = run.root / "finetune"
    assert f"left out: {path} is not finished, or was made from another search" in said
    with pytest.raises(RunError, match="made from another search than .* give another run=DIR"):
        finetune(recipe)
    assert finetune(recipe, redo=True)["generators"][0]["arch"] == archs[2].as_dict()


def test_changed_weights_are_refused(trained: Trained, tmp_path: Path) -> None:
    recipe = trained.copy(tmp_path / "run")
    finetune(recipe)
    path = tmp_path / "run" / "finetune" / "compressed.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="compressed.safetensors: changed on disk or trunc"):
        pipeline.run_stages(Project(recipe), ("export",), lambda text: None)
    assert not (tmp_path / "run" / "export" / "model").exists()


def test_without_steps_there_is_no_such_stage(trained: Trained, tmp_path: Path) -> None:
    recipe = trained.recipe(tmp_path / "run", "finetune.steps=0")
    assert pipeline.stages_of(Project(recipe)) == ("teacher", "supernet", "search", "export")
    with pytest.raises(RecipeError) as caught:
        finetune(recipe)
    assert str(caught.value) == (
        "edges2shoes: finetune.steps: found 0; give finetune.steps=500, say, to train the chosen "
        "generators further"
    )
    assert not (tmp_path / "run").exists()
    asked = trained.recipe(tmp_path / "run", "finetune.archs=2")
    assert pipeline.stages_of(Project(asked)) == (
        "teacher",
        "supernet",
        "search",
        "finetune",
        "export",
    )
    with pytest.raises(RunError, match="teacher was not made yet; run `gancompress train-t"):
        finetune(asked)
    planned = describe.plan(Project(asked), ["finetune"])
    assert planned == (
        f"finetune (up to 2 generators, 3 steps each) would run in {tmp_path}/run/finetune"
    )


def test_its_section_decides_it_alone(trained: Trained, tmp_path: Path) -> None:
    one = trained.recipe(tmp_path)
    for change, differs in (("finetune.lr=1e-3", True), ("finetune.accumulate=2", False)):
        other = trained.recipe(tmp_path, change)
        assert (stage_sections(one, "finetune") != stage_sections(other, "finetune")) is differs
        assert stage_sections(one, "export") == stage_sections(other, "export")


def test_rates_are_the_supernets_where_none_is_given(trained: Trained, tmp_path: Path) -> None:
    def rates(*more: str) -> tuple[float, float | None]:
        found = finetuning.with_rates(Project(trained.recipe(tmp_path, "supernet.lr=3e-4", *more)))
        return found.lr, found.lr_discriminator

    assert rates() == (3e-4, None)
    assert rates("supernet.lr_discriminator=1e-4") == (3e-4, 1e-4)
    assert rates("supernet.lr_discriminator=1e-4", "finetune.lr_discriminator=1e-5") == (3e-4, 1e-5)
    assert rates("supernet.lr_discriminator=1e-4", "finetune.lr=1e-3") == (1e-3, None)


def test_batch_norms_have_statistics_of_the_new_weights(tmp_path: Path) -> None:
    normed = Trained(tmp_path, "family={name: resnet, blocks: 1, norm: batch}")
    recipe = normed.copy(tmp_path / "copy")
    finetune(recipe)
    run = Run(recipe.run_dir)
    (one,) = finetuned_of(run)
    subnets = Subnets(Project(recipe))
    net = subnets.finetuned(one)
    stored = load_tensors(one.path)[0]
    means = {n: t for n, t in net.named_buffers() if n.endswith("running_mean")}
    assert means and any(not torch.equal(t, stored[f"generator.{n}"]) for n, t in means.items())
    again = subnets.finetuned(one)
    for name, tensor in means.items():
        assert torch.equal(tensor, again.get_buffer(name))
    pipeline.run_stages(Project(recipe), ("export",), lambda text: None)
    x = Project(recipe).dataset.batch("test", [0], None)["input"]
    with torch.no_grad():
        exported = gancompress.export.load(tmp_path / "copy" / "export" / "model")(x)
        assert torch.equal(exported, net(x))


def test_rungs_by_hand() -> None:
    assert rungs_of(4, 1000) == (Rung(4, 125), Rung(2, 250), Rung(1, 1000))
    assert rungs_of(5, 1600) == (Rung(5, 100), Rung(3, 200), Rung(2, 400), Rung(1, 1600))
    assert rungs_of(1, 7) == (Rung(1, 7),)
    assert steps_in_all(4, 1000) == 4 * 125 + 2 * 125 + 750
    assert steps_in_all(1, 7) == 7


def test_finalists_keep_the_limits_and_come_in_order_of_the_kernel_distance() -> None:
    """The Frechet distance, which the search ranked by, has another order."""
    archs = [Arch.of("resnet", {"stem.width": width}) for width in (8, 7, 6, 5, 4)]
    found = [
        Measured(arch, {"macs": macs}, {"fd": fd, "kid": kid})
        for arch, macs, fd, kid in zip(
            archs, (9, 8, 8, 11, 8), (4, 3, 2, 0, 1), (0.1, 0.2, 0.4, 0.0, 0.3), strict=True
        )
    ]
    winner = RowWinner(
        row="compressed", limits={"macs": 10}, arch=archs[2], costs={"macs": 8},
        scores={"fd": 2, "kid": 0.4},
    )  # fmt: skip
    chosen = finalists.finalists_among(found, winner, "fd")
    assert [one.arch for one in chosen] == [archs[i] for i in (2, 0, 1, 4)]
    assert finalists.ranking_metric("psnr") == "psnr"


def test_who_is_left_of_the_finalists_is_trained_as_if_alone(
    trained: Trained, tmp_path: Path
) -> None:
    """Its weights are those of a fine-tuning that stopped at no rung, to the last bit."""
    recipe = trained.copy(tmp_path / "run", "finetune.finalists=4", "finetune.steps=8")
    found = finetune(recipe)
    (halving,) = found["halvings"]
    assert halving["metric"] == "kid"
    assert [(one["steps"], len(one["ranked"])) for one in halving["rungs"]] == [
        (0, 4), (1, 4), (2, 2),
    ]  # fmt: skip
    for before, after in itertools.pairwise(halving["rungs"]):
        goes_on = before["ranked"][: len(after["ranked"])]
        entered = [one["arch"] for one in after["ranked"]]
        assert sorted(map(str, entered)) == sorted(str(one["arch"]) for one in goes_on)
        scores = [one["score"] for one in after["ranked"]]
        assert scores == sorted(scores)
    (left,) = found["generators"]
    assert left["arch"] == halving["rungs"][-1]["ranked"][0]["arch"]
    assert any(
        "of 4 finalists" in line and "is trained to the end" in line for line in found["said"]
    )
    arch = Arch.from_json(json.dumps(left["arch"]))
    alone = trained.copy(tmp_path / "alone", "finetune.steps=8")
    Run(alone.run_dir).stage("search").set_aside()
    searched(alone, winners=[arch], front=[arch])
    finetune(alone)
    ours, theirs = (tmp_path / run / "finetune/compressed.safetensors" for run in ("run", "alone"))
    assert ours.read_bytes() == theirs.read_bytes()
    assert not list((tmp_path / "run").rglob("state.pt"))
    later = trained.recipe(tmp_path / "run", "finetune.steps=0")
    pipeline.run_stages(Project(later), ("export",), lambda text: None)
    card = json.loads((tmp_path / "run" / "export" / "card.json").read_text())
    assert card["archs"]["compressed, fine-tuned"] == left["arch"]


def test_a_stopped_halving_ends_as_an_unstopped_one(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the second and then the last of six is evaluated."""
    more = ("finetune.finalists=4", "finetune.steps=8")
    whole = finetune(trained.copy(tmp_path / "whole", *more))
    recipe, told = trained.copy(tmp_path / "cut", *more), list[str]()

    def stopping(scores: Mapping[str, MetricValue]) -> dict[str, float]:
        told.append("")
        if len(told) in (2, 7):
            raise KeyboardInterrupt
        return values_of(scores)

    monkeypatch.setattr(finalists, "values_of", stopping)
    for left in (2, 4):  # states, of those that were trained so far
        with pytest.raises(KeyboardInterrupt):
            finetune(recipe)
        assert len(list((tmp_path / "cut").rglob("state.pt"))) == left
    cut = finetune(recipe)
    assert len(told) == 8  # six were evaluated, two of them twice
    assert cut["halvings"] == whole["halvings"] and cut["generators"] == whole["generators"]
    ours, theirs = files(tmp_path / "cut"), files(tmp_path / "whole")
    different = [name for name in theirs if ours.get(name) != theirs[name]]
    assert all(name.startswith(("study.db", "workers/")) for name in different)


@pytest.mark.slow
def test_two_processes_train_as_one_and_one_of_them_judges(
    trained: Trained, tmp_path: Path
) -> None:
    """Without an adversarial loss, in which rounding errors grow until they show."""
    more = ("supernet.losses={l1: 100, features: 1}", "finetune.archs=2")
    both = Trained(tmp_path / "base", *more)
    finetune(both.copy(tmp_path / "alone"))
    both.copy(tmp_path / "both")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, "-m", "gancompress", "finetune",
         *both.options(tmp_path / "both")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"finetune: {tmp_path}") == 1, done.stdout
    paths = (tmp_path / run / "finetune" / "front-3.safetensors" for run in ("alone", "both"))
    one, two = (load_tensors(path)[0] for path in paths)
    for name, tensor in one.items():
        if tensor.dim() > 1:  # not the biases before a norm, of which Adam blows up rounding errors
            torch.testing.assert_close(tensor, two[name], rtol=0, atol=1e-5, msg=name)
