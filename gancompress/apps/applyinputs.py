"""A user's picture as the input that an exported generator takes, whatever that is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gancompress.data.formats import SUFFIXES
from gancompress.data.images import (
    Colour,
    Reading,
    resized,
    to_tensor,
)
from gancompress.data.labelchannels import label_channels
from gancompress.data.labelcodes import Ids, LabelCodes, colour_table, read_instances
from gancompress.data.labelmaps import nearest
from gancompress.errors import DataError, ExportError
from gancompress.export.card import Card
from gancompress.export.inputchannels import input_channels_of
from gancompress.fields.types import COLOURS
from gancompress.storage.regularfiles import spelled


@dataclass(frozen=True)
class InputOptions:
    """What a user says of inputs beside their files.

    size: (height, width) that pictures are brought to; None: their own. domains: those that are
    asked for, of files of several. seed: of the style, of files that take one. For label maps:
    colours, a table of the classes' colours; unknown, the id of pixels without class; instances,
    the folder (or file) of images that tell instances apart. max_value: the value that is white in
    files of more than 8 bits; background, the colour behind transparent pixels; None: as in
    training.
    """

    size: tuple[int, int] | None = None
    domains: tuple[str, ...] = ()
    seed: int = 0
    colours: Path | None = None
    unknown: int | None = None
    instances: Path | None = None
    max_value: float | None = None
    background: Colour | None = None


@dataclass(frozen=True)
class Prepared:
    """An input (1, C, H, W), and the height and width of its part that is not padding."""

    x: Tensor
    kept: tuple[int, int]


class Inputs:
    """Makes inputs for the generator that `card` is of; `where` names its file.

    Raises: ExportError if what it needs to know is not in `options`.
    """

    def __init__(self, card: Card, options: InputOptions, where: str) -> None:
        self._card, self._options, self._input_channels = card, options, input_channels_of(card)
        channels = self._input_channels
        if card.is_static and options.size not in (None, card.size):
            height, width = card.size
            raise ExportError(
                f"{where}: its size is fixed; leave --size out or give {height}x{width}"
            )
        _check_domains(channels.domains, options.domains, where)
        self._instance_files: dict[str, Path] | None = None  # by name, once one is asked for
        self._channels = channels.image + channels.other  # Unused for label maps.
        # As the demo and the page draw it, so that a seed means one style everywhere.
        style = np.random.default_rng(options.seed).standard_normal(channels.style)
        asked = [float(name in options.domains) for name in channels.domains]
        constants = torch.from_numpy(np.array([*asked, *style], np.float32))
        self._constants = constants[None, :, None, None]  # (1, domains + style, 1, 1)
        told = card.facts.reading
        self._reading = Reading(
            options.max_value or told.max_value, options.background or told.background
        )
        self._codes: LabelCodes | None = None
        if channels.classes:
            table = (
                colour_table((), options.colours, len(channels.classes))
                if options.colours
                else None
            )
            self._codes = LabelCodes(len(channels.classes), options.unknown, table)
            self._one_hot = len(channels.classes) + _unknown_channels(
                channels.other, options, where
            )

    @property
    def is_resized(self) -> bool:
        """Whether images are brought to a size that the user or the file asks for."""
        return self._card.is_static or self._options.size is not None

    def of(self, path: Path, relative: Path) -> Prepared:
        """The input that a picture makes; `relative`: its place within what the user gave.

        Resized where a size is fixed or wished for; then reflected at its lower and right edges
        up to a size that the generator takes. Raises: DataError naming a file that cannot be used.
        """
        if self._codes is None:
            pixels = self._reading.image(path, self._channels)
            size = self._size(pixels.shape[:2])
            image = _reflected(resized(pixels, *size), *self._padded(size))
            x = to_tensor(image[None])
        else:
            classes = self._codes.read(path)
            size = self._size(classes.shape)
            instances = None
            if self._options.instances is not None:
                instances = self._instances(self._options.instances, relative, classes)
            x = label_channels(
                self._fitted(classes, size),
                self._one_hot,
                None if instances is None else self._fitted(instances, size),
            )
        constants = self._constants.expand(-1, -1, *x.shape[2:])
        return Prepared(torch.cat([x, constants], 1), size)

    def _fitted(self, ids: Ids, size: tuple[int, int]) -> Ids:
        """(1, H, W) ids at the size that the generator is given."""
        return _reflected(nearest(ids, *size), *self._padded(size))[None]

    def _size(self, own: tuple[int, ...]) -> tuple[int, int]:
        """Height and width that a picture is brought to."""
        if self._card.is_static:
            return self._card.size
        return self._options.size or (own[0], own[1])

    def _padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """The sides that the generator takes, at least `size`.

        At least two multiples each, or as trained: what is smaller is not traced by every format.
        """
        if self._card.is_static:
            return self._card.size
        unit = self._card.size_multiple
        sides = (
            max(-(-side // unit) * unit, min(2 * unit, -(-trained // unit) * unit))
            for side, trained in zip(size, self._card.size, strict=True)
        )
        return next(sides), next(sides)

    def _instances(self, place: Path, relative: Path, classes: Ids) -> Ids:
        """The instances of a label map: `place`, or the file in it of the same name and folder."""
        if self._instance_files is None:
            self._instance_files = _by_name(place)
        path = place if place.is_file() else self._instance_files.get(_name(relative))
        if path is None:
            raise DataError(f"{relative}: no instance image of that name in {place}; add it")
        ids = read_instances(path)
        if ids.shape != classes.shape:
            raise DataError(
                f"{path}: is {ids.shape[1]}x{ids.shape[0]} and its label image "
                f"{classes.shape[1]}x{classes.shape[0]}; both must have the same size"
            )
        return ids


def _by_name(folder: Path) -> dict[str, Path]:
    """The pictures in `folder` and below it, by `_name`; of several that share one, the first kind.

    Systems write letters with accents in two ways, and suffixes in either case.
    """
    kinds = {suffix: rank for rank, suffix in enumerate(SUFFIXES)}
    found = [path for path in folder.rglob("*") if path.suffix.lower() in kinds]
    found.sort(key=lambda path: kinds[path.suffix.lower()], reverse=True)
    return {_name(path.relative_to(folder)): path for path in found if path.is_file()}


def _name(relative: Path) -> str:
    return spelled(relative.with_suffix("").as_posix())


def colour_of(text: str) -> Colour:
    """A colour from `white`, `black` or `255,255,255`. Raises: ExportError."""
    if text in COLOURS:
        return COLOURS[text]
    parts = [int(part) for part in text.split(",") if re.fullmatch(r"\s*\d{1,3}\s*", part)]
    if len(parts) != 3 or text.count(",") != 2 or max(parts) > 255:
        names = ", ".join(COLOURS)
        raise ExportError(f"--background {text}: no colour; give {names} or RED,GREEN,BLUE")
    return parts[0], parts[1], parts[2]


def _check_domains(known: tuple[str, ...], asked: tuple[str, ...], where: str) -> None:
    strange = [name for name in asked if name not in known]
    if known and (strange or not asked):
        found = f"--domain {strange[0]} is none of its domains" if strange else "no domain is asked"
        raise ExportError(f"{where}: {found}; give --domain, one of {', '.join(known)}")
    if strange:
        raise ExportError(f"{where}: --domain {strange[0]}: this file has no domains; leave it out")


def _unknown_channels(others: int, options: InputOptions, where: str) -> int:
    """How many channels, 0 or 1, pixels without class have; `others`: those behind the classes'."""
    left = others - (options.instances is not None)
    if left < 0:
        raise ExportError(f"{where}: takes no borders of instances; leave --instances out")
    if left > 1 or (left == 1 and options.unknown is None):
        raise ExportError(
            f"{where}: takes {others} channel(s) behind those of its classes; give --instances "
            "FOLDER for borders of instances, --unknown ID for pixels without class, or both"
        )
    return left


def _reflected(pixels: npt.NDArray, height: int, width: int) -> npt.NDArray:
    """(height, width, …) continued beyond the lower and right edges as in a mirror."""
    missing = [(0, height - pixels.shape[0]), (0, width - pixels.shape[1])]
    if not any(after for _, after in missing):
        return pixels
    return np.pad(pixels, missing + [(0, 0)] * (pixels.ndim - 2), mode="reflect")
