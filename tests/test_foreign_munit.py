"""MUNIT's generators, and GAN Compression's: ours give their outputs; what is refused."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from foreignnets import read_tensors
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import CheckpointError
from gancompress.importers import LAYOUTS, Imported, read_generator
from gancompress.nets.families import family_of
from gancompress.supernet.weights import unpack

STYLE = 3
WIDTHS = (4, 4, 4, 4, 4, 4, 4, 4, 4)
UNEQUAL = (5, 3, 4, 6, 2, 3, 5, 4, 7)

Normalise = Callable[[Tensor], Tensor]


class Layer(nn.Module):
    """Reflection, convolution, what normalises (handed over in the call), activation."""

    def __init__(self, a: int, b: int, kernel: int, *, stride: int = 1, separable: bool = False):
        super().__init__()
        self.padding = (kernel - 1) // 2
        self.conv: nn.Module = nn.Conv2d(a, b, kernel, stride)
        if separable:
            self.conv = nn.Module()
            self.conv.conv = nn.Sequential(
                nn.Conv2d(a, a, kernel, groups=a), nn.InstanceNorm2d(a), nn.Conv2d(a, b, 1)
            )

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv if isinstance(self.conv, nn.Conv2d) else self.conv.conv
        out: Tensor = conv(F.pad(x, (self.padding,) * 4, mode="reflect"))
        return out


class Gains(nn.Module):
    """The layer norm's two vectors."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta = (nn.Parameter(torch.randn(channels)) for _ in range(2))


class Buffers(nn.Module):
    """What MUNIT's AdaIN keeps without using it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))


def sequence(*modules: nn.Module) -> nn.Module:
    """Modules under the name `model`, numbered."""
    made = nn.Module()
    made.model = nn.Sequential(*modules)
    return made


class Foreign(nn.Module):
    """An auto-encoder with the published keys, its arithmetic written out function by function."""

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        *,
        blocks: int = 4,
        separable: bool = False,
        buffers: bool = True,
        channels: tuple[int, int] = (3, 3),
    ) -> None:
        super().__init__()
        c0, c1, trunk = widths[0], 2 * widths[1], 4 * widths[2]
        self.trunk, self.blocks = trunk, blocks
        up0, up1 = 2 * widths[7], widths[8]

        def body(inner: Sequence[int]) -> nn.Module:
            return sequence(*(
                sequence(Layer(trunk, i, 3, separable=separable),
                         Layer(i, trunk, 3, separable=separable)) for i in inner
            ))  # fmt: skip

        halves = [2 * i // blocks for i in range(blocks)]
        self.inner = [4 * widths[5 + half] for half in halves]
        encoder = body([4 * widths[3 + half] for half in halves])
        self.enc_style = sequence(Layer(channels[0], c0, 7))
        self.enc_content = sequence(
            Layer(channels[0], c0, 7), Layer(c0, c1, 4, stride=2),
            Layer(c1, trunk, 4, stride=2), encoder,
        )  # fmt: skip
        ups = [Layer(trunk, up0, 5, separable=separable), Layer(up0, up1, 5, separable=separable)]
        for up, c in zip(ups, (up0, up1), strict=True):
            up.norm = Gains(c)
        decoder = body(self.inner)
        if buffers:
            for i, inner in enumerate(self.inner):
                for layer, c in zip(decoder.model[i].model, (inner, trunk), strict=True):
                    layer.norm = Buffers(c)
        again = [nn.Upsample(scale_factor=2) for _ in range(2)]
        head = Layer(up1, channels[1], 7)
        self.dec = sequence(decoder, again[0], ups[0], again[1], ups[1], head)
        rows = sum(2 * (inner + trunk) for inner in self.inner)
        linear = [nn.Module() for _ in range(3)]
        for layer, (a, b) in zip(linear, ((STYLE, 5), (5, 5), (5, rows)), strict=True):
            layer.fc = nn.Linear(a, b)
        self.mlp = sequence(*linear)

    def encode(self, x: Tensor) -> Tensor:
        *stages, body = self.enc_content.model
        for stage in stages:
            x = F.relu(F.instance_norm(stage(x)))
        for block in body.model:
            first, second = block.model
            hidden = F.relu(F.instance_norm(first(x)))
            x = x + F.instance_norm(second(hidden))
        return x

    def decode(self, x: Tensor, style: Tensor) -> Tensor:
        one, two, three = (layer.fc for layer in self.mlp.model)
        rows = three(F.relu(two(F.relu(one(style)))))
        body, _, up0, _, up1, head = self.dec.model
        for block, inner in zip(body.model, self.inner, strict=True):
            hidden = x
            for layer, c in zip(block.model, (inner, self.trunk), strict=True):
                shift, scale, rows = rows[:, :c], rows[:, c : 2 * c], rows[:, 2 * c :]
                hidden = F.instance_norm(layer(hidden)) * scale[..., None, None]
                hidden = hidden + shift[..., None, None]
                hidden = F.relu(hidden) if layer is block.model[0] else hidden
            x = x + hidden
        assert rows.shape[1] == 0
        for up in (up0, up1):
            x = up(x.repeat_interleave(2, 2).repeat_interleave(2, 3))
            flat = x.flatten(1)
            mean, std = (v[:, None, None, None] for v in (flat.mean(1), flat.std(1)))
            x = (x - mean) / (std + 1e-5)
            x = F.relu(x * up.norm.gamma[:, None, None] + up.norm.beta[:, None, None])
        return torch.tanh(head(x))


def pair() -> tuple[Foreign, Foreign]:
    torch.manual_seed(0)
    return Foreign(), Foreign()


def imported(tmp_path: Path, held: object, part: str | None = None, name: str = "munit"
             ) -> Imported:  # fmt: skip
    path = tmp_path / "gen_01000000.pt"
    torch.save(held, path)
    return LAYOUTS[name](read_tensors(path, part), "gen_01000000.pt")


@torch.no_grad()
def difference(found: Imported, encoder: Foreign, decoder: Foreign) -> float:
    """The largest between their output and ours, on one input, in float64.

    In float32 the norms inside of separable convolutions magnify rounding to 1e-4.
    """
    ours = family_of(found.family, **found.options).build(found.arch).eval()
    unpack(ours, found.tensors, "test")
    for net in (ours, encoder, decoder):
        net.double()
    images = found.options["in_channels"] - STYLE
    x, style = torch.rand(2, images, 16, 24).double() * 2 - 1, torch.randn(2, STYLE).double()
    channels = style[:, :, None, None].expand(-1, -1, 16, 24)
    theirs = decoder.decode(encoder.encode(x), style)
    return float((ours(torch.cat((x, channels), 1)) - theirs).abs().max())


@pytest.mark.parametrize("part", ["a2b", "b2a"])
def test_munit_pair_gives_the_output_of_one_s_encoder_and_the_other_s_decoder(
    part: str, tmp_path: Path
) -> None:
    a, b = pair()
    found = imported(tmp_path, {"a": a.state_dict(), "b": b.state_dict()}, part)
    source, to = (a, b) if part == "a2b" else (b, a)
    assert difference(found, source, to) < 1e-10
    assert difference(found, to, source) > 1e-3  # the way back is another network
    wanted = {"in_channels": 6, "out_channels": 3, "style": STYLE, "blocks": 4, "mlp": 5}
    assert found.options == wanted and found.family == "munit"
    assert found.found == (
        "a MUNIT generator: 3 to 3 channels, style of 3 numbers, twice 4 dense residual blocks, "
        f"widths {found.arch.compact}"
    )


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("layout", ["munit", "gan-compression"])
def test_compressed_munit_of_unequal_widths_gives_its_own_output(
    separable: bool, layout: str, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    theirs = Foreign(UNEQUAL, separable=separable, buffers=False, channels=(1, 2))
    found = imported(tmp_path, theirs.state_dict(), name=layout)
    assert found.arch.compact == "_".join(map(str, UNEQUAL))
    assert found.arch.op("up.1.op") == ("separable" if separable else "dense")
    assert found.arch.op("stem.op") == "dense"
    assert difference(found, theirs, theirs) < 1e-10


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_munit_of_other_depths_gives_its_own_output(blocks: int, tmp_path: Path) -> None:
    torch.manual_seed(2)
    theirs = Foreign(blocks=blocks, buffers=False)
    state = theirs.state_dict()
    without = {k: v for k, v in state.items() if not k.startswith("enc_style.")}
    found = imported(tmp_path, without)
    assert found.options["blocks"] == blocks and difference(found, theirs, theirs) < 1e-10


def test_an_auto_encoder_of_one_domain_is_refused(tmp_path: Path) -> None:
    a, b = pair()
    held = {"a": a.state_dict(), "b": b.state_dict()}
    expected = (
        "gen_01000000.pt: holds encoder and decoder of the same domain; name the domains from "
        "which and to which the generator leads, such as --part a2b"
    )
    with pytest.raises(CheckpointError) as caught:
        imported(tmp_path, held, "a")
    assert str(caught.value) == expected
    with pytest.raises(CheckpointError, match=expected):
        read_generator(tmp_path / "gen_01000000.pt", "munit")
    with pytest.raises(CheckpointError, match="no part 'a2c'; it has a, b"):
        imported(tmp_path, held, "a2c")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"enc_content.model.0.conv.weight": None},
         "key enc_content.model.0.conv.weight of a MUNIT generator is missing"),
        ({"dec.model.5.conv.bias": None}, "key dec.model.5.conv.bias of a MUNIT .* missing"),
        ({"dec.model.6.conv.bias": torch.ones(1)}, "dec.model.6.conv.bias is not of a MUNIT"),
        ({"mlp.model.2.fc.weight": torch.ones(7, 5)},
         r"mlp.model.2.fc.weight is \(7, 5\); a MUNIT generator has \(256, 5\) here"),
        ({"enc_content.model.1.conv.weight": torch.ones(7, 4, 4, 4),
          "enc_content.model.1.conv.bias": torch.ones(7)},
         r"model.1.conv.weight is \(7, 4, 4, 4\); multiples of 2 channels are allowed here"),
        ({"enc_content.model.3.model.1.model.0.conv.weight": torch.ones(8, 16, 3, 3),
          "enc_content.model.3.model.1.model.0.conv.bias": torch.ones(8)},
         "3.model.1.model.0.conv.weight is .*; 2 as encoder.0.width, where .* half .* has 4"),
    ],
)  # fmt: skip
def test_the_first_key_that_does_not_fit_is_named(
    changes: dict[str, Tensor | None], said: str, tmp_path: Path
) -> None:
    state = {**Foreign(buffers=False).state_dict(), **changes}
    kept = {key: tensor for key, tensor in state.items() if tensor is not None}
    with pytest.raises(CheckpointError, match=f"gen_01000000.pt: .*{said}"):
        imported(tmp_path, kept)
