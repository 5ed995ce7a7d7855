"""ResNet generators that are one Sequential: stem, two downs, residual blocks, two ups, head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from gancompress.archs.arch import Value
from gancompress.importers.layout import DROPOUT, RANGE, RUNNING, Imported, Keys
from gancompress.nets.families import family_of
from gancompress.nets.families.resnet import group_of

# The tensors of a norm, by its name in NORMS; a batch norm counts its steps beside.
_NORMS: dict[str, tuple[str, ...]] = {
    "instance": (),
    "affine": ("weight", "bias"),
    "batch": ("weight", "bias", "running_mean", "running_var"),
}
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Form:
    """In what the Sequentials of the published programs differ.

    A norm follows each convolution but the head, and a ReLU all norms but a block's last. pads: 1
    where a layer of its own pads before the stem, the head and every convolution of a block.
    seconds: where a block's second convolution may be. norm: a key of NORMS; "instance" may turn
    out to be "batch", whose convolutions have no biases.
    """

    kind: str  # for messages
    family: str
    root: str  # the Sequential's key
    inner: str  # The key of a block's own Sequential.
    pads: int
    seconds: tuple[int, ...]
    kernel: int  # The kernel side of downs and ups.
    norm: str
    biases: bool
    separable: bool = False  # whether blocks may be


def read_sequential(tensors: Mapping[str, Tensor], where: str, form: Form) -> Imported:
    """The generator in `tensors`; see `CheckpointLayout`. Raises: CheckpointError."""
    keys, root, at = Keys(tensors, where, form.kind), form.root, form.pads
    is_batch = form.norm == "instance" and f"{root}.{at + 1}.weight" in keys
    _check_form(keys, form, is_batch)
    reader = _Reader(form, keys, "batch" if is_batch else form.norm)
    ends, kernel = (7, 7), (form.kernel, form.kernel)
    stem = reader.stage("stem", f"{root}.{at}", (None, None, *ends), 1)
    down = reader.stage("down.0", f"{root}.{at + 3}", (None, stem.shape[0], *kernel), 2)
    down = reader.stage("down.1", f"{root}.{at + 6}", (None, down.shape[0], *kernel), 4)
    trunk, at = down.shape[0], at + 9
    blocks = 1  # if there is none, reading it says so
    while keys.has_any(f"{root}.{at + blocks}.{form.inner}."):
        blocks += 1
    for i in range(blocks):
        reader.block(f"body.{i}", f"body.{group_of(i, blocks)}", f"{root}.{at + i}", trunk)
    at += blocks
    up = reader.stage("up.0", f"{root}.{at}", (trunk, None, *kernel), 2, axis=1)
    up = reader.stage("up.1", f"{root}.{at + 3}", (up.shape[1], None, *kernel), 1, axis=1)
    place = f"{root}.{at + 6 + form.pads}"
    head = reader.keys.conv("head", place, (None, up.shape[1], *ends), bias=form.biases)
    keys.finish()
    return reader.imported(stem.shape[1], head.shape[0], blocks)


def _check_form(keys: Keys, form: Form, is_batch: bool) -> None:
    """Raises: CheckpointError for what a file tells by keys that are elsewhere, or nowhere."""
    root, at = form.root, form.pads
    is_bare = f"{root}.{at}.weight" in keys and f"{root}.{at}.bias" not in keys
    if form.norm == "instance" and is_bare and not is_batch:
        raise keys.refused(f"{root}.{at} has neither a bias nor a norm behind it (norm none)")
    if form.pads and keys.has_any(f"{root}.{at + 9}.{form.inner}.0."):
        raise keys.refused(
            f"{root}.{at + 9}.{form.inner} begins with a convolution, without a layer that pads "
            "(zero padding in its blocks)"
        )


@dataclass
class _Reader:
    """One file on its way to our names."""

    form: Form
    keys: Keys
    norm: str
    slots: dict[str, Value] = field(default_factory=dict)  # The arch's slots read so far.

    @property
    def _has_biases(self) -> bool:
        """Of the convolutions before a norm."""
        return self.form.biases and self.norm != "batch"

    def stage(
        self, stage: str, theirs: str, shape: tuple[int | None, ...], per_unit: int, axis: int = 0
    ) -> Tensor:
        """Takes a stage outside the trunk; its weight. axis: that of the output channels."""
        weight = self.keys.conv(f"{stage}.conv", theirs, shape, bias=self._has_biases, axis=axis)
        width = self.keys.units(f"{theirs}.weight", weight, axis, per_unit)
        self.slots[f"{stage}.width"] = width
        root, _, place = theirs.rpartition(".")
        self._normed(f"{stage}.norm", f"{root}.{int(place) + 1}", weight.shape[axis])
        return weight

    def block(self, ours: str, stage: str, theirs: str, trunk: int) -> None:
        """Takes a residual block of the group `stage`."""
        inside, first = f"{theirs}.{self.form.inner}", self.form.pads
        seconds = [s for s in self.form.seconds if self.keys.has_any(f"{inside}.{s}.")]
        second = (*seconds, *self.form.seconds)[0]
        is_separable = self.form.separable and self.keys.has_any(f"{inside}.{first}.conv.")
        key = f"{inside}.{first}.conv.2.weight" if is_separable else f"{inside}.{first}.weight"
        op = "separable" if is_separable else "dense"
        take = self._separable if is_separable else self._dense
        hidden = take(f"{ours}.conv1", f"{inside}.{first}", trunk, None)
        slots: dict[str, Value] = {
            f"{stage}.width": self.keys.units(key, hidden, 0, 4),
            f"{stage}.op": op,
        }
        for slot, value in slots.items():
            if self.slots.setdefault(slot, value) != value:
                alike = f"the blocks before it in its third of the trunk have {self.slots[slot]}"
                raise self.keys.misfit(key, hidden, f"{value} as {slot}, where {alike}")
        inner = hidden.shape[0]
        self._normed(f"{ours}.norm1", f"{inside}.{first + 1}", inner, f"{ours}.conv1")
        take(f"{ours}.conv2", f"{inside}.{second}", inner, trunk)
        self._normed(f"{ours}.norm2", f"{inside}.{second + 1}", trunk, f"{ours}.conv2")

    def _dense(self, ours: str, theirs: str, a: int, b: int | None) -> Tensor:
        return self.keys.conv(ours, theirs, (b, a, 3, 3), bias=self._has_biases)

    def _separable(self, ours: str, theirs: str, a: int, b: int | None) -> Tensor:
        """Takes a depthwise convolution, an instance norm and a pointwise one; the last weight."""
        self.keys.conv(f"{ours}.depthwise", f"{theirs}.conv.0", (a, 1, 3, 3), bias=True)
        self.keys.set_aside_statistics(f"{ours}.norm", f"{theirs}.conv.1")
        return self.keys.conv(f"{ours}.pointwise", f"{theirs}.conv.2", (b, a, 1, 1), bias=True)

    def _normed(self, ours: str, theirs: str, channels: int, behind: str = "") -> None:
        """Takes a norm; behind: our name of the convolution before it, of a block."""
        for name in _NORMS[self.norm]:
            self.keys.tensors[f"{ours}.{name}"] = self.keys.take(f"{theirs}.{name}", (channels,))
        if self.norm != "batch":
            self.keys.set_aside_statistics(ours, theirs)
            return
        self.keys.counter(ours, theirs)
        # Separable convolutions have biases before a batch norm too, where ours have none: the
        # norms take them away, the instance norm by itself, the batch norm by its mean.
        self.keys.tensors.pop(f"{behind}.depthwise.bias", None)
        bias = self.keys.tensors.pop(f"{behind}.pointwise.bias", None)
        if bias is not None:
            mean = self.keys.tensors[f"{ours}.running_mean"]
            self.keys.tensors[f"{ours}.running_mean"] = mean - bias

    def _assumed(self) -> tuple[str, ...]:
        """What the file does not tell."""
        padding = (
            "reflection padding (replicated edges would look the same)"
            if self.form.pads
            else "zero padding (other kinds would look the same)"
        )
        is_affine = self.norm == "affine"
        norm = RUNNING if self.norm == "batch" else self.keys.instance_assumed(is_affine=is_affine)
        return (padding, norm, DROPOUT, RANGE)

    def imported(self, in_channels: int, out_channels: int, blocks: int) -> Imported:
        """What was read, once all of it is."""
        form = self.form
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        options = {**channels, "blocks": blocks, "norm": self.norm}
        family = family_of(form.family, **options)
        arch = family.uniform(1).replace(self.slots)
        ops = sorted({arch.op(f"{stage}.op") for stage in family.body})
        found = (
            f"{form.kind}: {in_channels} to {out_channels} channels, {blocks} "
            f"{' and '.join(ops)} residual blocks, {self.norm} norm, widths {arch.compact}"
        )
        keys = self.keys
        return Imported(
            form.family, options, arch, keys.tensors, found, self._assumed(), keys.unused
        )
