"""The record of what was measured: Optuna studies, which any number of processes work on.

`optuna-dashboard` shows them: a trial is an arch, its slots are the trial's parameters, its costs
and values are user attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.errors import RunError
from gancompress.search.record import (
    CLAIM_DIGEST,
    COST_PREFIX,
    DIGEST,
    PLACE,
    SCORE_PREFIX,
    Claim,
    Progress,
    Setting,
    StudyIdentity,
    arch_digest,
    checked_scores,
    claimed_arch,
    digest_of,
    is_whole,
    measured_of,
)
from gancompress.search.results import Measured
from gancompress.search.storage import STORAGE_ERRORS, Storage, file_errors
from gancompress.search.workers import BEAT, WORKER, Worker

WITHDRAWN = "withdrawn"  # The mark of a claim that came second, which nobody needs to take up.
OTHER = {  # Messages for settings whose values say nothing to a reader.
    "supernet": "another supernet (its weights differ)",
    "judging": "other images or other features",
    "space": "another search space",
}
WAYS_OUT = "search in another run folder, or give --redo to set this search aside"
DIRECTIONS = {"min": StudyDirection.MINIMIZE, "max": StudyDirection.MAXIMIZE}


class Studies:
    """The studies in one storage, for one of the processes that search. Names start with `prefix`.

    say: told of every trial whose values were changed, which count as not measured.
    Raises: CheckpointError (here and in every other method) if the storage fails.
    """

    def __init__(
        self,
        storage: Storage,
        worker: Worker,
        prefix: str = "",
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._storage = storage
        self._worker = worker
        self._prefix = prefix
        self._say = say

    def study(self, name: str, space: SearchSpace, kept: StudyIdentity) -> Study:
        """The study of that name, created or joined.

        Raises: RunError if it was started with other settings or in another space.
        """
        with file_errors(self._storage.label):
            number = self._create(self._prefix + name, [DIRECTIONS[b] for _, b in kept.objectives])
            self._check(number, name, kept.plain(space))
        return Study(self._storage, self._worker, number, space, kept, self._say)

    def known(self, supernet: str, images: str) -> dict[str, Mapping[str, float]]:
        """By arch key, the values that any study of the storage has of that context."""
        found: dict[str, Mapping[str, float]] = {}
        with file_errors(self._storage.label):
            for study in self._storage.optuna.get_all_studies():
                kept = study.user_attrs.get("settings", {})
                if (kept.get("supernet"), kept.get("judging")) == (supernet, images):
                    for trial in _finished(self._storage.optuna, study._study_id):
                        if is_whole(trial, self._storage.label, (supernet, images)):
                            one = measured_of(trial, self._storage.label)
                            found.setdefault(one.arch.key, one.scores)
        return found

    def _create(self, name: str, directions: Sequence[StudyDirection]) -> int:
        storage = self._storage.optuna
        with suppress(optuna.exceptions.DuplicatedStudyError):  # another process was first
            with suppress(KeyError):
                return storage.get_study_id_from_name(name)
            before = optuna.logging.get_verbosity()
            optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study
            try:
                return storage.create_new_study(list(directions), name)
            finally:
                optuna.logging.set_verbosity(before)
        return storage.get_study_id_from_name(name)

    def _check(self, number: int, name: str, settings: Mapping[str, Setting]) -> None:
        stored = self._storage.optuna.get_study_user_attrs(number).get("settings")
        if stored is None:  # processes that begin at once all write the same
            self._storage.optuna.set_study_user_attr(number, "settings", dict(settings))
            return
        for key in sorted({*stored, *settings}):
            old, new = stored.get(key), settings.get(key)
            if old != new:
                said = OTHER.get(key, f"{key} {old!r}, not {new!r}")
                raise RunError(
                    f"{self._storage.label}: study {self._prefix + name!r} was made with {said}; "
                    + ("give the recipe another name=" if self._prefix else WAYS_OUT)
                )


class Study:
    """One search: which archs were measured, in order, and which are being measured by whom.

    An arch is claimed by adding a trial that holds it, in one step of the storage, which numbers
    trials in the order of these steps. Then the lower number has it: who finds the same arch under
    a lower one than its own withdraws. So nothing is measured twice, and no lock is needed.
    """

    def __init__(
        self,
        storage: Storage,
        worker: Worker,
        number: int,
        space: SearchSpace,
        kept: StudyIdentity,
        say: Callable[[str], None],
    ) -> None:
        self._storage = storage.optuna
        self._label = storage.label
        self._worker = worker
        self._number = number
        self._space, self._say = space, say
        self._objectives = tuple(name for name, _ in kept.objectives)
        self._context = (kept.supernet, kept.images)
        self._places: dict[Arch, int] = {}  # The trials of archs whose values were changed.
        self._told: set[int] = set()  # trials that `say` heard of
        self._distributions: dict[str, BaseDistribution] = {
            slot: CategoricalDistribution(values) for slot, values in space.choices
        }

    def look(self) -> Progress:
        """What was measured and is being measured; claims of dead workers are marked as failed.

        What was changed since it was recorded counts as left by the dead, and the arch that is
        measured in its place comes where it came.
        """
        done: dict[int, Measured] = {}
        pending: list[Arch] = []
        abandoned: list[Arch] = []
        damaged: dict[Arch, tuple[int, FrozenTrial]] = {}
        with file_errors(self._label):
            for trial in self._storage.get_all_trials(self._number, deepcopy=False):
                state, place = trial.state, trial.user_attrs.get(PLACE, trial.number)
                if not state.is_finished() and self._is_dead(trial):
                    state = self._fail(trial._trial_id)
                if state == TrialState.COMPLETE and is_whole(trial, self._label, self._context):
                    done[place] = measured_of(trial, self._label)
                    continue
                if trial.user_attrs.get(WITHDRAWN):
                    continue  # Nobody measures it any more.
                arch = claimed_arch(trial, self._label, self._space)
                if arch is None:  # The sampler comes to the same arch, or another, again.
                    self._tell_of(trial)
                elif state == TrialState.RUNNING:
                    pending.append(arch)
                elif state in (TrialState.FAIL, TrialState.COMPLETE):
                    abandoned.append(arch)
                    if state == TrialState.COMPLETE:
                        damaged.setdefault(arch, (place, trial))
        seen = {*pending, *(one.arch for one in done.values())}
        self._places = {arch: place for arch, (place, _) in damaged.items()}
        for arch, (_, trial) in damaged.items():
            if arch not in seen:
                self._tell_of(trial)
        free = dict.fromkeys(arch for arch in abandoned if arch not in seen)
        return Progress(tuple(done[place] for place in sorted(done)), tuple(pending), tuple(free))

    def _tell_of(self, trial: FrozenTrial) -> None:
        is_ours = "arch" in trial.user_attrs or CLAIM_DIGEST in trial.user_attrs
        if is_ours and trial.number not in self._told:
            self._told.add(trial.number)
            self._say(
                f"{self._label}: trial {trial.number} was changed on disk; it is set aside, and "
                "its arch is measured again"
            )

    def claim(self, arch: Arch, costs: Mapping[str, float], most: int) -> Claim | None:
        """Records that this process measures `arch`; None if another was first with it.

        Also None if `most` archs are measured or being measured before it.
        """
        with file_errors(self._label):
            trial = self._storage.create_new_trial(
                self._number,
                optuna.create_trial(
                    state=TrialState.RUNNING,
                    params=arch.values,
                    distributions=self._distributions,
                    user_attrs={
                        "arch": arch.to_json(),
                        CLAIM_DIGEST: arch_digest(arch),
                        WORKER: self._worker.about,
                        **({PLACE: self._places[arch]} if arch in self._places else {}),
                        **{COST_PREFIX + name: value for name, value in costs.items()},
                    },
                ),
            )
            if self._comes_late(trial, arch, most):
                self._storage.set_trial_user_attr(trial, WITHDRAWN, True)
                self._fail(trial)
                return None
        self._worker.beat(lambda number: self._tell(trial, number))
        return Claim(arch, dict(costs), trial)

    def give_back(self, claim: Claim) -> None:
        """Leaves a claimed arch to whoever comes next."""
        self._worker.rest()
        with file_errors(self._label):
            self._fail(claim.trial)

    def record(self, claim: Claim, scores: Mapping[str, float]) -> Measured | None:
        """Records the values of a claimed arch; it counts as measured from the last step on.

        None if this process was so silent that others took it for dead, and the arch over.
        Raises: MetricError for a missing or non-finite figure.
        """
        measured = Measured(
            claim.arch, claim.costs, checked_scores(claim.arch, scores, self._objectives[0])
        )
        values = {**measured.costs, **measured.scores}
        self._worker.rest()
        with file_errors(self._label):
            try:
                for name, value in measured.scores.items():
                    self._storage.set_trial_user_attr(claim.trial, SCORE_PREFIX + name, value)
                digest = digest_of(measured, self._storage.get_trial(claim.trial), self._context)
                self._storage.set_trial_user_attr(claim.trial, DIGEST, digest)
                self._storage.set_trial_state_values(
                    claim.trial, TrialState.COMPLETE, [values[name] for name in self._objectives]
                )
            except optuna.exceptions.UpdateFinishedTrialError:
                return None
        return measured

    def _comes_late(self, claimed: int, arch: Arch, most: int) -> bool:
        before = 0
        text = arch.to_json()
        for trial in self._storage.get_all_trials(self._number, deepcopy=False):
            if trial._trial_id == claimed:
                break
            is_done = trial.state == TrialState.COMPLETE
            if is_done and not is_whole(trial, self._label, self._context):
                continue
            if is_done or trial.state == TrialState.RUNNING:
                before += 1
                if trial.user_attrs.get("arch") == text:
                    return True
        return before >= most

    def _is_dead(self, trial: FrozenTrial) -> bool:
        queued = trial.state == TrialState.WAITING  # by another program: not for us
        return queued or self._worker.is_dead(trial._trial_id, trial.user_attrs)

    def _fail(self, trial: int) -> TrialState:
        """Marks a trial as failed, unless it is finished; its state then."""
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial, TrialState.FAIL)
        return self._storage.get_trial(trial).state

    def _tell(self, trial: int, number: int) -> bool:
        """A sign of life; whether another one is wanted."""
        try:
            self._storage.set_trial_user_attr(trial, BEAT, number)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        except STORAGE_ERRORS:
            return True  # a storage that is busy or away now may answer next time
        return True


def _finished(storage: BaseStorage, number: int) -> list[FrozenTrial]:
    return storage.get_all_trials(number, deepcopy=False, states=(TrialState.COMPLETE,))
