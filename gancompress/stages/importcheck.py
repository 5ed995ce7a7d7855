"""Whether an imported generator answers as the program does that it comes from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gancompress.data.images import read_image, to_tensor, with_channels
from gancompress.errors import CheckpointError, DataError
from gancompress.importers import Imported
from gancompress.storage.regularfiles import open_regular

# Programs round to 8 bits, or cut off: less than one level. A quarter of one more is for kernels
# that add in another order. TF32 multiplication on a GPU may take more: 1.3 levels, emulated on
# ResNets of 9 blocks with random weights.
LEVELS = 1.25
# The largest difference to an output kept as floats in [-1, 1]; 1e-5 is usual, 3e-4 with MUNIT's
# norms.
EXACT = 1e-3
_LOSSY = (".jpg", ".jpeg", ".webp")
_CHANNELS = (1, 3)  # The channel counts that pictures have.

M = TypeVar("M", bound=nn.Module)
Answer = Callable[[Tensor], Tensor]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """An input, and the program's own answer to it: a picture or a .npy file each.

    Of a picture, 0 is read as -1 and 255 as 1. A .npy file of floats is (C, H, W) as the network
    takes or gives it.
    """

    input: Path
    answer: Path


@dataclass(frozen=True)
class AnswerDifference:
    """How far the largest difference is, and how far it may be; in `unit`."""

    largest: float
    mean: float
    allowed: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether they agree; NaN does not."""
        return self.largest <= self.allowed

    def __str__(self) -> str:
        return f"{self.largest:.3g} {self.unit}"


def check(net: nn.Module, pair: Pair, found: Imported, multiple: int) -> AnswerDifference:
    """The agreement of `net`, built of `found` in evaluation mode, with the answer of a pair.

    multiple: what the sides of inputs are multiples of.
    Raises: CheckpointError if they do not agree, with the variants of `net` that would; DataError
    for files that cannot be compared.
    """
    x = _input(pair.input, found.options["in_channels"], multiple)
    with torch.no_grad():
        try:
            out = net(x)
        except (RuntimeError, ValueError) as error:
            raise DataError(
                f"{pair.input}: this network cannot run on it ({str(error).splitlines()[0]}); give "
                "an input of the size that it was trained with"
            ) from None
        result = agreement(out, pair.answer)
        if result.holds:
            return result
        tried = ((name, _tried(run, x)) for name, run in variants(net, found.unused))
        likely = [n for n, y in tried if y is not None and agreement(y, pair.answer).holds]
    cause = _SAME.format(" or with ".join(likely)) if likely else _UNKNOWN
    raise CheckpointError(
        f"{pair.answer}: the imported generator's answer to {pair.input} differs by up to "
        f"{result}, in the mean by {result.mean:.3g}; {result.allowed:g} is allowed. "
        f"{cause.replace('ASSUMED', '; '.join(found.assumed))}"
    )


_SAME = (
    "The program's answer is that with {}: if it can run otherwise (in evaluation mode: --eval in "
    "pix2pix), give its answer then, or else bring the network as a generator of your own"
)
_UNKNOWN = (
    "Assumed were: ASSUMED. Other causes: dropout that was not off, an input that the program "
    "resized, cropped or flipped before its network saw it, weights of another step, and, where "
    "the differences are small, TF32 on a GPU (torch.backends.cudnn.allow_tf32)"
)


def _tried(run: Answer, x: Tensor) -> Tensor | None:
    """A variant's answer to `x`, or None where it needs more pixels, to pad or to normalise."""
    try:
        return run(x)
    except (RuntimeError, ValueError):
        return None


def agreement(out: Tensor, path: Path) -> AnswerDifference:
    """Of an answer (1, C, H, W) in [-1, 1] with the one in the file. Raises: DataError."""
    if path.suffix.lower() in _LOSSY:
        raise DataError(
            f"{path}: a JPEG or WebP file loses more than rounding does; give the program's answer "
            "as PNG or .npy"
        )
    ours = out[0].double().numpy()  # (C, H, W)
    kept = _array(path) if path.suffix.lower() == ".npy" else None
    if kept is not None:
        theirs, scale, allowed, unit = kept.astype(np.float64), 1.0, EXACT, "in [-1, 1]"
    else:
        pixels = with_channels(read_image(path), ours.shape[0], path)
        theirs = pixels.transpose(2, 0, 1).astype(np.float64)
        scale, allowed, unit = 127.5, LEVELS, "of 255 levels"
        ours = (ours.clip(-1, 1) + 1) * scale
    if ours.shape != theirs.shape:
        raise DataError(
            f"{path}: is {theirs.shape}; the imported generator answers {ours.shape} (channels, "
            "height, width): give an input and the answer to it at the same scale"
        )
    gaps = np.abs(ours - theirs)
    return AnswerDifference(float(gaps.max()), float(gaps.mean()), allowed, unit)


def _input(path: Path, channels: int, multiple: int) -> Tensor:
    """(1, C, H, W) from a picture or a .npy file of floats. Raises: DataError."""
    if path.suffix.lower() == ".npy":
        x = torch.from_numpy(_array(path))[None]
        if x.shape[1] != channels:
            raise DataError(f"{path}: has {x.shape[1]} channels; the generator takes {channels}")
    elif channels in _CHANNELS:
        x = to_tensor(with_channels(read_image(path), channels, path)[None])
    else:
        raise DataError(
            f"{path}: a picture; this generator takes {channels} channels, which a .npy file of "
            f"floats ({channels}, H, W) can hold as the program gives them to its network"
        )
    height, width = x.shape[2:]
    if height % multiple or width % multiple:
        raise DataError(
            f"{path}: is {height}x{width}; sides that are multiples of {multiple} are needed"
        )
    return x


def _array(path: Path) -> Floats:
    """(C, H, W) floats of a .npy file. Raises: DataError."""
    try:
        with open_regular(path) as file:
            found = np.load(file, allow_pickle=False)
    except Exception as error:  # numpy evaluates the header, and raises what that gives
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason}); give an .npy file") from None
    if not isinstance(found, np.ndarray):
        raise DataError(f"{path}: holds several arrays; save one with numpy.save")
    if found.ndim == 4 and len(found) == 1:
        found = found[0]
    if found.ndim != 3 or found.dtype.kind != "f" or not found.size:
        raise DataError(
            f"{path}: holds {found.dtype} of shape {found.shape}; floats (channels, height, width) "
            "are read, as the network takes or gives them"
        )
    return np.ascontiguousarray(found, np.float32)


def variants(net: nn.Module, unused: Mapping[str, Tensor]) -> Iterator[tuple[str, Answer]]:
    """Networks whose files look the same: each by what is different, and as a function.

    unused: statistics of instance norms that the file has, by our names.
    """
    yield from _padded(net)
    if _modules(net, nn.BatchNorm2d):
        training = copy.deepcopy(net)
        for norm in _modules(training, nn.BatchNorm2d).values():
            norm.train()
        yield "batch norm by the statistics of each batch (training mode)", training
    if _modules(net, nn.InstanceNorm2d):
        yield "no norm", _renormed(net, lambda name, norm: nn.Identity())
    if unused:
        evaluated = _renormed(net, lambda name, norm: _running(name, norm, unused))
        yield "the running statistics of its instance norms (evaluation mode)", evaluated
    yield "inputs from 0 to 1", lambda x: net((x + 1) / 2)
    yield "channels in the order blue, green, red", lambda x: net(x.flip(1)).flip(1)


def _padded(net: nn.Module) -> Iterator[tuple[str, Answer]]:
    """With another border around the convolutions that have the network's own kind."""
    convs = {n: m for n, m in _modules(net, nn.Conv2d).items() if any(m.padding)}
    special = {n: m for n, m in convs.items() if m.padding_mode != "zeros"} or convs
    widest = max((m.kernel_size[0] for m in special.values()), default=0)
    inner = {n for n, m in special.items() if m.kernel_size[0] < widest}
    for mode, words in _PADDINGS.items():
        if any(m.padding_mode == mode for m in special.values()):
            continue
        for names, where in ((set(special), ""), (inner, " in the blocks alone")):
            if not names or (where and len(inner) == len(special)):
                continue
            other = copy.deepcopy(net)
            for name, conv in _modules(other, nn.Conv2d).items():
                if name in names:
                    conv.padding_mode = mode
            yield f"{words}{where}", other


_PADDINGS: dict[Literal["zeros", "reflect", "replicate"], str] = {
    "zeros": "zero padding",
    "reflect": "reflection padding",
    "replicate": "replicated edges",
}


def _modules(net: nn.Module, kind: type[M]) -> dict[str, M]:
    return {name: module for name, module in net.named_modules() if isinstance(module, kind)}


def _renormed(net: nn.Module, of: Callable[[str, nn.InstanceNorm2d], nn.Module]) -> nn.Module:
    """A copy with other modules in the place of the instance norms."""
    other = copy.deepcopy(net)
    for name, norm in _modules(other, nn.InstanceNorm2d).items():
        parent, _, child = name.rpartition(".")
        setattr(other.get_submodule(parent), child, of(name, norm))
    return other


def _running(name: str, norm: nn.InstanceNorm2d, unused: Mapping[str, Tensor]) -> nn.Module:
    """The norm by running statistics, where the file has some of it."""
    if f"{name}.running_mean" not in unused:
        return norm
    found = nn.BatchNorm2d(norm.num_features, eps=norm.eps, affine=norm.affine).eval()
    state = {k: unused[f"{name}.{k}"] for k in ("running_mean", "running_var")}
    found.load_state_dict({**norm.state_dict(), **state}, strict=False)
    return found
