"""The U-Net of pix2pix (Isola et al. 2017), whose blocks lie inside one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from gancompress.archs.arch import Value
from gancompress.importers.layout import DROPOUT, RANGE, RUNNING, Imported, Keys
from gancompress.nets.families import family_of
from gancompress.nets.families.unet import UNet

KIND = "a pix2pix U-Net"
ROOT = "model.model"  # The key prefix of the outermost block, which no ResNet has.
_STATISTICS = ("running_mean", "running_var")


def unet(tensors: Mapping[str, Tensor], where: str) -> Imported:
    """The U-Net in `tensors`; see `CheckpointLayout`.

    A block: (leaky ReLU, convolution, norm, inner block, ReLU, transposed convolution, norm); the
    outermost has neither the leaky ReLU nor norms, the innermost no norm before its ReLU. What a
    block is given comes before what the block inside of it made, in the channels that its
    transposed convolution takes.
    """
    keys = Keys(tensors, where, KIND)
    blocks = [ROOT, f"{ROOT}.1.model"]
    while keys.has_any(f"{blocks[-1]}.3.model."):
        blocks.append(f"{blocks[-1]}.3.model")
    innermost = f"{blocks[-1]}.4.weight"  # The norm's weight, which all variants have.
    kept = "batch" if innermost in keys else "instance"
    family = family_of("unet", levels=len(blocks), norm=kept)
    assert isinstance(family, UNet)
    if family.norm != "batch" and f"{ROOT}.0.weight" in keys and f"{ROOT}.0.bias" not in keys:
        raise keys.refused(f"{ROOT}.0 has no bias, and no norm is in the file (norm none)")
    reader = _Reader(keys, family, blocks)
    in_channels = reader.downs()
    out_channels = reader.ups()
    keys.finish()
    channels = {"in_channels": in_channels, "out_channels": out_channels}
    arch = family.uniform(1).replace(reader.slots)
    found = (
        f"{KIND}: {in_channels} to {out_channels} channels, {family.levels} levels, "
        f"{family.norm} norm, widths {arch.compact}"
    )
    options = {**channels, "levels": family.levels, "norm": family.norm}
    norm = RUNNING if family.norm == "batch" else keys.instance_assumed()
    padding = "zero padding (other kinds would look the same)"
    assumed = (padding, norm, f"{DROPOUT} (it leaves no trace in a file)", RANGE)
    return Imported(family.name, options, arch, keys.tensors, found, assumed, keys.unused)


@dataclass
class _Reader:
    """One file on its way to our names; `blocks` are its blocks' keys from the outermost on."""

    keys: Keys
    family: UNet
    blocks: list[str]
    slots: dict[str, Value] = field(default_factory=dict)
    passed: list[int] = field(default_factory=list)  # the channels that each down made

    def downs(self) -> int:
        """Takes the downs; the channels of the input."""
        last = len(self.blocks) - 1
        before: int | None = None
        found = 0
        for i, block in enumerate(self.blocks):
            at = f"{block}.{min(i, 1)}"
            weight = self.keys.take(f"{at}.weight", (None, before, 4, 4))
            found = found or weight.shape[1]
            before = weight.shape[0]
            self.keys.tensors[f"down.{i}.conv.weight"] = weight
            self._width(f"down.{i}", f"{at}.weight", weight, 0)
            self._bias(f"down.{i}.conv", at, before)
            if 0 < i < last:
                self._norm(f"down.{i}.norm", f"{block}.2", before)
            self.passed.append(before)
        return found

    def ups(self) -> int:
        """Takes the ups from the innermost on, the head last; the channels of the output."""
        last = len(self.blocks) - 1
        before, made = self.passed[last], 0
        for i in reversed(range(last + 1)):
            stage = f"up.{last - i}" if i else "head"
            place = 5 if 0 < i < last else 3
            at, skipped = f"{self.blocks[i]}.{place}", self.passed[i] if i < last else 0
            weight = self.keys.take(f"{at}.weight", (skipped + before, None, 4, 4))
            made = weight.shape[1]
            self.keys.tensors[f"{stage}.below.weight"] = weight[skipped:].clone()
            if skipped:
                self.keys.tensors[f"{stage}.skip.weight"] = weight[:skipped].clone()
            self._bias(f"{stage}.below", at, made, is_head=not i)
            if i:
                self._width(stage, f"{at}.weight", weight, 1)
                self._norm(f"{stage}.norm", f"{self.blocks[i]}.{place + 1}", made)
            before = made
        return made

    def _width(self, stage: str, key: str, weight: Tensor, axis: int) -> None:
        unit = self.family.unit(stage)
        self.slots[f"{stage}.width"] = self.keys.units(key, weight, axis, unit)

    def _bias(self, ours: str, theirs: str, channels: int, *, is_head: bool = False) -> None:
        if is_head or self.family.norm != "batch":
            self.keys.tensors[f"{ours}.bias"] = self.keys.take(f"{theirs}.bias", (channels,))

    def _norm(self, ours: str, theirs: str, channels: int) -> None:
        if self.family.norm != "batch":
            self.keys.set_aside_statistics(ours, theirs)
            return
        for name in ("weight", "bias", *_STATISTICS):
            self.keys.tensors[f"{ours}.{name}"] = self.keys.take(f"{theirs}.{name}", (channels,))
        self.keys.counter(ours, theirs)
