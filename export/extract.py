"""An export folder: every format written, proven, and put in place as a whole."""

from __future__ import annotations

import copy
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from gancompress.bars import progress
from gancompress.errors import ExportError
from gancompress.export import weights
from gancompress.export.card import RANGE, Card, ExportSource, Model, Run, Written
from gancompress.export.formats import FORMATS, require
from gancompress.export.program import first_line, static_note
from gancompress.export.rewrite import Rewritten, rewritten
from gancompress.export.verify import verify
from gancompress.nets.traced.network import TracedNet


@dataclass(frozen=True)
class Exported:
    """One format as it now lies on the disk.

    path: the file to load. bytes: of all its files. difference: the largest one to the supernet's
    own output. rewrites: how often each step of `rewrite.STEPS` changed the network. seconds: that
    rewriting, writing and proving took. note: what a reader should know, or empty. precision: what
    the file was computed in when it was compared.
    """

    name: str
    path: Path
    bytes: int
    difference: float
    rewrites: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    note: str = ""
    precision: str = "float32"


def write_all(
    source: ExportSource,
    *,
    formats: Sequence[str],
    folder: Path | str,
    reference: Run,
    inputs: Sequence[Tensor],
) -> list[Exported]:
    """Writes a network in every format, compares each file with `reference`, replaces `folder`.

    source.net: the extracted network, on any device; it is not changed. reference and inputs: see
    `verify`. When anything fails, `folder` is as before.
    Raises: ExportError or CheckpointError.
    """
    entries, card = {name: require(name) for name in formats}, source.card
    plain = copy.deepcopy(source.net).to("cpu", torch.float32).eval().requires_grad_(False)
    source = in_own_range(replace(source, net=plain, example=source.example.cpu()))
    plain = source.net
    fixed = "" if card.is_static else _fixed_size(plain, card, source.example)
    if fixed:
        source = replace(source, card=card.static())
    # Formats with the same steps share one network, and what each makes of it.
    arranged: dict[tuple[str, ...], Rewritten] = {(): Rewritten(source, {}, fixed)}
    folder, done = Path(folder), []
    with staging(folder) as temporary:
        for name, entry in progress(entries.items(), "export", unit="format", leave=False):
            started = time.perf_counter()
            if entry.steps not in arranged:
                arranged[entry.steps] = rewritten(source, entry.steps)
            given = arranged[entry.steps]
            written = entry.write(given.source, temporary)
            largest, precision = _proven(name, written, card, reference, inputs)
            size = sum(file.stat().st_size for file in written.files)
            notes = dict.fromkeys(note for note in (given.note or fixed, written.note) if note)
            seconds, path = time.perf_counter() - started, folder / written.path.name
            done.append(
                Exported(
                    name, path, size, largest, given.counts, seconds, "; ".join(notes), precision
                )
            )
    return done


def _proven(
    name: str, written: Written, card: Card, reference: Run, inputs: Sequence[Tensor]
) -> tuple[float, str]:
    """The largest difference of a file to `reference`, and the precision that it was computed in.

    Raises: ExportError as `verify`.
    """
    # A file that claims to take other sizes shows it on one.
    more = [] if written.is_static else [_other_size(x, card) for x in inputs[:1]]
    models = [load_exported(name, written.path, card.code_file)]
    if (as_meant := FORMATS[name].as_meant) is not None:
        models.append(as_meant(written.path))
    tried, largest = [*inputs, *more], 0.0
    for model in models:
        loaded = partial(_given, model)
        largest = max(largest, verify(written.path, name, reference, tried, loaded))
    return largest, models[-1].card.precision


def _given(model: Model, path: Path) -> Model:
    """What was loaded from `path`, for `verify`, which asks for a way to load."""
    return model


def write_format(source: ExportSource, name: str, folder: Path) -> Written:
    """One format alone, its network rewritten as in `write_all` but not compared with anything.

    Raises: ExportError, CheckpointError.
    """
    entry = require(name)
    return entry.write(rewritten(in_own_range(source), entry.steps).source, folder)


def in_own_range(source: ExportSource) -> ExportSource:
    """The source as files are written: its network and images in the card's value range.

    The network of `source` takes and gives images in [-1, 1].
    """
    card, loss = source.card, source.loss
    if card.value_range == RANGE:
        return source
    assert isinstance(source.net, TracedNet), "no other network has a range of its own"

    def loss_of(run: Run) -> float:
        assert loss is not None, "it is asked for where there is one"
        return loss(lambda x: card.given(run(card.taken(x))))

    return replace(
        source,
        net=source.net.bare(),
        example=card.taken(source.example),
        calibration=[card.taken(x) for x in source.calibration],
        loss=None if loss is None else loss_of,
    )


def load_exported(name: str, path: Path, code_file: str | None) -> Model:
    """A file of the format `name`; code_file: that of a generator that is a user's code.

    Raises: ExportError.
    """
    if name == "safetensors" and code_file is not None:
        return weights.load_run(path, code_file)
    return FORMATS[name].load(path)


def _other_size(x: Tensor, card: Card) -> Tensor:
    """`x` repeated at its edges: higher by one multiple of the size, wider by two."""
    rows, columns = (
        torch.arange(n + k * card.size_multiple) % n for k, n in enumerate(x.shape[2:], 1)
    )
    return x[:, :, rows][:, :, :, columns]


def _fixed_size(net: nn.Module, card: Card, example: Tensor) -> str:
    """Why `net` takes one size alone, or empty if it takes others."""
    try:
        with torch.inference_mode():
            net(_other_size(example, card))
    except RuntimeError as error:
        return static_note(card, first_line(error))
    return ""


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Yields an empty folder beside `folder` that takes its place when the block succeeds.

    Of what `folder` held before, model files go and others stay: a model of an earlier export
    must not lie beside this one's. A command killed between the two renames is put right by the
    next.
    Raises: ExportError if the place cannot be written.
    """
    fresh = folder.with_name(f".{folder.name}.new")
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder}: a file of that name is in the way; choose another folder")
    try:
        _settle(folder)
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield fresh
        try:
            if folder.exists():
                os.rename(folder, _earlier(folder))
            os.rename(fresh, folder)
            _settle(folder)
        except OSError as error:
            raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _earlier(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _settle(folder: Path) -> None:
    """Ends a replacement, also one that was cut short: the earlier folder is merged or restored."""
    earlier = _earlier(folder)
    if not earlier.exists():
        return
    if not folder.exists():
        os.rename(earlier, folder)
        return
    models = {file for entry in FORMATS.values() for file in entry.files}
    for item in earlier.iterdir():
        if item.name not in models and not (folder / item.name).exists():
            os.rename(item, folder / item.name)
    shutil.rmtree(earlier)


def _unwritable(folder: Path, error: OSError) -> ExportError:
    reason = (error.strerror or str(error)).lower()
    return ExportError(f"{folder}: cannot be written ({reason}); choose another folder")
