"""What the weights of other projects become, and how their files are taken apart by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from gancompress.archs.arch import Arch
from gancompress.errors import CheckpointError


@dataclass(frozen=True)
class Imported:
    """A generator of another project as one of ours.

    `family_of(family, **options).build(arch)` is its network and `tensors` are all of that
    network's, by our names. options: those alone that the file decides, in_channels and
    out_channels among them where the family has such. found: a sentence for the user, no stop.
    assumed: what the file does not tell, and other networks whose files look the same, for the
    user. unused: statistics of instance norms that the file has, by our names.
    """

    family: str
    options: Mapping[str, Any]
    arch: Arch
    tensors: dict[str, Tensor]
    found: str
    assumed: tuple[str, ...]
    unused: Mapping[str, Tensor] = field(default_factory=dict)


class CheckpointLayout(Protocol):
    """How one project names and shapes the tensors of its generators."""

    def __call__(self, tensors: Mapping[str, Tensor], where: str) -> Imported:
        """The generator in `tensors`, as read from the file `where`.

        The docstring's first line tells the user which files these are. Raises: CheckpointError
        naming the first key that is missing, left over or of an unfitting shape.
        """


class UnfitError(CheckpointError):
    """Weights that are not of the layout that they were read by; those of another may be."""


RANGE = "images from -1 to 1, tanh at the end"
DROPOUT = "dropout off"
RUNNING = (
    "batch norm by its running statistics, as in evaluation mode (by each batch's own, as in "
    "pix2pix's test without --eval, would look the same)"
)


class Keys:
    """The tensors of a file of another project, taken one by one; refuses by key what is amiss.

    tensors: what became ours so far, by our names. unused: statistics that have no effect.
    """

    def __init__(self, tensors: Mapping[str, Tensor], where: str, kind: str) -> None:
        """kind: what the file should hold, for messages: "a CycleGAN ResNet"."""
        self._left = dict(tensors)
        self._first = next(iter(tensors), "nothing")
        self._where, self._kind = where, kind
        self.tensors: dict[str, Tensor] = {}
        self.unused: dict[str, Tensor] = {}

    def __contains__(self, key: str) -> bool:
        """Whether `key` is there and not taken yet."""
        return key in self._left

    def has_any(self, prefix: str) -> bool:
        """Whether a key that begins so is there and not taken yet."""
        return any(key.startswith(prefix) for key in self._left)

    def take(self, key: str, shape: Sequence[int | None]) -> Tensor:
        """The tensor of `key`; None in `shape` stands for any size. Raises: CheckpointError."""
        if key not in self._left:
            raise UnfitError(
                f"{self._where}: key {key} of {self._kind} is missing (the file begins with "
                f"{self._first})"
            )
        found = self._left.pop(key)
        if found.dim() != len(shape) or any(
            want not in (None, size) for want, size in zip(shape, found.shape, strict=True)
        ):
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise self.misfit(key, found, f"{self._kind} has ({wanted}) here")
        return found

    def conv(
        self,
        ours: str,
        theirs: str,
        shape: Sequence[int | None],
        *,
        bias: bool = True,
        axis: int = 0,
    ) -> Tensor:
        """Takes a convolution or dense layer as `ours`; its weight. axis: of the output channels.

        Raises: CheckpointError.
        """
        weight = self.take(f"{theirs}.weight", shape)
        self.tensors[f"{ours}.weight"] = weight
        if bias:
            self.tensors[f"{ours}.bias"] = self.take(f"{theirs}.bias", (weight.shape[axis],))
        return weight

    def counter(self, ours: str, theirs: str) -> None:
        """Takes the steps that a batch norm has counted; files before torch 0.4.1 have none."""
        key = f"{theirs}.num_batches_tracked"
        kept = self.take(key, ()) if key in self else torch.tensor(0)
        self.tensors[f"{ours}.num_batches_tracked"] = kept

    def set_aside_statistics(self, ours: str, theirs: str) -> None:
        """Takes the running statistics of an instance norm as unused ones, where they are there.

        Some versions of torch keep them always, others where `track_running_stats` is set; the
        published programs answer in training mode, where they have no effect.
        """
        self._left.pop(f"{theirs}.num_batches_tracked", None)
        for name in ("running_mean", "running_var"):
            if f"{theirs}.{name}" in self._left:
                self.unused[f"{ours}.{name}"] = self._left.pop(f"{theirs}.{name}")

    def instance_assumed(self, *, is_affine: bool = False) -> str:
        """What a file does not tell of its instance norms; is_affine: they have weights."""
        own = "instance norm by each image's own statistics"
        if self.unused:
            return (
                f"{own}, as in training mode, though the file has running ones "
                "(track_running_stats, used in evaluation mode)"
            )
        return own if is_affine else f"{own} (no norm would look the same)"

    def refused(self, what: str) -> CheckpointError:
        """The refusal of a network that is not read."""
        return CheckpointError(
            f"{self._where}: {what}; {self._kind} has no such form here, so bring the network as a "
            "generator of your own"
        )

    def misfit(self, key: str, found: Tensor, allowed: str) -> UnfitError:
        """The refusal of a tensor's shape."""
        return UnfitError(f"{self._where}: key {key} is {tuple(found.shape)}; {allowed}")

    def units(self, key: str, found: Tensor, axis: int, per_unit: int) -> int:
        """The width, in the family's base unit, of channels that are a multiple of `per_unit`."""
        channels = found.shape[axis]
        if channels % per_unit or not channels:
            raise self.misfit(key, found, f"multiples of {per_unit} channels are allowed here")
        return channels // per_unit

    def finish(self) -> None:
        """Raises: CheckpointError naming the first key that was not taken."""
        for key in self._left:
            raise UnfitError(f"{self._where}: key {key} is not of {self._kind}")
