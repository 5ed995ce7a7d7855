"""The JSON files that a stage leaves: one type each, which whoever writes or reads it shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, PlainSerializer, TypeAdapter, ValidationError

from gancompress.errors import ArchError, CheckpointError
from gancompress.storage.checkpoint import read_json, write_json
from gancompress.storage.readings import Readings
from gancompress.storage.stagenames import STAGES

T = TypeVar("T")


def _finite(numbers: Mapping[str, float]) -> Mapping[str, float]:
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _sorted(numbers: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(numbers.items()))


# Numbers by name; of a file, those that are not finite are left out.
Numbers = Annotated[Mapping[str, float], AfterValidator(_finite)]
SortedNumbers = Annotated[Numbers, PlainSerializer(_sorted)]  # by name in the file


class ResultFile(Generic[T]):
    """The files of one type. kind: a dataclass, its fields in the order of the file's keys.

    stage: what writes them. Keys of a file that the type has not are passed over.
    """

    def __init__(self, kind: Any, stage: str) -> None:
        self._kind, self._stage = kind, stage

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self._kind)

    def plain(self, result: T) -> Any:
        """What the file holds of `result`, as plain JSON values."""
        return self._adapter.dump_python(result)

    def write(self, path: Path, result: T) -> None:
        """Raises: CheckpointError if the file cannot be written."""
        write_json(path, self.plain(result))

    def read(self, path: Path, readings: Readings | None = None) -> T:
        """The file's content. readings: keeps what was read for the next time.

        Raises: CheckpointError for a file that is missing, or not what the stage writes.
        """
        raw = read_json(path) if readings is None else readings.json(path)
        try:
            return self._adapter.validate_python(raw)
        except (ValidationError, ArchError):
            raise damaged(path, self._stage) from None


def damaged(path: Path, stage: str) -> CheckpointError:
    """What is raised for a file that `stage` did not write so."""
    return CheckpointError(
        f"{path}: not what this version's {stage} writes, or changed on disk; give "
        f"`gancompress {STAGES[stage]} … --redo` to make it again"
    )
