"""A user's own generator: the worked example of the docs, what it leaves to discovery, refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import ownnets
import pytest
import torch

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError, ExportError
from gancompress.export import weights
from gancompress.export.card import Card, ExportSource
from gancompress.nets.families import family_of
from gancompress.nets.families.own import OwnGenerator, check_runs
from gancompress.supernet.cost import CostModel, network_cost
from gancompress.supernet.parts import find_parts
from gancompress.supernet.proof import prove

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "my_generator.py"
PLAIN = "from torch import nn\ndef build(arch):\n    return nn.Conv2d(3, 3, 1)\n"


def own(text: str, folder: Path) -> OwnGenerator:
    path = folder / "net.py"
    path.write_text(text)
    return OwnGenerator(file=str(path))


def test_example_says_its_slots_by_asking_for_them() -> None:
    family = OwnGenerator(file=str(EXAMPLE))
    assert family.width_slots == ("stem.width", "trunk.width", "last.width")
    assert family.stages == family.body == ("trunk",)
    assert family.distilled_layers() == (
        "2",
        "5",
        "6",
        "8",
    )  # the convolution before the blocks, three of four
    assert family_of("own", **family.options) == family
    net = family.build(family.uniform(8, "separable"))
    assert net(torch.zeros(1, 3, 32, 40)).shape == (1, 3, 32, 40)


def test_channels_are_handed_over_where_build_takes_them(tmp_path: Path) -> None:
    text = (
        "from torch import nn\ndef build(arch, in_channels):\n"
        "    return nn.Conv2d(in_channels, arch.width('w'), 1)\n"
    )
    path = tmp_path / "net.py"
    path.write_text(text)
    family = OwnGenerator(in_channels=5, file=str(path))
    net = family.build(family.uniform(7))
    assert isinstance(net, torch.nn.Conv2d) and net.weight.shape == (7, 5, 1, 1)


def test_taps_and_size_multiple_may_be_given(tmp_path: Path) -> None:
    family = own(
        EXAMPLE.read_text() + "\nDISTILLED_LAYERS = ('0', '2')\nSIZE_MULTIPLE = 8\n", tmp_path
    )
    assert family.distilled_layers() == ("0", "2") and family.size_multiple == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN, "asks for no width"),
        ("x = 1", r"no function build\(arch\)"),
        ("import nothing_of_that_name", "does not run .ModuleNotFoundError"),
        ("def build(arch):\n    return arch.width('w')", "gives a int; a module is needed"),
        ("def build(arch):\n    return 1 // (arch.width('w') - 16)", "build fails with an arch"),
        ("def build(arch):\n    arch.width('w'); arch.op('w')\n    " + PLAIN.split("\n    ")[1],
         "name 'nn' is not defined"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArchError, match=message):
        own(text, tmp_path).width_slots  # noqa: B018


@pytest.mark.parametrize("kind", ["spectral_norm", "parametrizations.spectral_norm"])
def test_spectral_norm_of_either_kind_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    wrapped = f"nn.utils.{kind}(nn.Conv2d(3, c, 4, 4)), nn.ReLU(), up, nn.Tanh()"
    family = own(ownnets.LEAST.replace("down, nn.ReLU(), up, nn.Tanh()", wrapped), tmp_path)
    with pytest.raises(ArchError, match=r"net.py: spectral norm of 0.*: it keeps vectors of one"):
        family.width_slots  # noqa: B018
    plain = own(ownnets.LEAST, tmp_path)
    assert plain.width_slots == ("trunk.width",) and plain.stages == ()


def test_weight_norm_is_taken(tmp_path: Path) -> None:
    wrapped = "nn.utils.parametrizations.weight_norm(nn.Conv2d(3, c, 4, 4)), up"
    family = own(ownnets.LEAST.replace("down, nn.ReLU(), up, nn.Tanh()", wrapped), tmp_path)
    arch = family.uniform(12)
    space = family.space([12, 8], ["dense"])
    assert not prove(family.build, space, arch, (3, 8, 8)).unsorted


def test_operator_slots_without_their_ending_are_refused(tmp_path: Path) -> None:
    text = PLAIN.replace("    return", "    arch.width('w'); arch.op('trunk')\n    return")
    with pytest.raises(ArchError, match="operator slot 'trunk'; its name must end in .op"):
        own(text, tmp_path).stages  # noqa: B018


def test_taps_that_the_network_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchError, match="TAPS is called DISTILLED_LAYERS now; rename it"):
        own(EXAMPLE.read_text() + "\nTAPS = ('0', '2')\n", tmp_path).distilled_layers()
    with pytest.raises(ArchError, match="DISTILLED_LAYERS names 'trunk'"):
        own(EXAMPLE.read_text() + "\nDISTILLED_LAYERS = ('trunk',)\n", tmp_path).distilled_layers()


def test_missing_files_are_refused() -> None:
    with pytest.raises(ArchError, match="'nowhere.py' is not there"):
        OwnGenerator(file="nowhere.py").build(Arch.of("own", {"w": 3}))


@pytest.mark.parametrize("name", ["resnet", "stargan"])
def test_found_parts_are_those_that_the_family_states(name: str) -> None:
    family = family_of(name, in_channels=2, blocks=2)
    space = family.space([6, 4, 3], {"down.1": ["dense", "separable"], "body": ["separable"]})
    free = {slot for slot, values in space.choices if len(values) > 1}
    found = {p.name: set(p.slots) for p in find_parts(family.build, space, (2, 16, 16))[0]}
    assert found == {p.name: set(p.slots) & free for p in family.parts()}


def test_networks_whose_parts_do_not_tell_are_measured_as_a_whole(tmp_path: Path) -> None:
    """A child that is called twice, on maps of different sizes, has no cost of its own."""
    text = (
        "from torch import nn\nclass Net(nn.Module):\n"
        "    def __init__(self, w, v):\n        super().__init__()\n"
        "        self.first = nn.Conv2d(3, w, 1)\n        self.same = nn.Conv2d(w, w, 1)\n"
        "        self.last = nn.Conv2d(w, v, 1)\n"
        "    def forward(self, x):\n        x = self.same(self.first(x))\n"
        "        return self.last(x) + self.same(x[..., ::2, ::2]).mean()\n"
        "def build(arch):\n    return Net(arch.width('w'), arch.width('v'))\n"
    )
    family = own(text, tmp_path)
    space = family.space([5, 4, 3], ())
    parts, why = find_parts(family.build, space, (3, 8, 8))
    assert parts == () and "is not that of its children" in why and "called twice" in why
    model, x = CostModel(family.build, parts, (3, 8, 8)), torch.empty(1, 3, 8, 8, device="meta")
    for arch in space.all():
        with torch.device("meta"):
            assert model(arch) == network_cost(family.build(arch), x)


def test_exported_weights_never_run_a_file_by_themselves(tmp_path: Path) -> None:
    family = OwnGenerator(file=str(EXAMPLE))
    net, arch = family.build(family.uniform(4)), family.uniform(4)
    card = Card(family.options, 3, 3, (16, 16), 4)
    weights.write(ExportSource(net, arch, card, torch.zeros(1)), tmp_path)
    with pytest.raises(ExportError, match="code of its maker's own.*file="):
        weights.load(tmp_path)
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(weights.load(tmp_path, file=EXAMPLE)(x), net.eval()(x))


NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.down, self.up = nn.Conv2d(3, c, 4, 4), nn.ConvTranspose2d(c, 3, 4, 4)

    def forward(self, {takes}):
        {first}
        y = self.up(self.down(x).relu()).tanh()
        return {gives}

def build(arch):
    return Net(arch.width("w"))
"""


def net_of(takes: str = "x", first: str = "pass", gives: str = "y") -> str:
    return NET.format(takes=takes, first=first, gives=gives)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (net_of("x, y"), r"forward takes 2 inputs \(x, y\); a generator is given one image .*"),
        (net_of("x, *, style"), r"forward takes 2 inputs \(x, style\); .* or give them defaults"),
        (net_of(gives="y, x"), "the network answers a tuple of 2; one tensor .*return the image"),
        (net_of(gives="{'out': y}"), "answers a dict of 1; one tensor"),
        (net_of(gives="None"), "answers a NoneType; one tensor"),
        (net_of(gives="y.mean((1, 2))"), r"answers a tensor \(1, 16\); one tensor"),
        (net_of(first="x = x * 2 if x.mean() > 0 else x"),
         r"forward asks for the values of a tensor \(line 11\); .*torch.where in place of"),
        (net_of(first="x = x * x.max().item()"), r"asks for the values of a tensor \(line 11\)"),
        (net_of(first="x = x * float(x.numpy().max())"), "asks for the values of a tensor"),
        (net_of(first="x = x @ x[:, :, :3]"), r"fails on an input of \(3, 16, 16\) \(line 11\) "),
        (net_of(first="x = nn.functional.pad(x, [20] * 4, 'reflect')"),
         r"fails on an input of \(3, 16, 16\) \(line 11\) .*or give images of another size"),
    ],
)  # fmt: skip
def test_networks_that_are_no_generators_are_refused_by_what_they_do(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ArchError, match=f"net.py: .*{said}") as caught:
        check_runs(own(text, tmp_path), (3, 16, 16))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [net_of(), net_of("x, style=None"), net_of("x, *more, **other")])
def test_networks_of_one_image_are_taken(text: str, tmp_path: Path) -> None:
    check_runs(own(text, tmp_path), (3, 16, 16))


@pytest.mark.parametrize(
    "made",
    ["torch.compile(Net(w))", "nn.Sequential(torch.compile(Net(w)))", "compiled(Net(w))",
     "torch.compile(nn.Sequential(torch.compile(Net(w))))"],
)  # fmt: skip
def test_what_is_compiled_is_taken_out_of_its_wrapper(made: str, tmp_path: Path) -> None:
    more = "\ndef compiled(net):\n    net.compile()\n    return net\n"
    plain = made.replace("torch.compile", "").replace("compiled", "")
    nets = []
    for name, how in (("a", made), ("b", plain)):
        text = net_of().replace('return Net(arch.width("w"))', f'w = arch.width("w"); return {how}')
        (tmp_path / name).mkdir()
        family = own(text + more, tmp_path / name)
        nets.append(family.build(family.uniform(5)))
    assert list(nets[0].state_dict()) == list(nets[1].state_dict())
    assert all(m._compiled_call_impl is None for m in nets[0].modules())
    nets[0].load_state_dict(nets[1].state_dict())
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(nets[0](x), nets[1](x))


def test_helpers_are_those_beside_the_file_and_leave_no_trace(tmp_path: Path) -> None:
    text = (
        "from blocks_beside import make\n"
        "def build(arch):\n    from pack_beside.inner import TWICE\n"
        "    return make(TWICE * arch.width('w'))\n"
    )
    before, modules = list(sys.path), set(sys.modules)
    families = []
    for kernel in (1, 3):
        folder = tmp_path / str(kernel)
        (folder / "pack_beside").mkdir(parents=True)
        (folder / "pack_beside" / "inner.py").write_text(f"TWICE = {kernel}\n")
        (folder / "blocks_beside.py").write_text(
            f"from torch import nn\ndef make(c):\n    return nn.Conv2d(3, c, {kernel})\n"
        )
        families.append(own(text, folder))
    for family, kernel in zip(families, (1, 3), strict=True):
        net = family.build(family.uniform(5))
        assert isinstance(net, torch.nn.Conv2d)
        assert net.weight.shape == (5 * kernel, 3, kernel, kernel)
    assert sys.path == before
    left = {name for name in set(sys.modules) - modules if "beside" in name}
    assert left == set()
    assert not list(tmp_path.rglob("__pycache__"))


def test_files_with_dataclasses_run(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport typing\n"
        "@dataclass\nclass Form:\n    kind: typing.ClassVar[int] = 3\n    b: int = 4\n"
    )
    family = own(text + net_of(), tmp_path)
    assert family.width_slots == ("w",)
