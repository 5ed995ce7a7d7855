"""What an exported file says about itself beside its weights, and the inputs that it admits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError, ExportError
from gancompress.export.facts import Facts, read_facts
from gancompress.nets.traced.facts import NAMES

Run = Callable[[Tensor], Tensor]

# The version of `manifest`; raise it when a reader of the old one would misunderstand the new one.
VERSION = 1
RANGE = (-1.0, 1.0)  # The value range of images here, and of most files' inputs and outputs.


@dataclass(frozen=True)
class Card:
    """What a generator's file carries beside weights and arch.

    options rebuild the family: `family_of(arch.family, **options)`. size is (height, width) in
    pixels as trained; the generator takes any multiples of `size_multiple`, or `size` alone where
    `is_static`. value_range: of the images that the file itself takes and gives, (lowest, highest).
    names: of its input and output, in formats that name them.
    """

    options: Mapping[str, Any]
    in_channels: int
    out_channels: int
    size: tuple[int, int]
    size_multiple: int
    is_static: bool = False
    facts: Facts = Facts()
    precision: str = "float32"
    value_range: tuple[float, float] = RANGE
    names: tuple[str, str] = NAMES

    @property
    def code_file(self) -> str | None:
        """The file of a user's code that makes the generator, as its maker named it, if any."""
        return self.options.get("file")

    @property
    def takes_vectors(self) -> bool:
        """Whether the generator takes random numbers and nothing else."""
        return self.facts.latent is not None

    @property
    def style_channels(self) -> int:
        """How many of the last input channels hold a style code."""
        return int(self.options.get("style", 0)) if self.facts.style_planes else 0

    def taken(self, x: Tensor) -> Tensor:
        """Images in [-1, 1] as the file takes them."""
        low, high = self.value_range
        return x if self.value_range == RANGE else x * ((high - low) / 2) + (low + high) / 2

    def given(self, y: Tensor) -> Tensor:
        """What the file answers in [-1, 1]."""
        low, high = self.value_range
        return y if self.value_range == RANGE else (y - (low + high) / 2) / ((high - low) / 2)

    def static(self) -> Card:
        """The same card for a file whose height and width are fixed at `size`."""
        return replace(self, is_static=True)


@dataclass(frozen=True)
class ExportSource:
    """What files are written from.

    net: the generator, float32 on the CPU in evaluation mode. example (1, C, H, W): an input of
    the size that `card` names. calibration: training inputs, each (1, C, H, W), that ranges are
    measured on. loss: how much worse another way to compute the generator is, as a fraction of the
    Frechet distance (0.03: three percent more); None where nothing can tell. made: what one format
    made of it that the next needs too, by name; `dataclasses.replace` starts it anew.
    """

    net: nn.Module
    arch: Arch
    card: Card
    example: Tensor
    calibration: Sequence[Tensor] = ()
    loss: Callable[[Run], float] | None = None
    made: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)


@dataclass(frozen=True)
class Written:
    """One format's files as just written.

    path: the one to load. is_static: whether height and width are fixed. note: what a reader
    should know, or empty.
    """

    path: Path
    files: tuple[Path, ...]
    is_static: bool
    note: str = ""


def manifest(arch: Arch, card: Card) -> dict[str, Any]:
    """Arch and card as one JSON object: what `arch.json` holds and every other format embeds."""
    values, (taken, given) = list(card.value_range), card.names
    size: dict[str, Any] = {"size": list(card.size), "size_multiple": card.size_multiple}
    return {
        "format": "gancompress",
        "version": VERSION,
        "arch": arch.as_dict(),
        "options": dict(card.options),
        "input": {"name": taken, "channels": card.in_channels, "range": values, "dtype": "float32"}
        | size,
        "output": {
            "name": given,
            "channels": card.out_channels,
            "range": values,
            "dtype": "float32",
        },
        "is_static": card.is_static,
        "precision": card.precision,
        "facts": card.facts.as_dict(),
    }


def manifest_text(arch: Arch, card: Card) -> str:
    """`manifest` on one line, for a file's metadata."""
    return json.dumps(manifest(arch, card), ensure_ascii=False)


def read_manifest(text: str, where: str) -> tuple[Arch, Card]:
    """Inverse of `manifest_text`.

    Raises: ExportError naming `where` if the text is no manifest, or one of another version.
    """
    try:
        raw = json.loads(text)
        version = raw["version"] if raw["format"] == "gancompress" else None
    except (ValueError, KeyError, TypeError):
        version = None
    if version is None:
        raise ExportError(f"{where}: no gancompress manifest; give a file that `export` wrote")
    if version != VERSION:
        raise ExportError(
            f"{where}: written as version {version!r}; this gancompress reads version {VERSION}, "
            "so export it again"
        )
    try:
        arch = Arch.from_dict(raw["arch"], where)
        height, width = (int(v) for v in raw["input"]["size"])
        card = Card(
            options=dict(raw["options"]),
            in_channels=int(raw["input"]["channels"]),
            out_channels=int(raw["output"]["channels"]),
            size=(height, width),
            size_multiple=int(raw["input"]["size_multiple"]),
            is_static=bool(raw["is_static"]),
            facts=read_facts(raw["facts"], where),
            precision=str(raw.get("precision", "float32")),
            value_range=_range(raw["input"].get("range", RANGE)),
            names=(_name(raw, 0), _name(raw, 1)),
        )
    except (ArchError, ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{where}: a damaged manifest ({type(error).__name__}: {error}); export it again"
        ) from None
    return arch, card


def _name(manifest: Mapping[str, Any], place: int) -> str:
    """Of the input or the output; files of before names were kept have the usual ones."""
    return str(manifest[NAMES[place]].get("name", NAMES[place]))


def _range(given: Sequence[float]) -> tuple[float, float]:
    """Raises: ValueError."""
    low, high = (float(value) for value in given)
    if not low < high:
        raise ValueError(f"range {list(given)}")
    return low, high


def check_input(x: Tensor, card: Card, where: str) -> None:
    """Raises: ExportError naming `where` for an input that the file's generator does not take."""
    multiple, (height, width) = card.size_multiple, card.size
    sizes = (
        f"height {height} and width {width}"
        if card.is_static
        else f"heights and widths that are multiples of {multiple}"
    )
    legal = (
        x.dim() == 4
        and x.dtype == torch.float32
        and x.shape[1] == card.in_channels
        and (
            tuple(x.shape[2:]) == card.size
            if card.is_static
            else all(n > 0 and n % multiple == 0 for n in x.shape[2:])
        )
    )
    if not legal:
        kind = str(x.dtype).removeprefix("torch.")
        raise ExportError(
            f"{where}: an input of shape {tuple(x.shape)} and type {kind}; this file takes float32 "
            f"(N, {card.in_channels}, H, W) with {sizes}"
        )


@dataclass(frozen=True)
class Model:
    """A generator from a file, ready to answer: (N, C, H, W) -> (N, C, H, W), both in [-1, 1].

    run: the file's own, in the card's value range.
    Checks its input first, and keeps no gradients. Raises: ExportError as `check_input`.
    """

    run: Run
    arch: Arch
    card: Card
    where: str

    def __call__(self, x: Tensor) -> Tensor:
        check_input(x, self.card, self.where)
        with torch.inference_mode():
            return self.card.given(self.run(self.card.taken(x)))
