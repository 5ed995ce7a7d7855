"""What the record of a search holds: archs that were measured, are being measured, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from gancompress.arch import Arch

COST_PREFIX = "cost "  # of the user attributes that hold what an arch costs
SCORE_PREFIX = "score "  # and its figures
Setting = str | int | float | None


@dataclass(frozen=True)
class Measured:
    """An arch that was measured: what it costs, and all its figures, by name."""

    arch: Arch
    costs: dict[str, float]
    scores: dict[str, float]


@dataclass(frozen=True)
class Claim:
    """An arch that this process is measuring."""

    arch: Arch
    costs: dict[str, float]
    trial: int  # the storage's number of it


@dataclass(frozen=True)
class Progress:
    """One look at a study: what was measured, is being measured, and was left by the dead."""

    done: tuple[Measured, ...]  # in the order in which they were claimed
    pending: tuple[Arch, ...]
    abandoned: tuple[Arch, ...]


@dataclass(frozen=True)
class Kept:
    """What decides which archs a study proposes and what their scores mean.

    objectives: the scores and costs that are the trials' values, each "min" or "max" for better.
    supernet, judging: hashes of what the scores depend on beside the arch; figures are used again
    in other studies where both are equal.
    """

    objectives: tuple[tuple[str, str], ...]
    supernet: str
    judging: str
    settings: Mapping[str, Setting]


def measured_of(trial: FrozenTrial, label: str) -> Measured:
    """What a finished trial says. Raises: ArchError naming `label`, the storage."""

    def named(prefix: str) -> dict[str, float]:
        found = {k.removeprefix(prefix): v for k, v in attributes.items() if k.startswith(prefix)}
        return dict(sorted(found.items()))

    attributes = trial.user_attrs
    return Measured(arch_of(trial, label), named(COST_PREFIX), named(SCORE_PREFIX))


def arch_of(trial: FrozenTrial, label: str) -> Arch:
    """The arch of a trial. Raises: ArchError naming `label`, the storage."""
    return Arch.from_json(trial.user_attrs.get("arch", ""), f"{label}, trial {trial.number}")
