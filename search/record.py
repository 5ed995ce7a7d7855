"""What the record of a search holds: archs that were measured, are being measured, and why."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.errors import ArchError, MetricError
from gancompress.search.results import Measured
from gancompress.storage.checkpoint import record_digest

COST_PREFIX = "cost "  # The prefix of the user attributes that hold an arch's costs.
SCORE_PREFIX = "score "  # and its values
# The user attribute of a trial that repeats a damaged one: the other's number.
PLACE = "in place of"
CLAIM_DIGEST = "digest of arch"  # user attributes that tell whether others were changed
DIGEST = "digest"
Setting = str | int | float | None


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
class StudyIdentity:
    """What decides which archs a study proposes and what their scores mean.

    objectives: the scores and costs that are the trials' values, each "min" or "max" for better.
    supernet, images: hashes of what the scores depend on beside the arch; scores are used again
    in other studies where both are equal.
    """

    objectives: tuple[tuple[str, str], ...]
    supernet: str
    images: str
    settings: Mapping[str, Setting]

    def plain(self, space: SearchSpace) -> dict[str, Setting]:
        """As a study keeps it, by name."""
        return {
            **self.settings,
            "objectives": json.dumps(self.objectives),
            "supernet": self.supernet,
            "judging": self.images,
            "space": json.dumps([space.family, space.choices]),
        }


def measured_of(trial: FrozenTrial, label: str) -> Measured:
    """What a finished trial says. Raises: ArchError naming `label`, the storage."""
    costs, scores = (_named(trial, prefix) for prefix in (COST_PREFIX, SCORE_PREFIX))
    return Measured(arch_of(trial, label), costs, scores)


def _named(trial: FrozenTrial, prefix: str) -> dict[str, float]:
    found = {k.removeprefix(prefix): v for k, v in trial.user_attrs.items() if k.startswith(prefix)}
    return dict(sorted(found.items()))


def arch_of(trial: FrozenTrial, label: str) -> Arch:
    """The arch of a trial. Raises: ArchError naming `label`, the storage."""
    return Arch.from_json(trial.user_attrs.get("arch", ""), f"{label}, trial {trial.number}")


def arch_digest(arch: Arch) -> str:
    """A hash of what a trial is of, from its first moment on."""
    return record_digest(arch.as_dict())


def digest_of(measured: Measured, trial: FrozenTrial, context: tuple[str, str]) -> str:
    """A hash of what the trial of that number says when it is finished.

    context: the hashes of the supernet and of the images and features, which the scores depend on.
    """
    told = {
        "arch": arch_digest(measured.arch),
        "costs": measured.costs,
        "scores": measured.scores,
        "place": [trial.number, trial.user_attrs.get(PLACE)],
        "with": list(context),
    }
    return record_digest(told)


def is_whole(trial: FrozenTrial, label: str, context: tuple[str, str]) -> bool:
    """Whether a finished trial says what was recorded. Without a hash, as earlier versions recorded
    it, a trial of ours counts as whole."""
    told = trial.user_attrs.get(DIGEST)
    try:
        measured = measured_of(trial, label)
    except ArchError:
        return False
    return bool(measured.scores) and told in (None, digest_of(measured, trial, context))


def claimed_arch(trial: FrozenTrial, label: str, space: SearchSpace) -> Arch | None:
    """The arch of a trial, checked; None where it was changed.

    The trial's parameters say it once more, for where only one of the two was changed.
    """
    told, found = trial.user_attrs.get(CLAIM_DIGEST), list[Arch]()
    with suppress(ArchError):
        found.append(arch_of(trial, label))
    if told is None:  # An earlier version recorded it, or another program.
        return found[0] if found else None
    if all(slot in trial.params for slot, _ in space.choices):
        slots = {slot: trial.params[slot] for slot, _ in space.choices}
        found.append(Arch.of(space.family, slots))
    return next((arch for arch in found if arch_digest(arch) == told), None)


def checked_scores(arch: Arch, scores: Mapping[str, float], objective: str) -> dict[str, float]:
    """The scores of an arch by name. Raises: MetricError if one is not finite, or without the
    objective."""
    values = {name: float(value) for name, value in sorted(scores.items())}
    if objective not in values:
        raise MetricError(f"search: the score has no {objective!r}; it has {', '.join(values)}")
    for name, value in values.items():
        if not math.isfinite(value):
            raise MetricError(
                f"search: {name} of {arch.key} is {value}; check the supernet's training log "
                "for values that grew without bound"
            )
    return values
