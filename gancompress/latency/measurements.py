"""Times measured so far, in a file, so that a stopped measurement goes on where it was."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from gancompress.errors import CheckpointError, RunError
from gancompress.latency.table import check_identity
from gancompress.storage.checkpoint import read_record, write_record

KIND = "latency measurements"


SAVE_SECONDS = 5.0  # the file is written this often, and at the end

Times = dict[str, list[float]]  # ms by key


@dataclass
class Measurements:
    """Times of layers by configuration and of generators by arch key, kept in `path`.

    identity: what is measured; device: where, in words.
    """

    path: Path
    identity: Mapping[str, Any]
    device: str
    layers: Times = field(default_factory=dict)
    generators: Times = field(default_factory=dict)

    @classmethod
    def begin(cls, path: Path, identity: Mapping[str, Any], device: str) -> Self:
        """What `path` holds of this, or nothing yet.

        Raises: RunError if it is of something else or of another device; CheckpointError if it is
        no such file.
        """
        if not path.exists():
            return cls(path, identity, device)
        raw = read_record(path)
        try:
            if raw["kind"] != KIND:
                raise ValueError(raw["kind"])
            layers, generators = (
                {str(key): [float(ms) for ms in times] for key, times in raw[name].items()}
                for name in ("layers", "generators")
            )
            found, there = dict(raw["identity"]), str(raw["device"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise CheckpointError(
                f"{path}: not measurements, or changed on disk; delete it and measure again"
            ) from None
        check_identity(path, found, identity)
        if there != device:
            raise RunError(
                f"{path}: begun on {there}, here is {device}; go on there, or give "
                "`gancompress latency-table … --redo`"
            )
        return cls(path, identity, device, layers, generators)

    def add(self, times: Times, measured: Iterable[Mapping[str, float]]) -> None:
        """Adds to `times`, this one's layers or generators, what comes; keeps all if stopped."""
        saved = time.monotonic()
        try:
            for one in measured:
                for key, ms in one.items():
                    times.setdefault(key, []).append(ms)
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._write()
                    saved = time.monotonic()
        finally:
            self._write()

    def _write(self) -> None:
        record: dict[str, Any] = {"kind": KIND, "identity": dict(self.identity)}
        record |= {"device": self.device, "layers": self.layers, "generators": self.generators}
        write_record(self.path, record)


def medians(times: Times) -> dict[str, float]:
    return {key: statistics.median(ms) for key, ms in times.items()}
