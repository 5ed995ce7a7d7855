"""What a search leaves for other stages and the report: `front.json` and `trials.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from gancompress.archs.plainarch import PlainArch
from gancompress.ranks import RankAgreement
from gancompress.storage.resultfiles import Numbers, ResultFile, SortedNumbers

Better = Annotated[str, Field(pattern="^(min|max)$")]


@dataclass(frozen=True)
class Measured:
    """An arch that was measured: what it costs, and all its scores, by name."""

    arch: PlainArch
    costs: SortedNumbers
    scores: SortedNumbers


@dataclass(frozen=True)
class LowFidelityTrial:
    """An arch that was scored on few images; forecast: the full objective that they predict."""

    arch: PlainArch
    costs: SortedNumbers
    scores: SortedNumbers
    forecast: float | None = None


@dataclass(frozen=True, kw_only=True)
class RowWinner:
    """What the search chose for one row of the final table, inside its limits (by cost).

    by_search, by_chance: the best that the search and that random draws found; None for nothing.
    lead: by how much the search's is better, an interval of 95 % over images like those that both
    were chosen on; None where it is not known.
    """

    row: str
    budget_macs: int | None = None
    limits: Numbers
    arch: PlainArch
    costs: SortedNumbers
    scores: SortedNumbers
    by_search: Measured | None = None
    by_chance: Measured | None = None
    lead: tuple[float, float] | None = None

    @property
    def lead_text(self) -> str:
        """How random draws compare with the search, where that is known: `, … worse (95 %)`."""
        if self.lead is None:
            return ""
        low, high = self.lead
        if high < 0:
            return f", {-high:.3g} to {-low:.3g} better (95 %)"
        beyond = "" if low > 0 else ": the choice of images explains it"
        return f", {low:.3g} to {high:.3g} worse (95 %){beyond}"

    @property
    def measured(self) -> Measured:
        return Measured(self.arch, self.costs, self.scores)


@dataclass(frozen=True, kw_only=True)
class Front:
    """What the search found. points: the front, cheap first; winners: the one to export first.

    better: "min" or "max", of the objective. images, first_images: how many scores and low-fidelity
    ones are of. first_look: how alike the two rank, None where that is not known. teacher:
    measured on the same images; earlier versions left it out, as they did what has a default.
    """

    objective: str
    better: Better
    cost: str
    convention: str = ""
    features: str
    images: int
    first_images: int
    algorithm: str
    first_look: RankAgreement | None
    teacher: Measured | None = None
    winners: tuple[RowWinner, ...]
    points: tuple[Measured, ...]

    @property
    def is_lower_better(self) -> bool:
        return self.better == "min"


@dataclass(frozen=True)
class SearchTrials:
    """One search, all that it measured in order; first_look: on few images, by other scores.

    is_baseline: whether it drew archs at random.
    """

    name: str
    is_baseline: bool
    first_look: tuple[LowFidelityTrial, ...] | None
    full: tuple[Measured, ...]


FRONT = ResultFile[Front](Front, "search")
TRIALS = ResultFile[tuple[SearchTrials, ...]](tuple[SearchTrials, ...], "search")
