"""What a recipe says of the search space; free of torch, as recipes are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from gancompress.fields.types import STRICT, Integer, Listed, Split, refuse
from gancompress.nets.families import FAMILIES

Operator = Literal["dense", "separable"]
# What a recipe may name is what the families have.
if TYPE_CHECKING:
    Preset = str
else:
    Preset = Literal[tuple(name for made in FAMILIES.values() for name in made.presets)]
Width = Annotated[Integer, Field(ge=1)]
Depth = Annotated[Integer, Field(ge=1)]


class SpaceSection(BaseModel):
    """Which generators the supernet holds; exactly one of preset and widths."""

    model_config = STRICT

    preset: Preset | None = Field(None, description="a published choice list, by name")
    widths: Listed[Width] | None = Field(
        None, description="allowed widths of every slot, or of each slot by name"
    )
    ops: Listed[Operator] = Field(
        ("separable",), description="allowed operators of the trunk, or of each stage by name"
    )
    bands: Listed[Split] = Field(
        ((0.0, 0.0),),
        description="allowed octave splits of the trunk, or of each stage by name: ALPHA (half "
        "the resolution) or [ALPHA, BETA] (and a quarter)",
    )
    depths: dict[str, tuple[Depth, ...]] = Field(
        {},
        description="allowed numbers of residual branches that are kept, by stage, of an imported "
        "generator; default: all",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        problems = []
        if self.preset is not None and self.widths is not None:
            problems.append("preset: given beside widths; exactly one is allowed, set one to null")
        if self.preset is None and self.widths is None:
            problems.append("preset: missing, and widths too; exactly one is needed")
        for key, given in (("widths", self.widths), ("ops", self.ops), ("bands", self.bands)):
            lists = given if isinstance(given, dict) else {"": given or ()}
            for name, values in lists.items():
                if len(set(values)) < len(values):
                    where = f"{key}.{name}".rstrip(".")
                    problems.append(f"{where}: found {list(values)}; different values are allowed")
        refuse(problems)
        return self
