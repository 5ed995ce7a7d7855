"""Networks without values: shapes as torch gives them, and its refusals."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.supernet.skeletons import _RESULTS, ShapesAlone, without_values


def conv(*sizes: int, **settings: int) -> Callable[[Tensor], Tensor]:
    return lambda x: F.conv2d(x, torch.ones(sizes, device=x.device), **settings)


def transposed(*sizes: int, **settings: int) -> Callable[[Tensor], Tensor]:
    return lambda x: F.conv_transpose2d(x, torch.ones(sizes, device=x.device), **settings)


CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "conv": conv(6, 4, 3, 3),
    "strided": conv(6, 4, 4, 4, stride=2, padding=1),
    "dilated groups": conv(6, 2, 3, 3, dilation=2, groups=2, padding=3),
    "transposed": transposed(4, 5, 3, 3, stride=2, padding=1, output_padding=1),
    "transposed groups": transposed(4, 5, 4, 4, stride=2, dilation=2, groups=2),
    "relu": torch.relu,
    "leaky relu": lambda x: F.leaky_relu(x, 0.2),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "sum": lambda x: x + x,
    "sum with a number": lambda x: x + 1,
    "broadcast sum": lambda x: x + x[:, :1],
    "broadcast product": lambda x: x[:, :, :1] * x,
    "product": lambda x: x * x,
    "weighted sum": lambda x: torch.add(x, x, alpha=2),
    "in place": lambda x: x.clone().add_(x),
    "reflected": lambda x: F.pad(x, (1, 2, 3, 4), mode="reflect"),
    "joined": lambda x: torch.cat([x, x[:, :1], x], 1),
    "joined from behind": lambda x: torch.cat([x, x[..., :2]], -1),
    "pooled": lambda x: F.avg_pool2d(x, 2),
    "pooled with edges": lambda x: F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False),
    "pooled overlapping": lambda x: F.avg_pool2d(x, 3, stride=2, padding=1),
    "enlarged": lambda x: F.interpolate(x, size=(18, 21)),
    "enlarged twice": lambda x: F.interpolate(x, scale_factor=2),
    "doubles": lambda x: torch.relu(x.double()) + x.double(),
    "mixed": lambda x: x + x.double(),
    "integers": lambda x: torch.tanh(torch.ones_like(x, dtype=torch.int64)),
    "new": lambda x: x.new_empty(2, 3),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_shapes_and_types_are_those_of_real_results(call: Callable[[Tensor], Tensor]) -> None:
    real = call(torch.rand(2, 4, 9, 7))
    with ShapesAlone():
        found = call(torch.empty(2, 4, 9, 7, device="meta", requires_grad=True))
    assert (found.shape, found.dtype) == (real.shape, real.dtype) and found.is_meta
    assert found.is_contiguous()


def test_what_is_answered_is_tried_above() -> None:
    assert len(_RESULTS) == 13


@pytest.mark.parametrize(
    "call",
    [
        conv(6, 3, 3, 3),
        conv(6, 4, 11, 11),
        lambda x: F.pad(x, (7, 0, 0, 0), mode="reflect"),
        lambda x: torch.cat([x, x[..., 1:]], 1),
        lambda x: F.avg_pool2d(x, 8),
        lambda x: x + x[:, :3],
    ],
)
def test_what_torch_refuses_is_refused(call: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(RuntimeError):
        call(torch.rand(2, 4, 9, 7))
    with ShapesAlone(), pytest.raises(RuntimeError):
        call(torch.empty(2, 4, 9, 7, device="meta"))


def test_other_devices_compute() -> None:
    x = torch.linspace(-1, 1, 8)
    with ShapesAlone():
        assert torch.equal(torch.relu(x) + x, x.clamp_min(0) + x)


def test_modules_without_values_have_every_tensor_and_draw_none() -> None:
    def made() -> nn.Module:
        layers = (
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.Linear(4, 2),
            nn.ConvTranspose2d(2, 3, 4),
        )
        return nn.Sequential(*layers)

    real, before = made(), torch.get_rng_state()
    with without_values():
        empty = made()
    assert torch.equal(torch.get_rng_state(), before)
    shapes = {name: (x.shape, x.dtype) for name, x in empty.state_dict().items()}
    assert shapes == {name: (x.shape, x.dtype) for name, x in real.state_dict().items()}
    assert all(x.is_meta for x in empty.state_dict().values())
