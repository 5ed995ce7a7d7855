"""The record of what was measured: Optuna studies in one SQLite file, one study per budget.

`optuna-dashboard sqlite:///RUN/study.db` shows them: a trial is an arch, its slots are the
trial's parameters, its figures are user attributes.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gancompress.arch import Arch, SearchSpace
from gancompress.errors import CheckpointError, MetricError, RunError

SCORE_PREFIX = "score "  # of the user attributes that hold the figures of an arch
OTHER = {  # how a setting whose value says nothing to a reader is named when it differs
    "context": "another supernet, other images or other features",
    "space": "another search space",
}
DIRECTIONS = {"min": StudyDirection.MINIMIZE, "max": StudyDirection.MAXIMIZE}
Setting = str | int | float


@dataclass(frozen=True)
class Measured:
    """An arch that was measured: its MACs (in the search's convention) and all its figures."""

    arch: Arch
    macs: int
    scores: dict[str, float]


@dataclass(frozen=True)
class Claim:
    """An arch that this process is measuring."""

    arch: Arch
    macs: int
    trial: optuna.Trial


class StudyFile:
    """The SQLite file that holds all studies of a run; a context manager that closes it.

    Raises: CheckpointError (here and in every other method) if the file is not an Optuna
    storage, is damaged, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_file(path)
        url = sqlalchemy.URL.create("sqlite", database=str(path))  # escapes ?, # and % in a path
        with storage_errors(path):
            self._storage = optuna.storages.RDBStorage(url.render_as_string(hide_password=False))

    def __enter__(self) -> StudyFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()

    def study(self, name: str, space: SearchSpace, settings: Mapping[str, Setting]) -> Study:
        """The study of that name, created or taken up again; what was under way is given up.

        `settings` is all that decides which archs are proposed and what their scores mean; its
        "objective" and "better" ("min" or "max") are needed here, its "context" by `known`.

        Raises: RunError if the study was started with other settings or in another space.
        """
        with storage_errors(self.path):
            found = self._create(name, DIRECTIONS[str(settings["better"])])
            self._check(found, {**settings, "space": _space_text(space)})
            study = Study(self.path, found, space, str(settings["objective"]))
            study.give_up_unfinished()
        return study

    def names(self) -> list[str]:
        """The studies of this file, in the order of their creation."""
        with storage_errors(self.path):
            return optuna.get_all_study_names(self._storage)

    def known(self, context: str) -> dict[str, Measured]:
        """By arch key, everything that any study of this file measured in that context."""
        found: dict[str, Measured] = {}
        with storage_errors(self.path):
            for name in optuna.get_all_study_names(self._storage):
                study = optuna.load_study(study_name=name, storage=self._storage)
                if study.user_attrs.get("settings", {}).get("context") == context:
                    for one in _measured(study, self.path):
                        found.setdefault(one.arch.key, one)
        return found

    def _create(self, name: str, direction: StudyDirection) -> optuna.Study:
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study on stderr
        try:
            return optuna.create_study(
                study_name=name,
                storage=self._storage,
                direction=direction,
                load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(seed=0),  # never asked for a value
            )
        finally:
            optuna.logging.set_verbosity(before)

    def _check(self, study: optuna.Study, settings: Mapping[str, Setting]) -> None:
        stored = study.user_attrs.get("settings")
        if stored is None:
            study.set_user_attr("settings", dict(settings))
            return
        for key in sorted({*stored, *settings}):
            old, new = stored.get(key), settings.get(key)
            if old != new:
                said = OTHER.get(key, f"{key} {old!r}, not {new!r}")
                raise RunError(
                    f"{self.path}: study {study.study_name!r} was made with {said}; search in "
                    "another run folder, or delete this file to start afresh"
                )


class Study:
    """One search: which archs were measured, in order, and which one is being measured."""

    def __init__(self, path: Path, study: optuna.Study, space: SearchSpace, objective: str) -> None:
        self._path = path
        self._study = study
        self._objective = objective
        self._distributions: dict[str, BaseDistribution] = {
            slot: CategoricalDistribution(values) for slot, values in space.choices
        }

    def measured(self) -> list[Measured]:
        """What was measured, in the order in which it was claimed."""
        with storage_errors(self._path):
            return _measured(self._study, self._path)

    def give_up_unfinished(self) -> None:
        """Marks trials of a process that was stopped as failed, so that they are proposed anew."""
        while self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.ask()
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)

    def claim(self, arch: Arch, macs: int) -> Claim:
        """Records that `arch` is being measured, before it is: slots and MACs in one commit."""
        with storage_errors(self._path):
            self._study.add_trial(
                optuna.create_trial(
                    state=TrialState.WAITING,
                    params=arch.values,
                    distributions=self._distributions,
                    user_attrs={"arch": arch.to_json(), "macs": int(macs)},
                )
            )
            trial = self._study.ask()
        if trial.user_attrs.get("arch") != arch.to_json():
            raise self._taken_over(trial)
        return Claim(arch, int(macs), trial)

    def record(self, claim: Claim, scores: Mapping[str, float]) -> Measured:
        """Records the figures of a claimed arch; it counts as measured from the last commit on.

        Raises: MetricError for a missing or non-finite figure, RunError if another process took
        the claim over.
        """
        measured = Measured(claim.arch, claim.macs, self._checked(claim.arch, scores))
        with storage_errors(self._path):
            try:
                for name, value in measured.scores.items():
                    claim.trial.set_user_attr(SCORE_PREFIX + name, value)
                self._study.tell(claim.trial, measured.scores[self._objective])
            except (optuna.exceptions.UpdateFinishedTrialError, ValueError):
                raise self._taken_over(claim.trial) from None
        return measured

    def _taken_over(self, trial: optuna.Trial) -> RunError:
        return RunError(
            f"{self._path}: trial {trial.number} was taken over by another process; let one "
            "search at a time work on a run folder"
        )

    def _checked(self, arch: Arch, scores: Mapping[str, float]) -> dict[str, float]:
        figures = {name: float(value) for name, value in scores.items()}
        if self._objective not in figures:
            raise MetricError(
                f"search: the score has no {self._objective!r}; it has {', '.join(figures)}"
            )
        for name, value in figures.items():
            if not math.isfinite(value):
                raise MetricError(
                    f"search: {name} of {arch.key} is {value}; check the supernet's training log "
                    "for values that grew without bound"
                )
        return figures


def _measured(study: optuna.Study, path: Path) -> list[Measured]:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [_of_trial(trial, path) for trial in trials]


def _of_trial(trial: FrozenTrial, path: Path) -> Measured:
    start = len(SCORE_PREFIX)
    attributes = trial.user_attrs
    scores = {k[start:]: v for k, v in attributes.items() if k.startswith(SCORE_PREFIX)}
    arch = Arch.from_json(attributes["arch"], f"{path}, trial {trial.number}")
    return Measured(arch, attributes["macs"], dict(sorted(scores.items())))


def _space_text(space: SearchSpace) -> str:
    return json.dumps([space.family, space.choices])


def _check_file(path: Path) -> None:
    """Raises: CheckpointError if there is a file at `path` that SQLite finds damaged."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path)) as connection:
            whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            finding = "the file is damaged"
    except sqlite3.Error as error:
        whole, finding = False, str(error)
    if not whole:
        raise CheckpointError(f"{path}: {finding}; move the file away and search again")


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns what SQLite and Optuna raise about the file into a CheckpointError."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        reason = getattr(cause, "orig", None) or cause  # the sentence of SQLite itself
        raise CheckpointError(
            f"{path}: {reason}; free some space if the disk is full, otherwise move the file away "
            "and search again"
        ) from error
