"""Bank, windows, skeletons: what holds for any `build`, also one that a user writes."""

import pytest
import torch
from torch import Tensor, nn

import conformance
from gancompress.archs.arch import Arch, SearchSpace
from gancompress.errors import ArchError
from gancompress.supernet.supernet import SKELETONS_KEPT, Supernet, named_tensors, view_of


class Toy(nn.Module):
    """A user's own network: kernel size and width as slots, batch norm, no family behind it."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        width, kernel = arch.width("width"), arch.width("kernel")
        self.first = nn.Conv2d(2, width, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(width)
        self.up = nn.ConvTranspose2d(width, width, kernel, 2, kernel // 2, 1)
        self.last = nn.Conv2d(width, 3, 1)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.up(torch.relu(self.norm(self.first(x))))) * self.scale
        return out


SPACE = SearchSpace.of("toy", {"width": (3, 5, 1), "kernel": (3, 5, 1)})
TOY = conformance.Case("toy", Toy, SPACE, (2, 2, 6, 6))


def test_window_is_leading_on_channels_and_centred_on_kernels() -> None:
    tensor = torch.arange(4 * 3 * 5 * 7).reshape(4, 3, 5, 7)
    taken = view_of(tensor, torch.Size((2, 3, 3, 1)))
    assert torch.equal(taken, tensor[:2, :, 1:4, 3:4])
    assert taken.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
    assert view_of(tensor, tensor.shape) is tensor


def test_borrowed_kernels_are_the_centre_of_the_bank() -> None:
    supernet = TOY.supernet()
    borrowed = supernet.borrow(Arch.of("toy", {"width": 3, "kernel": 1}))
    assert torch.equal(borrowed["first.weight"], supernet.shared["first.weight"][:3, :, 2:3, 2:3])
    assert torch.equal(borrowed["up.weight"], supernet.shared["up.weight"][:3, :3, 2:3, 2:3])
    assert torch.equal(borrowed["norm.running_var"], supernet.shared["norm.running_var"][:3])


def test_toy_bank_holds_parameters_and_buffers_of_the_largest_arch() -> None:
    conformance.check_bank_holds_the_largest_shapes(TOY)
    supernet = TOY.supernet()
    net = Toy(SPACE.largest)
    assert list(supernet.shared) == [name for name, _ in named_tensors(net)]
    assert {n for n, t in supernet.shared.items() if isinstance(t, nn.Parameter)} == {
        name for name, _ in net.named_parameters()
    }
    assert supernet.shared["norm.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("bf16", [False, True])
def test_toy_output_and_statistics_equal_the_extracted(training: bool, bf16: bool) -> None:
    conformance.check_output_equals_extracted(
        TOY, training=training, bf16=bf16, channels_last=False, grad=True
    )


def test_toy_training_moves_the_statistics_of_its_window_alone() -> None:
    supernet = TOY.supernet().train()
    before = supernet.shared["norm.running_mean"].clone()
    supernet(Arch.of("toy", {"width": 3, "kernel": 3}), TOY.images())
    after = supernet.shared["norm.running_mean"]
    assert not torch.isclose(after[:3], before[:3]).any()
    assert torch.equal(after[3:], before[3:])
    assert supernet.shared["norm.num_batches_tracked"] == 1


def test_toy_gradients_equal_the_extracted() -> None:
    conformance.check_gradients_equal_extracted(TOY)


def test_bank_is_the_element_wise_largest_where_no_corner_holds_all() -> None:
    def build(arch: Arch) -> nn.Module:  # one form is wide, the other tall
        width = arch.width("width")
        return nn.Linear(2 * width, width) if arch.op("form") == "wide" else nn.Linear(width, 9)

    space = SearchSpace.of("forms", {"form": ("wide", "tall"), "width": (2, 4)})
    shared = Supernet(build, space).shared
    assert (shared["weight"].shape, shared["bias"].shape) == ((9, 8), (9,))


def test_toy_skeletons_hold_no_memory() -> None:
    conformance.check_skeletons_hold_no_memory(TOY)


@pytest.mark.parametrize("act", ["skeleton", "extract", "borrow", "forward"])
def test_supernet_refuses_an_arch_outside_its_space(act: str) -> None:
    supernet = TOY.supernet()
    arch = Arch.of("toy", {"width": 4, "kernel": 3})
    with pytest.raises(ArchError) as caught:
        getattr(supernet, act)(*((arch, TOY.images()) if act == "forward" else (arch,)))
    assert str(caught.value) == "arch: width=4 is not allowed; one of (3, 5, 1)"


def test_supernet_keeps_a_bounded_number_of_skeletons() -> None:
    space = SearchSpace.of("toy", {"width": tuple(range(1, SKELETONS_KEPT + 20)), "kernel": (1,)})
    supernet = Supernet(lambda arch: nn.Linear(arch.width("width"), 1), space)
    first = supernet.skeleton(space.smallest)
    for arch in space.all():
        supernet.skeleton(arch)
    assert supernet.skeleton(space.largest) is supernet.skeleton(space.largest)
    assert supernet.skeleton(space.smallest) is not first
    assert len(supernet._skeletons) == SKELETONS_KEPT


def test_subnet_shares_the_bank_and_owns_nothing() -> None:
    supernet = TOY.supernet().eval()
    subnet = supernet.subnet(SPACE.smallest)
    x = TOY.images()
    before = subnet(x)
    assert list(subnet.parameters()) == [] and not subnet.training
    assert torch.equal(before, supernet(SPACE.smallest, x))
    with torch.no_grad():
        supernet.shared["scale"].mul_(2)
    torch.testing.assert_close(subnet(x), 2 * before)


def test_extracted_network_owns_its_weights() -> None:
    supernet = TOY.supernet().eval()
    net, x = supernet.extract(SPACE.smallest), TOY.images()
    before = net(x)
    with torch.no_grad():
        for tensor in supernet.shared.values():
            tensor.zero_()
    assert isinstance(net, Toy) and torch.equal(net(x), before)
    held = sum(tensor.untyped_storage().nbytes() for _, tensor in named_tensors(net))
    assert held == sum(tensor.nbytes for _, tensor in named_tensors(net))


def test_fill_copies_the_window_that_both_share() -> None:
    supernet = Supernet(Toy, SPACE)
    small = Toy(Arch.of("toy", {"width": 3, "kernel": 3}))
    supernet.fill(dict(named_tensors(small)) | {"unknown": torch.ones(2)})
    x = TOY.images()
    arch = Arch.of("toy", {"width": 3, "kernel": 3})
    assert torch.equal(supernet.eval()(arch, x), small.eval()(x))
    assert supernet.shared["first.weight"][3:].eq(0).all()
    wide = Toy(Arch.of("toy", {"width": 8, "kernel": 7}))
    supernet.fill(dict(named_tensors(wide)))
    assert torch.equal(supernet.shared["first.weight"], wide.first.weight[:5, :, 1:6, 1:6])


def test_supernet_state_dict_gives_the_same_supernet_back() -> None:
    one, other = TOY.supernet(seed=1).eval(), TOY.supernet(seed=2).eval()
    x = TOY.images()
    assert not torch.equal(one(SPACE.largest, x), other(SPACE.largest, x))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(SPACE.largest, x), other(SPACE.largest, x))


def test_supernet_mode_reaches_its_skeletons() -> None:
    supernet = TOY.supernet()
    for training in (False, True):
        supernet.train(training)
        skeleton = supernet.skeleton(SPACE.largest)
        assert {module.training for module in skeleton.modules()} == {training}
