"""Small generators of every kind of input that the web page knows."""

from __future__ import annotations

import torch

from gancompress.export.card import Card, ExportSource
from gancompress.export.facts import Facts
from gancompress.nets.families import family_of

CLASSES = ("sky", "grass", "water", "road")
KINDS = {  # facts, channels in and out, family options, whether the size is fixed
    "image": (Facts(recipe="toy"), 3, 3, {}, False),
    "grey": (Facts(), 1, 1, {}, True),
    "classes": (Facts(classes=CLASSES), 5, 3, {}, False),
    "domains": (Facts(domains=("day", "night"), labels="exclusive"), 5, 3, {}, False),
    "style": (Facts(style_planes="the last 2"), 5, 3, {"style": 2}, False),
}


def source(kind: str) -> ExportSource:
    facts, inputs, outputs, options, is_static = KINDS[kind]
    family = family_of("resnet", in_channels=inputs, out_channels=outputs, blocks=1)
    arch = family.uniform(4)
    torch.manual_seed(3)
    net = family.build(arch).eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter.mul_(3)  # so that outputs spread over [-1, 1]
    card = Card({**family.options, **options}, inputs, outputs, (32, 40), 4, is_static, facts=facts)
    x = torch.rand((1, inputs, 32, 40), generator=torch.Generator().manual_seed(0)) * 2 - 1
    if kind == "classes":
        numbers = torch.arange(40).expand(32, 40) * 4 // 40
        x = torch.nn.functional.one_hot(numbers, 5).permute(2, 0, 1)[None].float()
    return ExportSource(net, arch, card, x)


def of_vectors() -> ExportSource:
    """A generator of 16 pixels that takes five random numbers and nothing else."""
    family = family_of("progan", in_channels=5, size=16)
    arch = family.uniform(1)
    torch.manual_seed(3)
    net = family.build(arch).eval().requires_grad_(False)
    card = Card(family.options, 5, 3, (1, 1), 1, True, facts=Facts(latent=5))
    return ExportSource(net, arch, card, torch.randn(1, 5, 1, 1))
