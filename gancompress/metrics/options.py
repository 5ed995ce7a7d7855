"""What a recipe says about evaluating images: feature network and segmentation network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema, model_validator

from gancompress.fields.types import STRICT, FilePath, Integer, Real, Size, refuse
from gancompress.metrics import METRICS

# What a recipe may name is what the registry has.
if TYPE_CHECKING:
    MetricName = str
else:
    MetricName = Literal[tuple(METRICS)]

# Cityscapes' label id -> the class, 0 to 18, that networks are trained on and evaluated by. Other
# ids are ignored there; the numbers are those of the data set's own scripts.
CITYSCAPES_CLASSES = dict(
    zip(
        map(str, (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)),
        range(19),
        strict=True,
    )
)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # torchvision's mean and std
NORMALISATIONS = {
    "imagenet": IMAGENET,
    "minus-one-one": ((0.5,) * 3, (0.5,) * 3),
    "zero-one": ((0.0,) * 3, (1.0,) * 3),
}


def _table(value: Any) -> Any:
    """`cityscapes` as the table that it is short for; anything else is left to pydantic."""
    return CITYSCAPES_CLASSES if value == "cityscapes" else value


ClassTable = Annotated[
    dict[str, Annotated[Integer, Field(ge=0)]] | None,
    BeforeValidator(_table),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "cityscapes"},
                {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
                {"type": "null"},
            ]
        }
    ),
]
_Positive = Annotated[Real, Field(gt=0)]
FileKind = Literal["torchscript", "pt2", "torchvision"]


class FileNetOptions(BaseModel):
    """A network in a file, and how it wants its images."""

    model_config = STRICT

    where: ClassVar[str] = "metrics"  # the key that these options stand at, for messages

    file: FilePath | None = Field(
        default=None, description="the network's file; torchscript: one that you trust"
    )
    kind: str = Field(
        description="TorchScript, a torch.export program, or weights of a torchvision model"
    )
    architecture: str | None = Field(
        default=None, description="torchvision: the model whose weights they are"
    )
    size: Size | None = Field(
        default=None,
        description="[height, width] that images are resized to for it; default: as they are",
    )
    range: Literal["imagenet", "minus-one-one", "zero-one"] | None = Field(
        default=None, description="how it wants pixels; default: imagenet"
    )
    mean: tuple[Real, Real, Real] | None = Field(
        default=None, description="in place of range: subtracted from RGB in [0, 1]"
    )
    std: tuple[_Positive, _Positive, _Positive] | None = Field(
        default=None, description="in place of range: RGB is divided by it after that"
    )

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and std of RGB in [0, 1]."""
        if self.mean is not None and self.std is not None:
            return self.mean, self.std
        return NORMALISATIONS[self.range or "imagenet"]

    @property
    def takes_channels(self) -> int:
        """Channels of the images that the network takes."""
        return 3

    def problems(self) -> list[str]:
        """What does not fit together, one `key: what was found; what is allowed` each."""
        problems = []
        if self.file is None:
            problems.append(f"file: missing; kind {self.kind} needs it")
        if self.kind == "torchvision" and self.architecture is None:
            problems.append("architecture: missing; kind torchvision needs it")
        if self.kind != "torchvision" and self.architecture is not None:
            problems.append(f"architecture: given; kind {self.kind} takes none")
        if (self.mean is None) != (self.std is None):
            alone, other = ("mean", "std") if self.std is None else ("std", "mean")
            problems.append(f"{other}: missing; {alone} needs it")
        if self.range is not None and (self.mean, self.std) != (None, None):
            problems.append("range: given beside mean or std; one of the two forms is allowed")
        return problems

    @model_validator(mode="after")
    def _fits(self) -> Self:
        refuse(self.problems())
        return self


class SegmentationOptions(FileNetOptions):
    """The segmentation network that mIoU asks what generated images show.

    Opening a torchscript file can run code that is in it: name one only if you trust who made it.
    A torchvision file is read as plain tensors, and a pt2 file that holds more is refused.
    """

    where: ClassVar[str] = "metrics.segmentation"

    file: FilePath = Field(description="the network's file; torchscript: one that you trust")
    kind: FileKind = Field(
        description="TorchScript, a torch.export program, or weights of a torchvision model"
    )
    architecture: (
        Literal[
            "deeplabv3_mobilenet_v3_large",
            "deeplabv3_resnet101",
            "deeplabv3_resnet50",
            "fcn_resnet101",
            "fcn_resnet50",
            "lraspp_mobilenet_v3_large",
        ]
        | None
    ) = Field(default=None, description="torchvision: the model whose weights they are")
    classes: ClassTable = Field(
        default=None,
        description="the data set's class, by name or number: the network's; those not named are "
        "ignored; or cityscapes: its 19; default: equal numbers",
    )

    def class_table(self, class_names: Sequence[str]) -> tuple[int, ...]:
        """The network's class of each of the data set's, -1 for those that are ignored.

        Raises: ValueError with a line for each class that the data set lacks.
        """
        if self.classes is None:
            return tuple(range(len(class_names)))
        numbers = {str(number): number for number in range(len(class_names))}
        numbers |= {name: number for number, name in enumerate(class_names)}
        refuse(
            [
                f"classes.{name}: unknown class; names or 0 to {len(class_names) - 1} are allowed"
                for name in self.classes
                if name not in numbers
            ]
        )
        found = {numbers[name]: to for name, to in self.classes.items()}
        return tuple(found.get(number, -1) for number in range(len(class_names)))

    def problems(self) -> list[str]:
        problems = super().problems()
        if self.classes is not None and not self.classes:
            problems.append("classes: found {}; at least one class is needed")
        return problems


class ClassifierOptions(FileNetOptions):
    """The classifier that the inception score asks what images show.

    Two need no file: effnet-lite0, with ImageNet's classes, and inception, the paper's own network
    with the weights of metrics.inception_weights. As to files: see SegmentationOptions.
    """

    where: ClassVar[str] = "metrics.classifier"

    kind: Literal["effnet-lite0", "inception"] | FileKind = Field(
        description="a built-in one; or TorchScript, torch.export, weights of a torchvision model"
    )
    architecture: str | None = Field(
        default=None, description="torchvision: the model whose weights they are, as resnet50"
    )
    channels: Literal[1, 3] = Field(default=3, description="1: a network of grey images")

    @property
    def takes_channels(self) -> int:
        return self.channels

    def problems(self) -> list[str]:
        if self.kind not in ("effnet-lite0", "inception"):
            return super().problems()
        given = [key for key in type(self).model_fields if key in self.model_fields_set - {"kind"}]
        return [f"{key}: given; kind {self.kind} takes none" for key in given]


class MetricsSection(BaseModel):
    """What evaluates images."""

    model_config = STRICT

    features: Literal["inception", "effnet-lite0", "effnet-lite0-depths"] = Field(
        "inception",
        description="feature network: FID's Inception, or EfficientNet-Lite0, by its last features "
        "or by those of all depths",
    )
    inception_weights: FilePath | None = Field(
        None, description="file of the FID Inception's weights"
    )
    batch_size: Integer = Field(32, ge=1, description="images in a batch of the feature network")
    images: Integer = Field(
        0, ge=0, description="images that the final values are measured on; 0: all of split test"
    )
    resamples: Integer = Field(
        200, ge=0, description="resamples of the final values' intervals; 0: none"
    )
    segmentation: SegmentationOptions | None = Field(
        None, description="label maps alone: the network that the final values' mIoU asks"
    )
    classifier: ClassifierOptions | None = Field(
        None, description="the network that the inception score asks; default: that of features"
    )
    lpips: FilePath | None = Field(
        None,
        description="weights of AlexNet or VGG16 as torchvision names them, for the metric lpips; "
        "its heads are those of the package lpips, or in the same file",
    )
    also: tuple[MetricName, ...] = Field(
        (), description="final values beside l1, fd and kid, as swd; candidates go without"
    )

    def label_problems(self, class_names: Sequence[str], data: str) -> list[str]:
        """What does not fit a data set `data` of these classes; () for one without label maps."""
        if self.segmentation is None:
            return []
        if not class_names:
            return [f"segmentation: given; data {data} has no label maps to compare with"]
        try:
            self.segmentation.class_table(class_names)
        except ValueError as error:
            return [f"segmentation.{line}" for line in str(error).splitlines()]
        return []
