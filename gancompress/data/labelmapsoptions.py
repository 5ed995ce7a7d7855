"""The options of a user's own label maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from gancompress.data.dataoptions import CroppedOptions, layout_problems
from gancompress.fields.types import Byte, FilePath, Integer, Kind, Load, Size
from gancompress.storage.digests import Digests

if TYPE_CHECKING:
    from gancompress.data.labelmaps import LabelMaps

_MOST_CLASSES = 1000

# The ids 0 to 33 of its labels (Cordts et al. 2016); 34 is the licence plate, -1 there.
_CITYSCAPES = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic",
    "ground", "road", "sidewalk", "parking", "rail track", "building", "wall", "fence",
    "guard rail", "bridge", "tunnel", "pole", "polegroup", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan",
    "trailer", "train", "motorcycle", "bicycle", "license plate",
)  # fmt: skip
# What a layout's recipe need not say. Ids above the classes are 255 in the files of both.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "cityscapes": {
        "classes": len(_CITYSCAPES),
        "unknown": 255,
        "load_size": (256, 512),
        "crop_size": (256, 512),
    },
    "coco-stuff": {"classes": 182, "unknown": 255, "unknown_class": True},
}


class LabelMapsOptions(CroppedOptions):
    """The user's own label maps and the photographs that they belong to."""

    kind: ClassVar[Kind] = "label maps"

    name: Literal["labelmaps"] = Field(
        default="labelmaps", description="label maps and photographs from folders"
    )
    layout: Literal["folders", "cityscapes", "coco-stuff"] = Field(
        default="folders",
        description="folders matched by file stem, or a known data set as it comes",
    )
    folder: FilePath | None = Field(
        default=None, description="cityscapes, coco-stuff: holds the data set"
    )
    label_folder: FilePath | None = Field(
        default=None, description="folders: holds train/, search/ (or val/) and test/, or files"
    )
    image_folder: FilePath | None = Field(
        default=None, description="folders: the same of the photographs"
    )
    instance_folder: FilePath | None = Field(
        default=None, description="folders: the same of instance images, where there are some"
    )
    classes: Integer = Field(
        default=0,
        ge=0,
        le=_MOST_CLASSES,
        description="number of classes; cityscapes 35, coco-stuff 182",
    )
    class_names: tuple[str, ...] = Field(default=(), description="of the classes; default: numbers")
    colours: tuple[tuple[Byte, Byte, Byte], ...] = Field(
        default=(), description="[red, green, blue] of each class, for label images in colour"
    )
    colour_file: FilePath | None = Field(
        default=None,
        description="text file in place of colours: a line `red green blue` for each class",
    )
    unknown: Annotated[Integer, Field(ge=0)] | None = Field(
        default=None, description="id of pixels without class; cityscapes and coco-stuff 255"
    )
    unknown_class: bool = Field(
        default=False, description="give those a channel of their own; coco-stuff true"
    )
    edges: bool = Field(
        default=True, description="a channel of instances' borders, where there are some"
    )
    load_size: Load = Field(
        default=(286, 286),
        description="[height, width] that images are resized to, short:256 or none, which keep "
        "their shape; cityscapes [256, 512]",
    )
    crop_size: Size = Field(
        default=(256, 256), description="[height, width] of the random crop; cityscapes [256, 512]"
    )

    @property
    def class_list(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.class_names

    @property
    def has_edges(self) -> bool:
        """Whether the input's last channel is that of the instances' borders."""
        has_instances = self.layout != "folders" or self.instance_folder is not None
        return self.edges and has_instances

    @property
    def label_channels(self) -> int:
        """Channels of the input: the classes, perhaps the unknown, perhaps the edges."""
        return self.classes + self.unknown_class + self.has_edges

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target."""
        return self.label_channels, 3

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, raw: Any) -> Any:
        """With what the layout makes plain, and a name for each class."""
        if not isinstance(raw, dict):
            return raw
        layout = raw.get("layout")
        filled = {**_DEFAULTS.get(layout if isinstance(layout, str) else "", {}), **raw}
        classes = filled.get("classes")
        if "class_names" not in filled and isinstance(classes, int):
            numbers = tuple(str(i) for i in range(min(classes, _MOST_CLASSES)))
            is_whole = layout == "cityscapes" and classes == len(_CITYSCAPES)
            filled["class_names"] = _CITYSCAPES if is_whole else numbers
        return filled

    def problems(self) -> list[str]:
        wanted = {
            "folders": ["label_folder", "image_folder"],
            "cityscapes": ["folder"],
            "coco-stuff": ["folder"],
        }
        problems = layout_problems(self, self.layout, wanted)
        if self.layout != "folders" and self.instance_folder is not None:
            problems.append(f"instance_folder: given; layout {self.layout} takes folder alone")
        problems += self._class_problems()
        return [*problems, *super().problems()]

    def _class_problems(self) -> list[str]:
        if self.classes == 0:
            return [f"classes: missing or 0; 1 to {_MOST_CLASSES} are allowed"]
        problems = []
        for key, listed in (("class_names", self.class_names), ("colours", self.colours)):
            if len(listed) != self.classes and (listed or key == "class_names"):
                told = f"found {len(listed)}; one for each of {self.classes} classes is allowed"
                problems.append(f"{key}: {told}")
        if self.colours and self.colour_file is not None:
            problems.append("colour_file: given; with colours it is not allowed")
        if self.unknown is None and self.unknown_class:
            problems.append("unknown_class: found true; with unknown, an id, it is allowed")
        if self.unknown is not None and self.unknown < self.classes:
            told = f"found {self.unknown}, a class; at least classes, {self.classes}, is allowed"
            problems.append(f"unknown: {told}")
        return problems

    def open(self, digests: Digests | None = None) -> LabelMaps:
        from gancompress.data.labelmaps import LabelMaps

        return LabelMaps(self, digests)
