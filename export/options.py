"""What a recipe says of export; free of torch, as recipes are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from gancompress.fields.names import FORMAT_PACKAGES
from gancompress.fields.types import STRICT, Integer

# What a recipe may name is what there is.
if TYPE_CHECKING:
    Format = str
else:
    Format = Literal[tuple(FORMAT_PACKAGES)]


class ExportSection(BaseModel):
    """What is written at the end."""

    model_config = STRICT

    budget_macs: Integer | None = Field(
        None, ge=1, description="export the front's best of at most so many MACs, not the winner"
    )
    formats: tuple[Format, ...] = Field(
        ("safetensors", "pt2", "onnx"), min_length=1, description="file formats of the winner"
    )
    licence: str = Field("", description="licence of the weights, for the model card: mit, …")
    data_licence: str = Field("", description="licence of the data, where it is not built in")
    images: Integer = Field(6, ge=1, description="rows of the picture grid")
    latency_threads: Integer = Field(1, ge=1, description="CPU threads of the timed runs")
    latency_repeats: Integer = Field(30, ge=1, description="timed runs; the median is reported")
