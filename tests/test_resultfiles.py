"""Result files: as they were always written, read back, and refused in a sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gancompress.archs.arch import Arch
from gancompress.distill.results import (
    FINETUNING,
    HALVING,
    Finetuning,
    Halving,
    HalvingRung,
    RankedGenerator,
    TunedGenerator,
)
from gancompress.errors import CheckpointError
from gancompress.export.filetable import FileRow
from gancompress.export.latency import Latency
from gancompress.export.report import ReportedValue, Row
from gancompress.export.results import CARD, ExportCard
from gancompress.ranks import RankAgreement
from gancompress.search.results import FRONT, TRIALS, Front, LowFidelityTrial, Measured, RowWinner
from gancompress.search.results import SearchTrials as Trials
from gancompress.storage.resultfiles import ResultFile

ARCH = Arch.of("resnet", {"stem.width": 8, "op": "dense"})
PLAIN = {"family": "resnet", "slots": {"stem.width": 8, "op": "dense"}}
BEST = Measured(ARCH, {"params": 5, "macs": 20}, {"kid": 0.5, "fd": 3.0})
PLAIN_BEST = {"arch": PLAIN, "costs": {"macs": 20, "params": 5}, "scores": {"fd": 3.0, "kid": 0.5}}
FRONT_FOUND = Front(
    objective="fd",
    better="min",
    cost="macs",
    convention="true",
    features="inception",
    images=9,
    first_images=3,
    algorithm="pareto",
    first_look=RankAgreement(0.5, 7),
    teacher=BEST,
    winners=(
        RowWinner(
            row="compressed",
            budget_macs=30,
            limits={"macs": 30, "latency_ms": 1.5},
            arch=ARCH,
            costs=BEST.costs,
            scores=BEST.scores,
            by_search=BEST,
        ),
    ),
    points=(BEST,),
)
# What earlier versions wrote, which had no types for it; keys in the order of the file.
PLAIN_FRONT = {
    "objective": "fd",
    "better": "min",
    "cost": "macs",
    "convention": "true",
    "features": "inception",
    "images": 9,
    "first_images": 3,
    "algorithm": "pareto",
    "first_look": {"kendall_tau": 0.5, "n": 7},
    "teacher": PLAIN_BEST,
    "winners": [
        {
            "row": "compressed",
            "budget_macs": 30,
            "limits": {"macs": 30, "latency_ms": 1.5},
            **PLAIN_BEST,
            "by_search": PLAIN_BEST,
            "by_chance": None,
            "lead": None,
        }
    ],
    "points": [PLAIN_BEST],
}
TRIALS_FOUND = (
    Trials("search", False, (LowFidelityTrial(ARCH, BEST.costs, BEST.scores, 2.5),), (BEST,)),
    Trials("random", True, None, ()),
)
PLAIN_TRIALS = [
    {
        "name": "search",
        "is_baseline": False,
        "first_look": [{**PLAIN_BEST, "forecast": 2.5}],
        "full": [PLAIN_BEST],
    },
    {"name": "random", "is_baseline": True, "first_look": None, "full": []},
]
TUNED = TunedGenerator("compressed", ARCH, "compressed.safetensors", "ab", {"fd": 3.0}, {"fd": 2.0})
FINETUNED = Finetuning(5, "fd", 9, "search", RankAgreement(None, 1), (TUNED,))
PLAIN_FINETUNED = {
    "steps": 5,
    "objective": "fd",
    "images": 9,
    "split": "search",
    "rank_agreement": {"kendall_tau": None, "n": 1},
    "generators": [
        {
            "name": "compressed",
            "arch": PLAIN,
            "file": "compressed.safetensors",
            "sha256": "ab",
            "before": {"fd": 3.0},
            "after": {"fd": 2.0},
            "learnt": {},
        }
    ],
    "halvings": [],
}
HELD = Halving(
    row="compressed",
    metric="kid",
    rungs=(
        HalvingRung(0, (RankedGenerator(ARCH, 3.0),)),
        HalvingRung(5, (RankedGenerator(ARCH, 2.0),)),
    ),
)
PLAIN_HELD = {
    "row": "compressed",
    "metric": "kid",
    "rungs": [
        {"steps": 0, "ranked": [{"arch": PLAIN, "score": 3.0}]},
        {"steps": 5, "ranked": [{"arch": PLAIN, "score": 2.0}]},
    ],
}
KINDS: list[tuple[ResultFile[Any], Any, Any]] = [
    (FRONT, FRONT_FOUND, PLAIN_FRONT),
    (TRIALS, TRIALS_FOUND, PLAIN_TRIALS),
    (FINETUNING, FINETUNED, PLAIN_FINETUNED),
    (HALVING, HELD, PLAIN_HELD),
]


@pytest.mark.parametrize(("kind", "result", "plain"), KINDS)
def test_files_are_written_as_ever_and_read_back(
    kind: ResultFile[Any], result: object, plain: object, tmp_path: Path
) -> None:
    kind.write(tmp_path / "a.json", result)
    text = (tmp_path / "a.json").read_text()
    assert text == json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    assert kind.read(tmp_path / "a.json") == result


def test_a_card_is_read_back_with_what_is_not_finite_left_out(tmp_path: Path) -> None:
    latency = Latency(1.5, 2.0, 30, 1)
    figures = (
        ReportedValue("mIoU", 0.5, 9, {"sea": {"IoU": 0.5, "precision": math.nan}}, (0.4, 0.6)),
    )
    card = ExportCard(
        archs={"compressed": ARCH},
        teacher_latency=latency,
        rows=(Row("teacher", 5, 20, 20, 99, {"torch": latency}, figures),),
        files=(FileRow("onnx", "model.onnx", 9, "float32", 0.0, latency, (), {"FD": 0.1}),),
        remarks=("a sentence",),
    )
    plain = json.loads(json.dumps({"recipe": "toy", **CARD.plain(card)}))
    assert plain["archs"] == {"compressed": PLAIN}
    assert plain["rows"][0]["latencies"]["torch"]["p95_ms"] == 2.0
    assert plain["rows"][0]["figures"][0]["interval"] == [0.4, 0.6]
    (tmp_path / "card.json").write_text(json.dumps(plain))
    found = CARD.read(tmp_path / "card.json")
    assert found.rows[0].figures[0].details == {"sea": {"IoU": 0.5}}
    assert (
        found.files == card.files
        and found.remarks == card.remarks
        and found.teacher_latency == latency
    )


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: [raw],
        lambda raw: 3,
        lambda raw: raw | {"better": "most"},
        lambda raw: raw | {"images": "many"},
        lambda raw: raw | {"points": [3]},
        lambda raw: raw | {"points": [{**PLAIN_BEST, "arch": {"family": "resnet"}}]},
        lambda raw: raw | {"winners": [PLAIN_BEST]},
        lambda raw: raw | {"first_look": [0.5, 7]},
        lambda raw: {key: value for key, value in raw.items() if key != "objective"},
    ],
)
def test_what_no_search_wrote_is_refused_in_a_sentence(change: Change, tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    path.write_text(json.dumps(change(PLAIN_FRONT)))
    with pytest.raises(CheckpointError) as caught:
        FRONT.read(path)
    assert str(caught.value) == (
        f"{path}: not what this version's search writes, or changed on disk; give "
        "`gancompress search … --redo` to make it again"
    )


def test_files_of_earlier_and_of_later_versions_are_read(tmp_path: Path) -> None:
    earlier = {k: v for k, v in PLAIN_FRONT.items() if k not in ("convention", "teacher")}
    (tmp_path / "front.json").write_text(json.dumps({**earlier, "invented_later": 3}))
    found = FRONT.read(tmp_path / "front.json")
    assert found.teacher is None and found.points == FRONT_FOUND.points
