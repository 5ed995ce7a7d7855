"""Which network of a file is meant, whatever it is wrapped in; and what it is if none is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from gancompress.errors import CheckpointError
from gancompress.importers import netkinds
from gancompress.importers.cyclegan import cyclegan, gan_compression
from gancompress.importers.layout import CheckpointLayout, Imported, UnfitError
from gancompress.importers.munit import munit
from gancompress.importers.reading import Raw, as_meant, networks_in
from gancompress.importers.spade import spade
from gancompress.importers.stargan import stargan

# What `import-teacher --from` takes; adding one is a file and a line here.
LAYOUTS: dict[str, CheckpointLayout] = {
    "cyclegan": cyclegan,
    "gan-compression": gan_compression,
    "munit": munit,
    "spade": spade,
    "stargan": stargan,
}
_DEPTH = 3  # names before the keys of a network within a larger one: "model.netG.net."
_LEAST = 6  # tensors of a generator; fewer are a layer
_OWN = "bring it as a generator of your own (family.file)"


@dataclass(frozen=True)
class Found:
    """A generator, and its place in the file: dotted names, "" if it is all of it."""

    imported: Imported
    place: str


def read_generator(path: Path | str, layout: str, part: str | None = None) -> Found:
    """The generator of `layout` in a file; see `networks_in` for `part`.

    Where the file holds more, it is the one network that can be read: by its own key, or with
    what all its keys begin with, such as "netG.", taken off.
    Raises: CheckpointError for a file that cannot be read, or holds no such generator, or several;
    it says what the file holds instead, as far as that can be told.
    """
    where, networks = str(path), networks_in(path, part)
    errors: list[CheckpointError] = []
    tried: dict[str, dict[str, Tensor]] = {}
    for depth in range(_DEPTH + 1):
        found: dict[str, Imported] = {}
        for place, raw in _within(networks, depth):
            try:
                tried[place] = as_meant(raw, where)
                found[place] = LAYOUTS[layout](tried[place], where)
            except CheckpointError as error:
                errors.append(error)
        if len(found) > 1:
            raise CheckpointError(
                f"{where}: holds several networks; name one of {', '.join(found)} with "
                f"--part{_average(found)}"
            )
        for place, imported in found.items():
            return Found(imported, place)
    # What was recognised and refused says more than what is merely not this layout's.
    told = next((e for e in errors if not isinstance(e, UnfitError)), errors[0])
    if isinstance(told, UnfitError):
        raise CheckpointError(f"{told}{_instead(tried, networks, layout, where)}") from None
    raise told


def _within(networks: Mapping[str, Raw], depth: int) -> Iterator[tuple[str, Raw]]:
    """What is in the networks under the first `depth` names of their keys, by its place."""
    for place, raw in networks.items():
        groups: dict[str, Raw] = {}
        for key, value in raw.items():
            names = key.split(".")
            if len(names) > depth:
                group = groups.setdefault(".".join(names[:depth]), {})
                group[".".join(names[depth:])] = value
        for name, group in groups.items():
            if not depth or len(group) >= _LEAST:
                yield ".".join(filter(None, (place, name))), group


def _average(places: Mapping[str, Imported]) -> str:
    """A hint where one of the networks is the average of another over its training."""
    names = [place for place in places if "ema" in place.lower() or "averag" in place.lower()]
    return f" ({names[0]} is a running average, by which most programs test)" if names else ""


def _instead(
    tried: Mapping[str, dict[str, Tensor]], networks: Mapping[str, Raw], layout: str, where: str
) -> str:
    """The end of a refusal: who reads the file, or what it is, and what to do."""
    for place, tensors in tried.items():
        named = f"; part {place}" if place and len(tried) > 1 else "; it"
        if readers := [name for name in LAYOUTS if name != layout and _reads(name, tensors, where)]:
            return f"{named} is read by --from {' or '.join(readers)}"
        if kind := netkinds.kind_of(tensors):
            return f"{named} is {kind}: {_OWN}"
    places = [place for place in networks if place]
    more = f" (it holds {', '.join(places)})" if len(places) > 1 else ""
    return f"; no --from reads this file{more}: if it is a generator, {_OWN}"


def _reads(layout: str, tensors: Mapping[str, Tensor], where: str) -> bool:
    try:
        LAYOUTS[layout](tensors, where)
    except CheckpointError:
        return False
    return True
