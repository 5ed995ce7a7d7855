"""The generators of MUNIT (Huang et al. 2018), and those of GAN Compression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from gancompress.archs.arch import Value
from gancompress.errors import CheckpointError
from gancompress.importers.layout import RANGE, Imported, Keys
from gancompress.nets.families import family_of
from gancompress.nets.families.munit import group_of

KIND = "a MUNIT generator"
CONTENT = "enc_content.model"
_ASSUMED = (
    "reflection padding (zeros or replicated edges would look the same)",
    "instance norm in the encoder by each image's own statistics (no norm would look the same)",
    "ReLU",
    RANGE,
)
# What of a pair of domains has no part in the way from the one to the other.
_UNUSED = {"": ("enc_style.",), "from.": ("enc_style.", "dec.", "mlp."),
           "to.": ("enc_style.", "enc_content.")}  # fmt: skip


def munit(tensors: Mapping[str, Tensor], where: str) -> Imported:
    """MUNIT's gen_*.pt with --part a2b (or b2a), or one generator of GAN Compression's MUNIT"""
    return _read(Keys(_chosen(tensors, where), where, KIND))


def _chosen(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The encoder of the domain that it leads from, the decoder of the one that it leads to.

    MUNIT's program keeps an auto-encoder for each domain, and unused buffers tell that it is one;
    GAN Compression's keeps what it compresses, encoder and decoder as they are used together.
    """
    is_pair = any(key.startswith("from.") for key in tensors)
    if not is_pair and any(k.startswith("dec.") and k.endswith(".running_mean") for k in tensors):
        raise CheckpointError(
            f"{where}: holds encoder and decoder of the same domain; name the domains from which "
            "and to which the generator leads, such as --part a2b"
        )
    found = {}
    for prefix in ("from.", "to.") if is_pair else ("",):
        for key, tensor in tensors.items():
            inner = key.removeprefix(prefix)
            is_buffer = inner.startswith("dec.") and ".running_" in inner
            if key.startswith(prefix) and not inner.startswith(_UNUSED[prefix]) and not is_buffer:
                found[inner] = tensor
    return found


def _read(keys: Keys) -> Imported:
    """The generator as ours. Raises: CheckpointError."""
    reader = _Reader(keys)
    stem = reader.stage("stem", f"{CONTENT}.0.conv", None, 7, 1)
    image_channels = reader.keys.tensors["stem.conv.weight"].shape[1]
    down = reader.stage("down.0", f"{CONTENT}.1.conv", stem, 4, 2)
    trunk = reader.stage("down.1", f"{CONTENT}.2.conv", down, 4, 4)
    reader.blocks = 1  # if there is none, reading it says so
    while keys.has_any(f"{CONTENT}.3.model.{reader.blocks}."):
        reader.blocks += 1
    reader.body("encoder", f"{CONTENT}.3.model", trunk)
    inner = reader.body("decoder", "dec.model.0.model", trunk)
    style, codes = reader.mlp([(width, trunk) for width in inner])
    up = reader.enlarging("up.0", "dec.model.2", trunk, 2)
    up = reader.enlarging("up.1", "dec.model.4", up, 1)
    out_channels = reader.keys.conv("head", "dec.model.5.conv", (None, up, 7, 7)).shape[0]
    keys.finish()
    channels = {"in_channels": image_channels + style, "out_channels": out_channels}
    options = {**channels, "style": style, "blocks": reader.blocks, "mlp": codes}
    family = family_of("munit", **options)
    arch = family.uniform(1).replace(reader.slots)
    ops = sorted({arch.op(f"{stage}.op") for stage in family.body})
    found = (
        f"{KIND}: {image_channels} to {out_channels} channels, style of {style} numbers, twice "
        f"{reader.blocks} {' and '.join(ops)} residual blocks, widths {arch.compact}"
    )
    return Imported(family.name, options, arch, reader.keys.tensors, found, _ASSUMED)


@dataclass
class _Reader:
    """One generator on its way to our names."""

    keys: Keys
    blocks: int = 0  # in the encoder, and in the decoder
    slots: dict[str, Value] = field(default_factory=dict)

    def stage(self, stage: str, theirs: str, a: int | None, kernel: int, per_unit: int) -> int:
        """Takes a stage that has nothing but a dense convolution; its channels."""
        weight = self.keys.conv(f"{stage}.conv", theirs, (None, a, kernel, kernel))
        self.slots[f"{stage}.width"] = self.keys.units(f"{theirs}.weight", weight, 0, per_unit)
        return weight.shape[0]

    def enlarging(self, stage: str, theirs: str, a: int, per_unit: int) -> int:
        """Takes a convolution of a stage that enlarges, and its layer norm; its channels."""
        ours = f"{stage}.conv"
        b = self._operated(stage, ours, f"{theirs}.conv", a, None, kernel=5, per_unit=per_unit)
        for name, named in (("weight", "gamma"), ("bias", "beta")):
            self.keys.tensors[f"{stage}.norm.{name}"] = self.keys.take(
                f"{theirs}.norm.{named}", (b,)
            )
        return b

    def body(self, kind: str, theirs: str, trunk: int) -> list[int]:
        """Takes the residual blocks of the encoder or decoder; the inner channels of each."""
        inner = []
        for i in range(self.blocks):
            stage, convs = f"{kind}.{group_of(i, self.blocks)}", f"{theirs}.{i}.model"
            first = self._operated(stage, f"{kind}.{i}.conv1", f"{convs}.0.conv", trunk, None)
            self._operated(stage, f"{kind}.{i}.conv2", f"{convs}.1.conv", first, trunk)
            inner.append(first)
        return inner

    def _operated(
        self,
        stage: str,
        ours: str,
        theirs: str,
        a: int,
        b: int | None,
        *,
        kernel: int = 3,
        per_unit: int = 4,
    ) -> int:
        """Takes a dense or separable convolution from `a` channels, to `b` if known; to how many.

        Those that are not known are the stage's width.
        """
        is_separable = self.keys.has_any(f"{theirs}.conv.")
        last, size = theirs, kernel
        if is_separable:
            self.keys.conv(f"{ours}.depthwise", f"{theirs}.conv.0", (a, 1, kernel, kernel))
            ours, last, size = f"{ours}.pointwise", f"{theirs}.conv.2", 1
        weight = self.keys.conv(ours, last, (b, a, size, size))
        slots: dict[str, Value] = {f"{stage}.op": "separable" if is_separable else "dense"}
        if b is None:
            slots[f"{stage}.width"] = self.keys.units(f"{last}.weight", weight, 0, per_unit)
        for slot, value in slots.items():
            if self.slots.setdefault(slot, value) != value:
                alike = f"what is before it in its half of the blocks has {self.slots[slot]}"
                raise self.keys.misfit(
                    f"{last}.weight", weight, f"{value} as {slot}, where {alike}"
                )
        return weight.shape[0]

    def mlp(self, normed: list[tuple[int, int]]) -> tuple[int, int]:
        """Takes the layers behind the style code; how many numbers this has, and their width.

        normed: the channels of the two norms of each block of the decoder. The rows of the last
        layer are those norms' shifts and scales, in that order, one norm after the other.
        """
        codes, style = self.keys.conv("mlp.0", "mlp.model.0.fc", (None, None)).shape
        self.keys.conv("mlp.2", "mlp.model.1.fc", (codes, codes))
        rows = sum(2 * channels for block in normed for channels in block)
        weight = self.keys.take("mlp.model.2.fc.weight", (rows, codes))
        bias, at = self.keys.take("mlp.model.2.fc.bias", (rows,)), 0
        for i, block in enumerate(normed):
            for norm, channels in enumerate(block, 1):
                for part in ("shift", "scale"):
                    ours = f"decoder.{i}.norm{norm}.{part}"
                    self.keys.tensors[f"{ours}.weight"] = weight[at : at + channels].clone()
                    self.keys.tensors[f"{ours}.bias"] = bias[at : at + channels].clone()
                    at += channels
        return style, codes
