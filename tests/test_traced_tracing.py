"""From modules to graphs: what they compute stays the same, whatever they are written with."""

import json

import pytest
import torch
import tracednets
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ArchError
from gancompress.nets.traced.graph import OperatorGraph
from gancompress.nets.traced.layers import renamed
from gancompress.nets.traced.network import TracedNet
from gancompress.nets.traced.tracing import trace

SHAPE = (3, 16, 24)


def answers_alike(net: nn.Module, shape: tuple[int, int, int] = SHAPE) -> TracedNet:
    """The traced network, which answers as the original on other sizes and batches too."""
    traced = trace(net, shape, "net")
    graph, tensors = renamed(traced.graph, traced.tensors)
    again = OperatorGraph.from_json(json.loads(json.dumps(graph.to_json())), "net")
    assert again == graph
    ours = TracedNet(again, {name: tensor.shape for name, tensor in tensors.items()}).eval()
    ours.load_state_dict(tensors)
    for batch, more in ((1, 0), (3, 8)) if not traced.is_static else ((2, 0),):
        x = torch.randn(batch, shape[0], shape[1] + more, shape[2] + 2 * more)
        with torch.no_grad():
            torch.testing.assert_close(ours(x), net(x), atol=1e-6, rtol=1e-6)
    return ours


def conv(taken: int = 3, made: int = 8) -> nn.Module:
    return nn.Conv2d(taken, made, 3, padding=1)


class Functional(nn.Module):
    """Weights that are parameters of no module, activations in place, a scale computed of them."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(8, 3, 3, 3))
        self.shift = nn.Parameter(torch.randn(8))
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.last = conv(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x - self.mean, self.kernel * 0.1, self.shift, padding=1).relu_() + 1
        y *= 2
        return self.last(y) + self.mean


class Sized(nn.Module):
    """Asks for the size of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        small = F.interpolate(self.conv(x), size=(h // 2, w // 2), mode="bilinear")
        return F.interpolate(small.view(n, c, h // 2, w // 2), size=(h, w), mode="nearest")


class Named(nn.Module):
    """Weights that are called as operators, or the input, are called in an exported graph."""

    def __init__(self) -> None:
        super().__init__()
        self.add, self.last = conv(), conv(8, 3)
        self.mul, self.x, self.mean = (nn.Parameter(torch.rand(1, 8, 1, 1)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.add(x) * self.mul + self.x
        return self.last(y - y.mean((2, 3), keepdim=True) + self.mean)


NETS = {
    "named": Named(),
    "stylised": tracednets.Stylised(8, 2),
    "enlarging": tracednets.Enlarging(),
    "functional": Functional(),
    "sized": Sized(),
    "spectral norm": nn.Sequential(nn.utils.spectral_norm(conv()), nn.ReLU(), conv(8, 3)),
    "weight norm": nn.Sequential(nn.utils.parametrizations.weight_norm(conv()), conv(8, 3)),
    "batch norm": nn.Sequential(conv(), nn.BatchNorm2d(8), nn.PReLU(8), conv(8, 3)),
    "group norm": nn.Sequential(conv(), nn.GroupNorm(4, 8), nn.GELU(), conv(8, 3)),
    "reflect": nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, 3, 7), nn.Dropout(0.5)),
    "unshuffle": nn.Sequential(nn.PixelUnshuffle(2), conv(12, 12), nn.PixelShuffle(2)),
}


@pytest.mark.parametrize("name", NETS)
def test_a_traced_network_answers_as_the_original(name: str) -> None:
    ours = answers_alike(tracednets.seeded(NETS[name]))
    assert sum(p.numel() for p in ours.parameters()) >= 3


class Ramped(nn.Module):
    """Makes a tensor of sizes alone, as codes of positions are made."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        ramp = torch.arange(x.shape[3], device=x.device, dtype=torch.float32) / x.shape[3]
        return self.conv(x) + ramp


def test_tensors_are_made_where_the_input_lies() -> None:
    ours = answers_alike(tracednets.seeded(Ramped()))
    assert ours.to("meta")(torch.empty(1, 3, 16, 24, device="meta")).device.type == "meta"


def test_layers_are_modules_named_as_their_weights() -> None:
    ours = answers_alike(tracednets.seeded(NETS["stylised"]))
    assert isinstance(ours.get_submodule("blocks.1.conv2"), nn.Conv2d)
    assert isinstance(ours.get_submodule("up"), nn.ConvTranspose2d)
    assert {name for name, _ in ours.named_parameters()} == {
        name for name, _ in NETS["stylised"].named_parameters()
    }


def test_norms_of_weights_are_worked_out() -> None:
    ours = answers_alike(tracednets.seeded(NETS["spectral norm"]))
    assert [n for n, _ in ours.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    torch.testing.assert_close(ours.get_parameter("0.weight"), NETS["spectral norm"][0].weight)


def test_a_kernel_of_no_module_becomes_a_layer() -> None:
    ours = answers_alike(tracednets.seeded(NETS["functional"]))
    assert isinstance(ours.get_submodule("kernel"), nn.Conv2d)
    assert isinstance(ours.get_buffer("mean"), Tensor)


@pytest.mark.parametrize("name", ["stylised", "functional"])
def test_gradients_reach_the_same_weights(name: str) -> None:
    net = tracednets.seeded(NETS[name])
    ours = answers_alike(net)
    x = torch.randn(1, *SHAPE)
    for one in (net, ours):
        one.zero_grad()
        one(x).square().sum().backward()
    grads = {n: p.grad for n, p in ours.named_parameters()}
    if name == "functional":  # A tenth of the kernel is what it became.
        torch.testing.assert_close(
            grads["kernel.weight"] * 0.1, net.get_parameter("kernel").grad, rtol=1e-4, atol=1e-4
        )
    else:
        for key, parameter in net.named_parameters():
            torch.testing.assert_close(grads[key], parameter.grad, rtol=1e-4, atol=1e-5)


class Drawing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Several(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Drawing(), "net: draws random numbers .aten.randn_like.default., so its answer changes"),
        (Branching(), "net: cannot be traced on an image of .3, 16, 24.*branches on values"),
        (Several(), "net: takes 1 inputs and answers with 2 values; one image in and one out"),
    ],
)
def test_what_is_no_graph_of_an_image_is_refused(net: nn.Module, message: str) -> None:
    with pytest.raises(ArchError, match=message):
        trace(net, SHAPE, "net")


def test_a_size_that_the_code_fixes_stays_fixed() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).reshape(-1, 3, 16, 24)

    assert tracednets.imported(Fixed(), (16, 24)).program.facts.is_static
    assert not trace(NETS["sized"], SHAPE, "net").is_static


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain["nodes"][0].__setitem__(1, "aten.from_file.default"),
        lambda plain: plain["nodes"][0].__setitem__(1, "os.system"),
        lambda plain: plain["nodes"][0].__setitem__(1, "aten.no_such_operator.default"),
        lambda plain: plain["nodes"][0].__setitem__(2, [{"ref": "nowhere"}]),
        lambda plain: plain["nodes"][0].__setitem__(2, [{"torch": "load"}]),
        lambda plain: plain.pop("output"),
    ],
)
def test_a_graph_that_is_none_is_refused(change: object) -> None:
    plain = trace(NETS["sized"], SHAPE, "net").graph.to_json()
    plain = json.loads(json.dumps(plain))
    change(plain)  # type: ignore[operator]
    with pytest.raises(ArchError, match="net: not a traced generator"):
        OperatorGraph.from_json(plain, "net")
