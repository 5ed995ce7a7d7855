"""The generators of SPADE (Park et al. 2019), and GAN Compression's separable ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from gancompress.archs.arch import Value
from gancompress.importers.layout import RUNNING, Imported, Keys
from gancompress.nets.families import family_of
from gancompress.nets.families.spade import TRUNK, UNITS, UPS

_KIND = "a SPADE generator"
_BLOCKS = {  # our stage -> their name
    "body.0": "head_0",
    "body.1": "G_middle_0",
    "body.2": "G_middle_1",
    **{stage: stage.replace(".", "_") for stage in UPS},
}


def spade(tensors: Mapping[str, Tensor], where: str) -> Imported:
    """generator of SPADE (GauGAN) without style encoder, or of GAN Compression, latest_net_G.pth

    Whether the smallest map is doubled five or six times is not in the file, nor whether an
    instance norm lies within separable convolutions, as it does in all that were published.
    """
    reader = _Reader(Keys(tensors, where, _KIND))
    stem = reader.keys.conv("stem", "fc", (None, None, 3, 3))
    reader.slots["stem.width"] = reader.keys.units("fc.weight", stem, 0, UNITS["stem"])
    before = stem.shape[0]
    for stage, theirs in _BLOCKS.items():
        before = reader.block(stage, theirs, before, stem.shape[1])
    head = reader.keys.conv("head.conv", "conv_img", (None, before, 3, 3))
    reader.keys.finish()
    in_channels, out_channels = stem.shape[1], head.shape[0]
    family = family_of("spade", in_channels=in_channels, out_channels=out_channels)
    arch = family.uniform(1).replace(reader.slots)
    ops = sorted({arch.op(f"{stage}.op") for stage in family.body})
    options = {"in_channels": in_channels, "out_channels": out_channels}
    found = (
        f"{_KIND}: {in_channels} to {out_channels} channels, "
        f"{' and '.join(ops)} norms, widths {arch.compact}"
    )
    return Imported(family.name, options, arch, reader.keys.tensors, found, _assumed(ops))


def _assumed(ops: list[str]) -> tuple[str, ...]:
    """What a file does not tell; the fourth is the recipe's to say."""
    inner = "an instance norm within separable convolutions (none would look the same)"
    return (
        "zero padding (other kinds would look the same)",
        RUNNING,
        *([inner] if "separable" in ops else []),
        "the smallest map doubled as often as family.upsamplings says (5 or 6)",
        "label channels, and an answer from -1 to 1 with tanh at the end",
    )


@dataclass
class _Reader:
    """One file on its way to our names."""

    keys: Keys
    slots: dict[str, Value] = field(default_factory=dict)  # The arch's slots read so far.

    def block(self, stage: str, theirs: str, before: int, label_channels: int) -> int:
        """Takes a residual block that is given `before` channels; how many it gives."""
        first = self.keys.conv(f"{stage}.conv0", f"{theirs}.conv_0", (None, before, 3, 3))
        width = self.keys.units(f"{theirs}.conv_0.weight", first, 0, UNITS[stage])
        inner = first.shape[0]
        behind = before if stage in TRUNK else inner
        self.keys.conv(f"{stage}.conv1", f"{theirs}.conv_1", (behind, inner, 3, 3))
        normed = {"0": before, "1": inner}
        if stage not in TRUNK:
            shape = (behind, before, 1, 1)
            self.keys.conv(f"{stage}.shortcut", f"{theirs}.conv_s", shape, bias=False)
            normed["_s"] = before
        is_separable = f"{theirs}.norm_0.mlp_gamma.conv.0.weight" in self.keys
        for name, channels in normed.items():
            ours, place = f"{stage}.norm{name}", f"{theirs}.norm_{name.removeprefix('_')}"
            self._norm(ours, place, (label_channels, 2 * width, channels), is_separable)
        self.slots[f"{stage}.width"] = width
        self.slots[f"{stage}.norm.op"] = "separable" if is_separable else "dense"
        return behind

    def _norm(
        self, ours: str, theirs: str, sizes: tuple[int, int, int], is_separable: bool
    ) -> None:
        """Takes a norm; sizes: channels of the labels, those between, and those normed."""
        label_channels, hidden, channels = sizes
        self.keys.conv(f"{ours}.shared", f"{theirs}.mlp_shared.0", (hidden, label_channels, 3, 3))
        for name in ("gamma", "beta"):
            if is_separable:
                place = f"{theirs}.mlp_{name}.conv"
                self.keys.conv(f"{ours}.{name}.depthwise", f"{place}.0", (hidden, 1, 3, 3))
                self.keys.conv(f"{ours}.{name}.pointwise", f"{place}.2", (channels, hidden, 1, 1))
            else:
                self.keys.conv(f"{ours}.{name}", f"{theirs}.mlp_{name}", (channels, hidden, 3, 3))
        place = f"{theirs}.param_free_norm"
        for name in ("running_mean", "running_var"):
            kept = self.keys.take(f"{place}.{name}", (None,))
            if len(kept) < channels:
                raise self.keys.misfit(f"{place}.{name}", kept, f"{channels} channels are normed")
            # Of a narrow network GAN Compression keeps the statistics of the widest.
            self.keys.tensors[f"{ours}.norm.{name}"] = kept[:channels].clone()
        self.keys.counter(f"{ours}.norm", place)
