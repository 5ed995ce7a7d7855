"""Least-squares first weights: the algebra, and that they serve narrow subnets."""

import pytest
import torch
from torch import nn

from gancompress.distill import calibrate as calibrating
from gancompress.distill.calibrate import calibrate, design_matrix
from gancompress.distill.initialise import fill_from_teacher, sort_channels
from gancompress.nets.families import family_of
from gancompress.nets.families.resnet import ResNet
from gancompress.nets.layers.blocks import Conv, dense, init_normal
from gancompress.supernet.layouts import declared
from gancompress.supernet.supernet import Supernet

CONVS = [
    dense(Conv(3, 4, 7, padding=3, padding_mode="reflect")),
    nn.Conv2d(3, 4, 3, stride=2, padding=1),
    nn.Conv2d(3, 4, 1),
    nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1),
    nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1),
]


@pytest.mark.parametrize("conv", CONVS, ids=lambda conv: repr(conv)[:40])
def test_design_matrix_times_kernel_is_the_convolution(conv: nn.Module) -> None:
    assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and conv.bias is not None
    x = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    kernel = conv.weight
    if isinstance(conv, nn.ConvTranspose2d):
        kernel = kernel.flip(2, 3).transpose(0, 1)
    rows = design_matrix(conv, x) @ kernel.flatten(1).T + conv.bias
    expected = conv(x)
    found = rows.reshape(2, *expected.shape[2:], 4).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected)


def small_teacher(op: str) -> tuple[ResNet, nn.Module, Supernet, torch.Tensor]:
    family = family_of("resnet", blocks=2)
    arch = family.uniform(8)
    teacher = family.build(arch).eval()
    init_normal(teacher, torch.Generator().manual_seed(1), std=0.1)
    channels = declared(family.build, [arch], dict.fromkeys(family.width_slots, (8, 4)))
    ordered = sort_channels(dict(teacher.named_parameters()), channels, arch)
    teacher.load_state_dict(ordered)
    supernet = Supernet(family.build, family.space([8, 4], [op])).eval()
    fill_from_teacher(supernet, teacher)
    coarse = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    return family, teacher, supernet, nn.functional.interpolate(coarse, size=(32, 32)).tanh()


@torch.no_grad()
def test_calibrating_the_teachers_own_arch_changes_nothing_in_its_output() -> None:
    family, teacher, supernet, images = small_teacher("dense")
    calibrate(supernet, teacher, [family.uniform(8)], images)
    found = supernet(family.uniform(8), images)
    torch.testing.assert_close(found, teacher(images), atol=1e-4, rtol=0)


@torch.no_grad()
def test_calibrated_subnets_come_closer_to_the_teacher() -> None:
    family, teacher, supernet, images = small_teacher("separable")
    archs = [family.uniform(width, "separable") for width in (8, 4)]
    expected = teacher(images)

    def distances() -> list[float]:
        return [float((supernet(arch, images) - expected).abs().mean()) for arch in archs]

    before = distances()
    calibrate(supernet, teacher, archs, images[:4])
    after = distances()
    assert all(now < 0.9 * then for now, then in zip(after, before, strict=True)), (before, after)


def test_rows_made_image_by_image_are_those_of_the_whole_matrix() -> None:
    conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    x = torch.randn(3, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    chosen = torch.tensor([0, 1, 23, 24, 30, 70, 71])  # of 24 an image; none of some is fine too
    whole = design_matrix(conv, x)
    assert torch.equal(calibrating._rows_at(conv, x, chosen), whole[chosen])
    assert torch.equal(calibrating._rows_at(conv, x, chosen[:2]), whole[:2])


@torch.no_grad()
def test_convolutions_of_many_unknowns_keep_the_teachers_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    family, teacher, supernet, images = small_teacher("dense")
    before = {name: tensor.clone() for name, tensor in supernet.shared.items()}
    monkeypatch.setattr(calibrating, "MOST_UNKNOWNS", 16 * 9 + 1)  # of the first up stage's output
    calibrate(supernet, teacher, [family.uniform(8), family.uniform(4)], images)
    fitted = {n.removesuffix(".weight") for n, t in supernet.shared.items()
              if n.endswith("weight") and not torch.equal(t, before[n])}  # fmt: skip
    # The trunk has 32 channels; stem 3 x 7 x 7, the downs 8 and 16, the second up 16.
    assert {"down.0.conv", "down.1.conv", "up.1.conv"} <= fitted
    assert not any(name.startswith(("body", "up.0", "head")) for name in fitted)
