"""A supernet's first weights: sorted channels, separable kernels, the teacher's own answers."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.distill.initialise import (
    fill_from_teacher,
    importance,
    separable_from_dense,
    sort_channels,
)
from gancompress.nets.families import family_of
from gancompress.nets.families.resnet import ResNetGenerator
from gancompress.nets.layers.blocks import init_normal
from gancompress.supernet.channels import Channels, Moves, permute, sets_of
from gancompress.supernet.layouts import declared
from gancompress.supernet.supernet import Supernet, named_tensors

FAMILY = family_of("resnet", blocks=4)
X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def teacher(width: int = 5, op: str = "dense", seed: int = 0) -> ResNetGenerator:
    """A generator whose weights and biases are all random."""
    net = FAMILY.build(FAMILY.uniform(width, op))
    init_normal(net, torch.Generator().manual_seed(seed), std=0.1)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() == 1:
                parameter.normal_(0, 0.1, generator=generator)
    return net


def tensors(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in named_tensors(net)}


def channels_of(arch: Arch) -> Channels:
    return declared(FAMILY.build, [arch], dict.fromkeys(FAMILY.width_slots, (9, 3)))


def moves_of(arch: Arch, named: dict[str, Tensor], slot: str) -> Moves:
    """The channels of a slot that has one set of them."""
    shapes = {name: tensor.shape for name, tensor in named.items()}
    (moves,) = sets_of(channels_of(arch).layouts, shapes, arch, slot)
    return moves


def run(net: nn.Module, changed: dict[str, Tensor]) -> Tensor:
    return torch.func.functional_call(net, changed, (X,)).detach()


def composed(depthwise: Tensor, pointwise: Tensor) -> Tensor:
    """The dense kernel (out, in, k, k) of a depthwise and a pointwise convolution."""
    return torch.einsum("ikl,oi->oikl", depthwise[:, 0], pointwise[:, :, 0, 0])


def test_separable_from_dense_is_exact_where_the_kernel_is_separable() -> None:
    depthwise, pointwise = torch.randn(6, 1, 3, 3), torch.randn(4, 6, 1, 1)
    kernel = composed(depthwise, pointwise)
    found = separable_from_dense(kernel)
    assert [tuple(t.shape) for t in found] == [(6, 1, 3, 3), (4, 6, 1, 1)]
    torch.testing.assert_close(composed(*found), kernel, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (2, 5, 3, 3), (4, 2, 5, 5), (1, 1, 3, 3)])
def test_separable_from_dense_is_the_best_rank_one_per_channel(shape: tuple[int, ...]) -> None:
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    found = composed(*separable_from_dense(kernel)).numpy()
    for i in range(shape[1]):
        matrix = kernel[:, i].flatten(1).numpy().astype(np.float64)
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        best = values[0] * np.outer(left[:, 0], right[0])
        np.testing.assert_allclose(found[:, i].reshape(best.shape), best, atol=1e-5)
        lost = np.linalg.norm(matrix - found[:, i].reshape(best.shape))
        assert lost == pytest.approx(np.sqrt((values[1:] ** 2).sum()), abs=1e-5)


def test_separable_from_dense_keeps_dtype_and_answers_the_same_twice() -> None:
    kernel = torch.randn(4, 3, 3, 3, dtype=torch.bfloat16)
    one, other = separable_from_dense(kernel), separable_from_dense(kernel.clone())
    assert {t.dtype for t in one} == {torch.bfloat16}
    assert all(map(torch.equal, one, other))
    assert one[0].float().sum((1, 2, 3)).ge(-1e-2).all()  # the sign is fixed by the kernel's sum
    zero = separable_from_dense(torch.zeros(2, 2, 3, 3))
    assert torch.isfinite(zero[0]).all() and zero[1].eq(0).all()


@pytest.mark.parametrize("op", ["dense", "separable"])
def test_sort_channels_keeps_the_function_and_orders_every_slot(op: str) -> None:
    net, arch = teacher(6, op), FAMILY.uniform(6, op)
    changed = sort_channels(tensors(net), channels_of(arch), arch)
    torch.testing.assert_close(run(net, changed), run(net, tensors(net)), rtol=0, atol=1e-5)
    assert any(not torch.equal(changed[n], t) for n, t in tensors(net).items())
    for slot in FAMILY.width_slots:
        scores = importance(changed, moves_of(arch, changed, slot))
        assert (scores[:-1] >= scores[1:] - 1e-6).all(), slot


def test_importance_is_the_share_of_absolute_weight_of_every_tensor() -> None:
    one, two = torch.randn(3, 2, 3, 3), torch.randn(4, 3, 1, 1)
    rows = torch.arange(3)[:, None]
    axes: Moves = {("a", 0): rows, ("a.bias", 0): rows, ("b", 1): rows}
    found = importance({"a": one, "a.bias": torch.full((3,), 99.0), "b": two}, axes)
    expected = (
        one.abs().sum((1, 2, 3)) / one.abs().sum() + two.abs().sum((0, 2, 3)) / two.abs().sum()
    )
    torch.testing.assert_close(found, expected)


def test_importance_moves_with_its_channels() -> None:
    arch, net = FAMILY.uniform(4), teacher(4)
    for slot in FAMILY.width_slots:
        axes = moves_of(arch, tensors(net), slot)
        before = importance(tensors(net), axes)
        order = torch.randperm(len(before), generator=torch.Generator().manual_seed(1))
        after = importance(permute(tensors(net), axes, order), axes)
        torch.testing.assert_close(after, before[order])


def test_importance_of_a_dead_tensor_is_no_nan() -> None:
    rows = torch.arange(2)[:, None]
    axes: Moves = {("a", 0): rows, ("b", 1): rows}
    found = importance({"a": torch.tensor([[1.0], [3.0]]), "b": torch.zeros(2, 2)}, axes)
    torch.testing.assert_close(found, torch.tensor([0.25, 0.75]))


class Kernels(nn.Module):
    """A net whose kernel size is a slot."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        width, kernel = arch.width("width"), arch.width("kernel")
        self.first = nn.Conv2d(3, width, kernel, padding=kernel // 2)
        self.last = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(torch.relu(self.first(x)))
        return out


def test_sort_channels_leaves_kernel_sizes_alone() -> None:
    arch = Arch.of("kernels", {"width": 5, "kernel": 5})
    net = Kernels(arch)
    channels = declared(Kernels, [arch], {"width": (5, 3), "kernel": (5, 3)})
    assert {block.slot for row in channels.layouts.values() for block in row} == {"width"}
    changed = sort_channels(tensors(net), channels, arch)
    torch.testing.assert_close(run(net, changed), run(net, tensors(net)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("op", ["dense", "separable"])
@pytest.mark.parametrize("sort", [False, True])
def test_supernet_filled_from_its_teacher_answers_as_the_teacher(op: str, sort: bool) -> None:
    net, arch = teacher(5, op), FAMILY.uniform(5, op)
    other = {"dense": "separable", "separable": "dense"}[op]
    supernet = Supernet(FAMILY.build, FAMILY.space((5, 3), (op, other)))
    weights = sort_channels(tensors(net), channels_of(arch), arch) if sort else tensors(net)
    before = run(net, tensors(net))
    net.load_state_dict(weights)
    fill_from_teacher(supernet, net)
    with torch.no_grad():
        answer = supernet(arch, X)
        assert torch.equal(answer, net(X))
    torch.testing.assert_close(answer, before, rtol=0, atol=1e-5)


def test_supernet_narrower_than_its_teacher_takes_the_leading_channels() -> None:
    net = teacher(5)
    supernet = Supernet(FAMILY.build, FAMILY.space((4, 2), ("dense",)))
    fill_from_teacher(supernet, net)
    assert torch.equal(supernet.shared["stem.conv.weight"], net.stem.conv.weight[:4])
    own = tensors(net)
    for name, tensor in supernet.shared.items():
        leading = own[name][tuple(slice(n) for n in tensor.shape)]
        assert torch.equal(tensor, leading), name


def test_separable_supernet_takes_the_dense_teacher_s_nearest_kernels() -> None:
    net = teacher(5)
    space: SearchSpace = FAMILY.space((5, 3), ("separable",))
    supernet = Supernet(FAMILY.build, space)
    fill_from_teacher(supernet, net)
    for i in range(4):
        for conv in ("conv1", "conv2"):
            stem = f"body.{i}.{conv}"
            depthwise, pointwise = separable_from_dense(tensors(net)[f"{stem}.weight"])
            assert torch.equal(supernet.shared[f"{stem}.depthwise.weight"], depthwise)
            assert torch.equal(supernet.shared[f"{stem}.pointwise.weight"], pointwise)
    assert torch.equal(supernet.shared["head.weight"], net.head.weight)
