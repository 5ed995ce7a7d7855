"""SPADE's generators and GAN Compression's: ours give their outputs; what is refused."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from foreignnets import Separable, randomised, read_tensors
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import CheckpointError
from gancompress.importers import LAYOUTS, Imported
from gancompress.nets.families import family_of
from gancompress.supernet.weights import unpack

UNEQUAL = (3, 2, 4, 3, 2, 5, 3, 4)
PLANES = 4


@pytest.fixture(autouse=True)
def same_weights() -> None:
    torch.manual_seed(0)


class Norm(nn.Module):
    """SPADE with the names of its program; statistics of more channels than there are."""

    def __init__(self, channels: int, hidden: int, separable: bool, kept: int) -> None:
        super().__init__()

        def conv() -> nn.Module:
            if separable:
                found = Separable(hidden, channels)
                found.conv[0] = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
                return found
            return nn.Conv2d(hidden, channels, 3, padding=1)

        self.param_free_norm = nn.BatchNorm2d(max(channels, kept), affine=False)
        self.mlp_shared = nn.Sequential(nn.Conv2d(PLANES, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma, self.mlp_beta = conv(), conv()

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        norm = self.param_free_norm
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None
        channels = x.shape[1]
        x = F.batch_norm(x, mean[:channels], variance[:channels])
        hidden = self.mlp_shared(F.interpolate(labels, x.shape[2:]))
        out: Tensor = x * (1 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)
        return out


class Block(nn.Module):
    def __init__(self, sizes: Sequence[int], hidden: int, separable: bool, kept: int) -> None:
        super().__init__()
        before, inner, behind = sizes
        self.is_changing = before != behind
        self.conv_0 = nn.Conv2d(before, inner, 3, padding=1)
        self.conv_1 = nn.Conv2d(inner, behind, 3, padding=1)
        self.norm_0 = Norm(before, hidden, separable, kept)
        self.norm_1 = Norm(inner, hidden, separable, kept)
        if self.is_changing:
            self.conv_s = nn.Conv2d(before, behind, 1, bias=False)
            self.norm_s = Norm(before, hidden, separable, kept)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        past: Tensor = self.conv_s(self.norm_s(x, labels)) if self.is_changing else x
        x = self.conv_0(F.leaky_relu(self.norm_0(x, labels), 0.2))
        out: Tensor = past + self.conv_1(F.leaky_relu(self.norm_1(x, labels), 0.2))
        return out


class Generator(nn.Module):
    """Its program's generator in the form with six enlargements."""

    def __init__(self, widths: Sequence[int], *, separable: bool = False, kept: int = 0) -> None:
        super().__init__()
        trunk = 16 * widths[0]
        self.fc = nn.Conv2d(PLANES, trunk, 3, padding=1)
        names = ("head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3")
        before = trunk
        for name, width, unit in zip(names, widths[1:], (16, 16, 16, 8, 4, 2, 1), strict=True):
            behind = unit * width if name.startswith("up") else trunk
            sizes = (before, unit * width, behind)
            self.add_module(name, Block(sizes, 2 * width, separable, kept))
            before = behind
        self.conv_img = nn.Conv2d(before, 3, 3, padding=1)

    def forward(self, labels: Tensor) -> Tensor:
        x = self.fc(F.interpolate(labels, scale_factor=1 / 64))
        for name, block in self.named_children():
            if isinstance(block, Block):
                if name != "head_0":
                    x = F.interpolate(x, scale_factor=2)
                x = block(x, labels)
        return torch.tanh(self.conv_img(F.leaky_relu(x, 0.2)))


def imported(tmp_path: Path, state: Mapping[str, Tensor]) -> Imported:
    path = tmp_path / "latest_net_G.pth"
    torch.save(dict(state), path)
    return LAYOUTS["spade"](read_tensors(path), "latest_net_G.pth")


def difference(found: Imported, theirs: nn.Module) -> float:
    """The largest between their output and ours, on one batch of label channels."""
    ours = family_of("spade", **found.options, upsamplings=6).build(found.arch).eval()
    unpack(ours, found.tensors, "test")
    labels = torch.randint(PLANES, (2, 8, 16), generator=torch.Generator().manual_seed(0))
    channels = F.one_hot(labels, PLANES).permute(0, 3, 1, 2).float()
    channels = F.interpolate(channels, scale_factor=16)
    with torch.no_grad():
        expected = theirs(channels)
        assert expected.abs().mean() < 0.9 and expected.std() > 0.01  # not all at an end
        return float((ours(channels) - expected).abs().max())


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("kept", [0, 96])
def test_spade_generator_gives_its_own_output(separable: bool, kept: int, tmp_path: Path) -> None:
    with torch.no_grad():
        theirs = randomised(Generator(UNEQUAL, separable=separable, kept=kept)).eval()
    found = imported(tmp_path, theirs.state_dict())
    assert difference(found, theirs) < 1e-5
    assert found.options == {"in_channels": PLANES, "out_channels": 3}
    op = "separable" if separable else "dense"
    assert found.arch == family_of("spade").arch(UNEQUAL, op)
    assert found.found == f"a SPADE generator: 4 to 3 channels, {op} norms, widths 3_2_4_3_2_5_3_4"


def test_spectral_norm_of_the_training_program_is_folded(tmp_path: Path) -> None:
    with torch.no_grad():
        theirs = randomised(Generator((2,) * 8))
    for block in theirs.children():
        if isinstance(block, Block):
            for conv in (
                block.conv_0,
                block.conv_1,
                *([block.conv_s] if block.is_changing else []),
            ):
                nn.utils.spectral_norm(conv)
    theirs(torch.rand(2, PLANES, 64, 128))  # one power iteration
    state = theirs.eval().state_dict()
    assert any(key.endswith("weight_orig") for key in state)
    assert difference(imported(tmp_path, state), theirs) < 1e-5


def test_a_file_from_before_batches_were_counted_is_read(tmp_path: Path) -> None:
    with torch.no_grad():
        theirs = randomised(Generator((2,) * 8)).eval()
    state = {k: v for k, v in theirs.state_dict().items() if "num_batches" not in k}
    assert difference(imported(tmp_path, state), theirs) < 1e-5


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"fc.weight": None}, "latest_net_G.pth: key fc.weight of a SPADE generator is missing"),
        # With a style encoder the first layer is a dense one.
        ({"fc.weight": (512, 256)}, r"fc.weight is \(512, 256\); .* has \(any, any, 3, 3\) here"),
        (
            {"up_4.conv_0.weight": (1, 1, 3, 3)},
            "key up_4.conv_0.weight is not of a SPADE generator",
        ),
        (
            {"up_1.conv_0.weight": (6, 16, 3, 3), "up_1.conv_0.bias": (6,)},
            r"up_1.conv_0.weight is \(6, 16, 3, 3\); multiples of 4 channels are",
        ),
        ({"up_1.norm_s.mlp_beta.bias": (3,)}, r"mlp_beta.bias is \(3,?\); a SPADE generator has"),
        # SPADE's own program has 128 channels there whatever the width.
        ({"head_0.norm_0.mlp_shared.0.weight": (128, 4, 3, 3)}, r"has \(4, 4, 3, 3\) here"),
        (
            {"up_0.norm_1.param_free_norm.running_mean": (3,)},
            r"running_mean is \(3,?\); 16 channels are normed",
        ),
        (
            {"up_0.norm_1.param_free_norm.running_var": None},
            "running_var of a SPADE .* is missing",
        ),
    ],
)
def test_other_files_are_refused_by_key(
    changes: Mapping[str, tuple[int, ...] | None], text: str, tmp_path: Path
) -> None:
    state = Generator((2,) * 8).state_dict()
    for key, shape in changes.items():
        state.pop(key, None)
        if shape is not None:
            state[key] = torch.zeros(shape)
    with pytest.raises(CheckpointError, match=text):
        imported(tmp_path, state)
