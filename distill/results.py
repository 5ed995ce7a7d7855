"""What the fine-tuning of chosen generators leaves: `finetune.json`."""

from __future__ import annotations

from dataclasses import dataclass, field

from gancompress.archs.plainarch import PlainArch
from gancompress.ranks import RankAgreement
from gancompress.storage.resultfiles import Numbers, ResultFile


@dataclass(frozen=True)
class TunedGenerator:
    """A generator's scores by name, as it was in the supernet and after training alone.

    file: its weights, beside `finetune.json`. learnt: its score after training on images that it
    learnt from, where that tells something.
    """

    name: str
    arch: PlainArch
    file: str
    sha256: str
    before: Numbers
    after: Numbers
    learnt: Numbers = field(default_factory=dict)


@dataclass(frozen=True)
class RankedGenerator:
    """A generator in a rung, and its score."""

    arch: PlainArch
    score: float


@dataclass(frozen=True)
class HalvingRung:
    """How generators rank after so many steps of training alone, best first; 0: in the supernet."""

    steps: int
    ranked: tuple[RankedGenerator, ...]


@dataclass(frozen=True)
class Halving:
    """How one row's finalists came to be one, scored by `metric`; see `halving`."""

    row: str
    metric: str
    rungs: tuple[HalvingRung, ...]


@dataclass(frozen=True)
class Finetuning:
    """What training further changed, scored on `images` of `split`.

    rank_agreement: of the objectives before and after. halvings: of the rows that had finalists.
    """

    steps: int
    objective: str
    images: int
    split: str
    rank_agreement: RankAgreement
    generators: tuple[TunedGenerator, ...]
    halvings: tuple[Halving, ...] = ()


HALVING = ResultFile[Halving](Halving, "finetune")
FINETUNING = ResultFile[Finetuning](Finetuning, "finetune")
