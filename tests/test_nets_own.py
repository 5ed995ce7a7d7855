"""A user's own generator: the worked example of the docs, what it leaves to discovery, refusals."""

from __future__ import annotations

from pathlib import Path

import ownnets
import pytest
import torch

from gancompress.arch import Arch
from gancompress.cost import CostModel, network_cost
from gancompress.errors import ArchError, ExportError
from gancompress.export import weights
from gancompress.export.card import Card, Source
from gancompress.nets import FAMILIES
from gancompress.nets.own import OwnGenerator
from gancompress.parts import find_parts
from gancompress.proof import prove

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
    assert family.taps() == ("2", "5", "6", "8")  # the convolution before the blocks, three of four
    assert FAMILIES["own"](**family.options) == family
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
    family = own(EXAMPLE.read_text() + "\nTAPS = ('0', '2')\nSIZE_MULTIPLE = 8\n", tmp_path)
    assert family.taps() == ("0", "2") and family.size_multiple == 8


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
    with pytest.raises(ArchError, match="TAPS names 'trunk'"):
        own(EXAMPLE.read_text() + "\nTAPS = ('trunk',)\n", tmp_path).taps()


def test_missing_files_are_refused() -> None:
    with pytest.raises(ArchError, match="'nowhere.py' is not there"):
        OwnGenerator(file="nowhere.py").build(Arch.of("own", {"w": 3}))


@pytest.mark.parametrize("name", ["resnet", "stargan"])
def test_found_parts_are_those_that_the_family_states(name: str) -> None:
    family = FAMILIES[name](in_channels=2, blocks=2)
    space = family.space([6, 4, 3], {"down.1": ["dense", "separable"], "body": ["separable"]})
    free = {slot for slot, values in space.choices if len(values) > 1}
    found = {p.name: set(p.slots) for p in find_parts(family.build, space, (2, 16, 16))}
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
    parts = find_parts(family.build, space, (3, 8, 8))
    assert parts == ()
    model, x = CostModel(family.build, parts, (3, 8, 8)), torch.empty(1, 3, 8, 8, device="meta")
    for arch in space.all():
        with torch.device("meta"):
            assert model(arch) == network_cost(family.build(arch), x)


def test_exported_weights_never_run_a_file_by_themselves(tmp_path: Path) -> None:
    family = OwnGenerator(file=str(EXAMPLE))
    net, arch = family.build(family.uniform(4)), family.uniform(4)
    card = Card(family.options, 3, 3, (16, 16), 4)
    weights.write(Source(net, arch, card, torch.zeros(1)), tmp_path)
    with pytest.raises(ExportError, match="code of its maker's own.*file="):
        weights.load(tmp_path)
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(weights.load(tmp_path, file=EXAMPLE)(x), net.eval()(x))
