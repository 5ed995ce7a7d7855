"""First weights by least squares: each convolution is fitted to the teacher's answers.

Slices of the teacher's kernels fit no subnet well but the widest: a narrow one lacks part of each
convolution's input, and the rest does not make up for it. Here each convolution, in the order in
which they run, is set so that several subnets at once, each on its own inputs, come closest to what
the teacher's convolution answers to the same images. Subnets share views of one kernel, so their
normal equations add up, padded with zeros: one linear system per group of output channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.archs.arch import Arch
from gancompress.bars import progress
from gancompress.distill.hooks import hooked
from gancompress.supernet.supernet import Supernet
from gancompress.training import distributed

# Ridge, relative to the mean of the system's diagonal: weights that the images do not determine
# keep their values.
RIDGE = 1e-3
POSITIONS = 6000  # pixels that a convolution is fitted on; ten for every unknown of most
IMAGES = 16  # Statistics are taken from so many, whatever the training's batch.
# The most unknowns of a system, whose time grows with their cube; 256 channels of 3x3 have 2305.
MOST_UNKNOWNS = 2500

Conv = nn.Conv2d | nn.ConvTranspose2d


@torch.no_grad()
def calibrate(
    supernet: Supernet, teacher: nn.Module, archs: Sequence[Arch], images: Tensor
) -> None:
    """Fits the supernet's convolutions so that `archs` follow the teacher on `images` (N, C, H, W).

    Depthwise convolutions stay as they are; the pointwise one behind is fitted to the teacher's
    dense one. Convolutions without a counterpart in the teacher stay too, among them a pointwise
    one *before* a transposed depthwise one, those of split features, those whose outputs lie in
    several blocks (see `gancompress.supernet.channels`), and those of more unknowns than
    MOST_UNKNOWNS.
    """
    skeleton = supernet.skeleton(archs[0])
    blocked = {at for at, row in supernet.channels.layouts.items() if len(row) > 1}
    names = [
        name
        for name, conv in skeleton.named_modules()
        if isinstance(conv, Conv)
        and conv.groups == 1
        and _is_square(conv)
        and _unknowns(conv) <= MOST_UNKNOWNS
        and (f"{name}.weight", int(_is_turned(conv))) not in blocked
    ]
    known = dict(teacher.named_modules())
    pairs = {name: name.removesuffix(".pointwise") for name in names}
    pairs = {
        name: counterpart
        for name, counterpart in pairs.items()
        if counterpart in known
        and _is_turned(known[counterpart]) == _is_turned(skeleton.get_submodule(name))
    }
    answers = _answers_of(teacher, list(pairs.values()), images)
    # What did not run has no answer: heads that only growing networks use.
    pairs = {name: counterpart for name, counterpart in pairs.items() if counterpart in answers}
    is_shown = distributed.current().is_main_process
    for name, counterpart in progress(pairs.items(), "fitting", leave=False, disable=not is_shown):
        wanted, chosen = answers[counterpart]
        _fit(supernet, name, archs, images, wanted.double(), chosen)


def _answers_of(
    teacher: nn.Module, layers: Sequence[str], images: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """What layers answer to images at some positions: (P, C), and which of N*H*W these are (P,).

    Image by image, so that no more than one image's features are held, whatever their number.
    """
    random = torch.Generator().manual_seed(0)
    chosen: dict[str, Tensor] = {}
    found: dict[str, list[Tensor]] = {}
    for number, image in enumerate(images.split(1)):
        with hooked(teacher, layers) as answers:
            teacher(image)
        for layer in layers:
            if layer not in answers:
                continue
            rows = answers[layer][0].flatten(1).T  # (H*W, C)
            if layer not in chosen:
                drawn = torch.randperm(len(rows) * len(images), generator=random)[:POSITIONS]
                chosen[layer] = drawn.sort().values.to(rows.device)
            here = chosen[layer] - number * len(rows)
            found.setdefault(layer, []).append(rows[here[(here >= 0) & (here < len(rows))]])
    return {layer: (torch.cat(rows), chosen[layer]) for layer, rows in found.items()}


def _fit(
    supernet: Supernet,
    name: str,
    archs: Sequence[Arch],
    images: Tensor,
    wanted: Tensor,
    chosen: Tensor,
) -> None:
    """Sets one convolution of the supernet; `wanted` (P, C) is the teacher's answer at `chosen`."""
    shared = supernet.shared
    weight, bias = shared[f"{name}.weight"], shared.get(f"{name}.bias")
    first = supernet.skeleton(archs[0]).get_submodule(name)
    assert isinstance(first, Conv)
    turned = _is_turned(first)
    kernel = weight.flip(2, 3).transpose(0, 1) if turned else weight  # (out, in, k, k)
    outputs, unknowns = kernel.shape[0], kernel[0].numel() + 1  # and the bias
    outputs = min(outputs, wanted.shape[1])
    systems: list[tuple[int, Tensor, Tensor]] = []
    for arch in archs:
        conv = supernet.skeleton(arch).get_submodule(name)
        assert isinstance(conv, Conv)
        design = _rows_at(conv, _input_of(supernet, arch, name, images), chosen).double()
        design = torch.cat((design, design.new_ones(len(design), 1)), 1)
        taken = supernet.positions(arch, f"{name}.weight", 0 if turned else 1)
        area = kernel.shape[2] * kernel.shape[3]
        used = (taken[:, None] * area + torch.arange(area)).flatten()
        used = torch.cat((used, torch.tensor([unknowns - 1]))).to(design.device)
        gram, moment = design.new_zeros(unknowns, unknowns), design.new_zeros(unknowns, outputs)
        gram[used[:, None], used] = design.T @ design
        moment[used] = design.T @ wanted[:, :outputs]
        systems.append((min(conv.out_channels, outputs), gram, moment))
    present = kernel.new_zeros(len(kernel), 1) if bias is None else bias[:, None]
    solution = torch.cat((kernel.flatten(1), present), 1).double()
    low = 0
    for high in sorted({width for width, _, _ in systems}):
        gram = torch.stack([g for width, g, _ in systems if width >= high]).sum(0)
        moment = torch.stack([m for width, _, m in systems if width >= high]).sum(0)
        ridge = RIDGE * gram.diagonal().mean()
        gram.diagonal().add_(ridge)
        moment = moment[:, low:high] + ridge * solution[low:high].T
        solution[low:high] = torch.linalg.solve(gram, moment).T
        low = high
    fitted = solution[:, :-1].reshape(kernel.shape).to(kernel.dtype)
    weight.copy_(fitted.transpose(0, 1).flip(2, 3) if turned else fitted)
    if bias is not None:
        bias.copy_(solution[:, -1])


def _is_turned(module: nn.Module) -> bool:
    return isinstance(module, nn.ConvTranspose2d)


def _is_square(conv: Conv) -> bool:
    """Whether it is of the kind that `design_matrix` knows: alike both ways, without dilation."""
    both = [conv.stride, conv.padding, conv.output_padding]
    return set(conv.dilation) == {1} and all(
        not isinstance(given, str) and len(set(given)) == 1 for given in both
    )


def _rows_at(conv: Conv, x: Tensor, chosen: Tensor) -> Tensor:
    """The rows of `design_matrix` whose numbers are `chosen`, rising; made image by image.

    The whole matrix of some large images would not fit into memory.
    """
    found, start = [], 0
    for image in x.split(1):
        rows = design_matrix(conv, image)
        found.append(rows[chosen[(chosen >= start) & (chosen < start + len(rows))] - start])
        start += len(rows)
    return torch.cat(found)


def _unknowns(conv: Conv) -> int:
    """Of each output channel of the widest arch: its kernel, and its bias."""
    return conv.in_channels * conv.kernel_size[0] * conv.kernel_size[1] + 1


class _Seen(Exception):
    """Ends a forward pass once what was asked for has been seen."""


def _input_of(supernet: Supernet, arch: Arch, name: str, images: Tensor) -> Tensor:
    """What the convolution `name` of a subnet is given when the subnet runs on `images`."""
    seen: list[Tensor] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0])
        raise _Seen

    hook = supernet.skeleton(arch).get_submodule(name).register_forward_pre_hook(look)
    try:
        supernet(arch, images)
    except _Seen:
        pass
    finally:
        hook.remove()
    return seen[0]


def design_matrix(conv: Conv, x: Tensor) -> Tensor:
    """The matrix that a convolution multiplies its kernel with: (N*H'*W', in * k * k).

    Its product with the kernel as (in * k * k, out) is the convolution of `x`, row by row. A
    transposed convolution is an ordinary one, with the kernel turned, of its input spread out with
    zeros between.
    """
    kernel = (conv.kernel_size[0], conv.kernel_size[1])
    padding = int(conv.padding[0])
    stride = conv.stride[0]
    if isinstance(conv, nn.ConvTranspose2d):
        n, c, h, w = x.shape
        spread = x.new_zeros(n, c, (h - 1) * stride + 1, (w - 1) * stride + 1)
        spread[:, :, ::stride, ::stride] = x
        before = kernel[0] - 1 - padding
        after = before + conv.output_padding[0]
        x, padding, stride = F.pad(spread, (before, after, before, after)), 0, 1
    elif padding and conv.padding_mode != "zeros":
        x, padding = F.pad(x, (padding,) * 4, mode=conv.padding_mode), 0
    return F.unfold(x, kernel, padding=padding, stride=stride).transpose(1, 2).flatten(0, 1)
