"""Discriminators: published counts, shapes, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from gancompress.errors import ArchError
from gancompress.nets.discriminators.patch import StarGANDiscriminator
from gancompress.nets.layers.features import ONE, Bands

BANDS = {"0": ONE, ".25": Bands(0.25), ".25 .25": Bands(0.25, 0.25), ".5 .25": Bands(0.5, 0.25)}


def params(discriminator: torch.nn.Module) -> int:
    return sum(p.numel() for p in discriminator.parameters())


# FACTS.md, section 12: the discriminators of Tobar and Torres 2020, alpha 1/8, images of 128. Five
# labels in place of eight: a 2x2 kernel from 2048 channels less, three times.
@pytest.mark.parametrize(("labels", "fewer"), [(8, 0), (5, 3 * 2048 * 4)], ids=["RaFD", "CelebA"])
@pytest.mark.parametrize(
    ("beta", "count"),
    [(0.0, 44_786_624), (0.125, 43_494_336), (0.25, 42_628_032), (0.5, 42_173_376)],
)
def test_stargan_discriminator_has_the_published_parameters(
    labels: int, fewer: int, beta: float, count: int
) -> None:
    with torch.device("meta"):
        discriminator = StarGANDiscriminator(3, labels, (128, 128), bands=Bands(0.125, beta))
    assert params(discriminator) == count - fewer


def test_stargan_discriminator_of_one_band_has_as_many_parameters_as_of_two() -> None:
    with torch.device("meta"):
        assert params(StarGANDiscriminator(3, 8, (128, 128))) == 44_786_624


@pytest.mark.parametrize("name", BANDS)
def test_stargan_discriminator_judges_patches_and_labels(name: str) -> None:
    discriminator = StarGANDiscriminator(3, 5, (32, 48), width=8, layers=4, bands=BANDS[name])
    widths = [8, 16, 32, 64]
    biases = [p for n, p in discriminator.named_parameters() if n.endswith("bias")]
    assert sum(b.numel() for b in biases) == sum(widths)  # one of each channel, none of the heads
    logits, classes = discriminator(torch.rand(2, 3, 32, 48))
    assert logits.shape == (2, 1, 2, 3) and classes.shape == (2, 5, 1, 1)


@pytest.mark.parametrize(("layers", "bands"), [(1, ONE), (2, Bands(0.5)), (4, Bands(0.5, 0.25))])
def test_stargan_discriminator_takes_the_fewest_layers_that_its_bands_need(
    layers: int, bands: Bands
) -> None:
    logits, _ = StarGANDiscriminator(3, 2, (16, 16), width=4, layers=layers, bands=bands)(
        torch.rand(1, 3, 16, 16)
    )
    assert logits.shape[-1] == 16 // 2**layers
    if bands != ONE:
        with pytest.raises(
            ArchError, match=rf"discriminator: {layers - 1} layers with bands .*at least"
        ):
            StarGANDiscriminator(3, 2, (16, 16), layers=layers - 1, bands=bands)


def test_stargan_discriminator_refuses_sizes_that_it_cannot_halve() -> None:
    with pytest.raises(ArchError, match=r"size \[96, 128\]; with 6 layers multiples of 64"):
        StarGANDiscriminator(3, 2, (96, 128))
