"""What the fine-tuning of chosen generators leaves: `finetune.json`."""

from __future__ import annotations

from dataclasses import dataclass

from gancompress.archs.plainarch import PlainArch
from gancompress.ranks import RankAgreement
from gancompress.storage.resultfiles import Numbers, ResultFile


@dataclass(frozen=True)
class TunedGenerator:
    """A generator's scores by name, as it was in the supernet and after training alone.

    file: its weights, beside `finetune.json`.
    """

    name: str
    arch: PlainArch
    file: str
    sha256: str
    before: Numbers
    after: Numbers


@dataclass(frozen=True)
class Finetuning:
    """What training further changed, scored on `images` of `split`.

    rank_agreement: of the objectives before and after.
    """

    steps: int
    objective: str
    images: int
    split: str
    rank_agreement: RankAgreement
    generators: tuple[TunedGenerator, ...]


FINETUNING = ResultFile[Finetuning](Finetuning, "finetune")
