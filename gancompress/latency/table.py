"""The latency table: a generator's milliseconds on one device, from those of its layers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import numpy as np

from gancompress.archs.arch import Arch
from gancompress.archs.slots import Value
from gancompress.errors import ArchError, CheckpointError, RunError
from gancompress.nets.families.family import Part
from gancompress.ranks import kendall_tau, spearman
from gancompress.storage.checkpoint import read_record, write_record

Values = tuple[Value, ...]
KIND = "latency table"
LEAST_SCALE = 1e-3  # above 0, so that what is calibrated still never falls when a width grows


@dataclass(frozen=True)
class Calibration:
    """A whole generator's ms = constant + scale * the sum of its layers' ms."""

    scale: float
    constant: float


@dataclass(frozen=True)
class Accuracy:
    """How predictions compare with `generators` that were measured whole, and not calibrated on.

    Errors are fractions of the measured time; correlations are of ranks, None where there are none.
    """

    generators: int
    median_error: float
    p90_error: float
    spearman: float | None
    kendall: float | None
    least_ms: float
    most_ms: float

    def __str__(self) -> str:
        ranks = "no rank correlation"
        if self.spearman is not None and self.kendall is not None:
            ranks = f"rank correlation {self.spearman:.3f} (Spearman), {self.kendall:.3f} (Kendall)"
        return (
            f"median error {self.median_error:.1%}, 90th percentile {self.p90_error:.1%}, {ranks}, "
            f"on {self.generators} generators of {self.least_ms:.3g} to {self.most_ms:.3g} ms"
        )


class LatencyTable:
    """Milliseconds of one image by arch, for one space on one device.

    parts with their milliseconds by the values of their slots: those never fall when a width
    grows, and so neither does `ms`. identity: what was measured; device: where, in words.
    """

    def __init__(
        self,
        parts: Mapping[Part, Mapping[Values, float]],
        calibration: Calibration,
        *,
        identity: Mapping[str, Any],
        device: str,
        error: Accuracy | None = None,
    ) -> None:
        self.parts = {part: dict(ms) for part, ms in parts.items()}
        self.calibration, self.error = calibration, error
        self.identity, self.device = dict(identity), device
        self._constant = calibration.constant
        self._tables: list[tuple[Callable[[Any], Any], dict[Any, float]]] = []
        for part, ms in self.parts.items():
            scaled = {values: calibration.scale * one for values, one in ms.items()}
            if not part.slots:  # the same in every generator
                self._constant += sum(scaled.values())
                continue
            if len(part.slots) == 1:  # For one slot itemgetter gives no tuple.
                self._tables.append((itemgetter(*part.slots), {v: t for (v,), t in scaled.items()}))
            else:
                self._tables.append((itemgetter(*part.slots), dict(scaled)))

    @property
    def runtime(self) -> str:
        return str(self.identity["runtime"])

    def ms(self, arch: Arch) -> float:
        """Predicted milliseconds. Raises: ArchError for one that is not of the table's space."""
        values = arch.values
        try:
            return self._constant + sum(table[of(values)] for of, table in self._tables)
        except KeyError:
            raise ArchError(
                f"arch: {arch.key}; the latency table was measured for another space"
            ) from None

    def save(self, path: Path) -> None:
        """Writes the table. Raises: CheckpointError if that is impossible."""
        parts = [
            {"name": p.name, "slots": p.slots, "ms": [[*v, t] for v, t in ms.items()]}
            for p, ms in self.parts.items()
        ]
        record = {
            "kind": KIND,
            "identity": self.identity,
            "device": self.device,
            "calibration": asdict(self.calibration),
            "error": None if self.error is None else asdict(self.error),
            "parts": parts,
        }
        write_record(path, record)

    @classmethod
    def load(cls, path: Path, identity: Mapping[str, Any] | None = None) -> Self:
        """The table in `path`, which must be of this identity, if one is given.

        Raises: RunError if it is another's; CheckpointError if it is none.
        """
        raw = read_record(path)
        try:
            if raw["kind"] != KIND:
                raise ValueError(raw["kind"])
            error = raw["error"]
            table = cls(
                {
                    Part(p["name"], tuple(p["slots"])): {tuple(v): float(t) for *v, t in p["ms"]}
                    for p in raw["parts"]
                },
                Calibration(**raw["calibration"]),
                identity=dict(raw["identity"].items()),
                device=str(raw["device"]),
                error=None if error is None else Accuracy(**error),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise CheckpointError(
                f"{path}: not a latency table, or changed on disk; delete it and measure again"
            ) from None
        if identity is not None:
            check_identity(path, table.identity, identity)
        return table


def check_identity(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises: RunError if what was measured is not what is wanted."""
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if differing:
        key = differing[0]
        raise RunError(
            f"{path}: measured for another {key} ({_brief(found.get(key))}; wanted "
            f"{_brief(wanted[key])}); give another run=DIR, or `gancompress latency-table … --redo`"
        )


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def part_times(
    keys: Mapping[Values, Sequence[str]], layers_ms: Mapping[str, float]
) -> dict[Values, float]:
    """A part's ms by the values of its slots, made so that they never fall when a width grows."""
    return monotone({values: sum(layers_ms[k] for k in called) for values, called in keys.items()})


def monotone(ms: Mapping[Values, float]) -> dict[Values, float]:
    """The closest times that never fall when an integer among the values grows.

    Closest in the largest change: isotonic regression in the sup norm, whose solution is half of
    the largest time at or below a point and the smallest at or above it (Ubhaya 1974). Points that
    differ in a value that is no integer, an operator or bands, are not compared.
    """
    groups: dict[Values, list[Values]] = {}
    for values in ms:
        groups.setdefault(tuple(v for v in values if not isinstance(v, int)), []).append(values)
    found: dict[Values, float] = {}
    for group in groups.values():
        widths = np.array([[v for v in values if isinstance(v, int)] for values in group])
        times = np.array([ms[values] for values in group])
        middles = [_middle(widths, times, one) for one in widths]
        found |= dict(zip(group, middles, strict=True))
    return {values: found[values] for values in ms}


def _middle(widths: np.ndarray, times: np.ndarray, one: np.ndarray) -> float:
    """Half of the largest time at or below one's widths and the smallest at or above them."""
    most_below = times[(widths <= one).all(-1)].max()
    least_above = times[(widths >= one).all(-1)].min()
    return float(most_below + least_above) / 2


def calibrated(layers_ms: Sequence[float], whole_ms: Sequence[float]) -> Calibration:
    """The scale and constant that fit whole networks' times best, in relative error.

    Robust: an error of more than a few percent counts by its size, not by its square.
    """
    layers, whole = np.asarray(layers_ms), np.asarray(whole_ms)

    def errors(fit: np.ndarray) -> np.ndarray:
        return np.asarray((fit[0] * layers + fit[1]) / whole - 1)

    optimize = importlib.import_module("scipy.optimize")  # here: importing it takes a second
    start = [float(np.median(whole / layers)), 0.0]
    fit = optimize.least_squares(
        errors,
        start,
        bounds=([LEAST_SCALE, -np.inf], np.inf),
        loss="soft_l1",
        f_scale=0.03,
        x_scale=[1.0, float(np.median(whole))],
    )
    return Calibration(float(fit.x[0]), float(fit.x[1]))


def accuracy(predicted_ms: Sequence[float], measured_ms: Sequence[float]) -> Accuracy:
    """How these predictions compare with these measurements."""
    predicted, measured = np.asarray(predicted_ms), np.asarray(measured_ms)
    errors = np.abs(predicted / measured - 1)
    return Accuracy(
        generators=len(measured),
        median_error=float(np.median(errors)),
        p90_error=float(np.percentile(errors, 90)),
        spearman=spearman(predicted_ms, measured_ms),
        kendall=kendall_tau(predicted_ms, measured_ms),
        least_ms=float(measured.min()),
        most_ms=float(measured.max()),
    )


def spread(archs: Sequence[Arch], ms: Callable[[Arch], float], wanted: int) -> list[Arch]:
    """`wanted` different ones of these archs, evenly from the fastest to the slowest."""
    ranked = sorted(dict.fromkeys(archs), key=lambda arch: (ms(arch), arch.key))
    places = np.linspace(0, len(ranked) - 1, min(wanted, len(ranked)))
    return [ranked[round(place)] for place in places]
