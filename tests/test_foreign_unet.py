"""pix2pix's U-Net: ours gives its outputs; what is refused."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from foreignnets import read_tensors
from torch import Tensor, nn

from gancompress.errors import CheckpointError
from gancompress.importers import LAYOUTS, Imported
from gancompress.nets.families import family_of
from gancompress.supernet.weights import unpack


class Block(nn.Module):
    """Down, what is inside, up; gives what it was given beside it, but at the image.

    With activations in place, as published: what it was given is changed by the time it is given
    on. Names are the published program's.
    """

    def __init__(
        self, layers: Sequence[nn.Module], inner: nn.Module | None, ups: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers, *([inner] if inner else []), *ups)
        self.is_outermost = isinstance(ups[-1], nn.Tanh)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out if self.is_outermost else torch.cat((x, out), 1)


class Whole(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        self.model = block

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


def published(
    downs: Sequence[int],
    ups: Sequence[int],
    *,
    norm: type[nn.Module] = nn.BatchNorm2d,
    channels: tuple[int, int] = (3, 3),
    dropout: bool = False,
    bias: bool | None = None,
) -> Whole:
    """A U-Net as pix2pix writes it; `downs` and `ups` are channels, the ups' from the innermost."""
    bias, last = norm is not nn.BatchNorm2d if bias is None else bias, len(downs) - 1
    block: Block | None = None
    for i in reversed(range(last + 1)):
        given = downs[i - 1] if i else channels[0]
        made = ups[last - i] if i else channels[1]
        below = downs[i] + (ups[last - i - 1] if i < last else 0)
        down: list[nn.Module] = [nn.Conv2d(given, downs[i], 4, 2, 1, bias=bias)]
        up: list[nn.Module] = [nn.ReLU(True)]
        up.append(nn.ConvTranspose2d(below, made, 4, 2, 1, bias=bias or not i))
        if i:
            down.insert(0, nn.LeakyReLU(0.2, True))
            down += [norm(downs[i])] if i < last else []
            up += [norm(made), *([nn.Dropout(0.5)] if dropout and 0 < i < last else [])]
        else:
            up.append(nn.Tanh())
        block = Block(down, block, up)
    assert block is not None
    return Whole(block)


@torch.no_grad()
def trained(net: nn.Module) -> nn.Module:
    """`net` with norms and statistics that are not the identity."""
    random = torch.Generator().manual_seed(0)
    for name, tensor in net.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=random)
        elif tensor.is_floating_point() and tensor.dim() == 1:
            tensor.normal_(0.2, 0.5, generator=random)
        elif tensor.is_floating_point():
            tensor.normal_(0, (4 / tensor[0].numel()) ** 0.5, generator=random)
    return net


def imported(tmp_path: Path, state: dict[str, Tensor]) -> Imported:
    path = tmp_path / "latest_net_G.pth"
    torch.save(state, path)
    return LAYOUTS["cyclegan"](read_tensors(path), "latest_net_G.pth")


@torch.no_grad()
def difference(found: Imported, theirs: nn.Module, *, training: bool = False) -> float:
    """The largest between their output and ours, on one input."""
    ours = family_of(found.family, **found.options).build(found.arch).train(training)
    unpack(ours, found.tensors, "test")
    side = 2 ** found.options["levels"]
    x = torch.rand(2, found.options["in_channels"], side, 2 * side) * 2 - 1
    return float((ours(x) - theirs.train(training)(x)).abs().max())


FORM = (2, 4, 8, 16, 16), (16, 16, 8, 4, 2)[1:]  # n=2, five levels: full depth is 8n
UNEQUAL = (3, 4, 12, 8, 16), (8, 12, 6, 5)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
@pytest.mark.parametrize("form", [FORM, UNEQUAL, ((2, 4, 8), (4, 2))], ids=["5", "unequal", "3"])
@pytest.mark.parametrize("dropout", [False, True])
def test_unet_gives_its_own_output(
    norm: type[nn.Module],
    form: tuple[Sequence[int], Sequence[int]],
    dropout: bool,
    tmp_path: Path,
) -> None:
    theirs = trained(published(*form, norm=norm, channels=(1, 3), dropout=dropout))
    found = imported(tmp_path, theirs.state_dict())
    assert difference(found, theirs) < 1e-5
    if not dropout:
        assert difference(found, theirs, training=True) < 2e-5  # statistics of a few values
    name = "batch" if norm is nn.BatchNorm2d else "instance"
    levels = len(form[0])
    assert found.options == {"in_channels": 1, "out_channels": 3, "levels": levels, "norm": name}
    assert found.found == (
        f"a pix2pix U-Net: 1 to 3 channels, {levels} levels, {name} norm, "
        f"widths {found.arch.compact}"
    )


def test_unet_256_has_the_program_s_keys_and_parameters(tmp_path: Path) -> None:
    downs, ups = [2, 4, 8, 16, 16, 16, 16, 16], [16, 16, 16, 16, 8, 4, 2]
    theirs = trained(published(downs, ups, dropout=True))
    state = theirs.state_dict()
    innermost = "model.model" + ".1.model" + ".3.model" * 6
    assert {"model.model.0.weight", "model.model.3.bias", f"{innermost}.1.weight"} <= set(state)
    found = imported(tmp_path, state)
    assert found.arch == family_of("unet").uniform(2)
    assert sum(t.numel() for n, t in found.tensors.items() if "running" not in n and "num" not in n
               ) == sum(p.numel() for p in theirs.parameters())  # fmt: skip
    assert difference(found, theirs) < 1e-5


def test_files_without_counters_or_with_unused_statistics_are_read(tmp_path: Path) -> None:
    theirs = trained(published(*FORM))
    old = {k: v for k, v in theirs.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert difference(imported(tmp_path, old), theirs) < 1e-5
    theirs = trained(published(*FORM, norm=nn.InstanceNorm2d))
    state = theirs.state_dict()
    state["model.model.1.model.2.running_mean"] = torch.ones(4)
    state["model.model.1.model.2.running_var"] = torch.ones(4)
    assert difference(imported(tmp_path, state), theirs) < 1e-5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.model.0.weight": None}, "key model.model.0.weight of a pix2pix U-Net is missing"),
        ({"model.model.3.bias": None}, "key model.model.3.bias of a pix2pix U-Net is missing"),
        ({"model.model.9.weight": torch.ones(1)}, "model.model.9.weight is not of a pix2pix U-Net"),
        ({"model.model.1.model.1.weight": torch.ones(4, 2, 3, 3)},
         r"model.1.model.1.weight is \(4, 2, 3, 3\); a pix2pix U-Net has \(any, 2, 4, 4\) here"),
        ({"model.model.1.model.1.weight": torch.ones(5, 2, 4, 4)},
         r"model.1.model.1.weight is \(5, 2, 4, 4\); multiples of 2 channels are allowed here"),
        ({"model.model.1.model.5.weight": torch.ones(9, 2, 4, 4)},
         r"model.1.model.5.weight is \(9, 2, 4, 4\); .* has \(8, any, 4, 4\) here"),
        ({"model.model.1.model.2.running_mean": None}, "model.1.model.2.running_mean .* missing"),
    ],
)  # fmt: skip
def test_the_first_key_that_does_not_fit_is_named(
    changes: dict[str, Tensor | None], said: str, tmp_path: Path
) -> None:
    state = {**published(*FORM).state_dict(), **changes}
    kept = {key: tensor for key, tensor in state.items() if tensor is not None}
    with pytest.raises(CheckpointError, match=f"latest_net_G.pth: .*{said}"):
        imported(tmp_path, kept)
