"""Families of generators: what their slots are, and how an arch becomes a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gancompress.nets.families.familyoptions import FamilyOptions
from gancompress.nets.families.options import (
    LSGANOptions,
    MunitFamilyOptions,
    ProGANOptions,
    ResNetOptions,
    SpadeOptions,
    SRResNetOptions,
    StarGANFamilyOptions,
    UNetOptions,
)
from gancompress.nets.families.ownoptions import OwnOptions
from gancompress.nets.families.tracedoptions import TracedOptions

if TYPE_CHECKING:
    from gancompress.nets.families.family import Family

# A family turns an arch into a network. Adding one is its class, its options and a line here;
# recipes choose by these names. No torch: recipes are read without it.
FAMILIES: dict[str, type[FamilyOptions]] = {
    "resnet": ResNetOptions,
    "stargan": StarGANFamilyOptions,
    "spade": SpadeOptions,
    "unet": UNetOptions,
    "munit": MunitFamilyOptions,
    "progan": ProGANOptions,
    "lsgan": LSGANOptions,
    "srresnet": SRResNetOptions,
    "own": OwnOptions,
    "traced": TracedOptions,
}


def family_of(name: str, **settings: Any) -> Family:
    """The family of that name, see `FamilyOptions.of`: `family_of(f.name, **f.options) == f`."""
    return FAMILIES[name].of(**settings)


__all__ = ["FAMILIES", "family_of"]
