"""What code fixes or changes on the way, and its graph does not: images, sides, inputs, types."""

import logging
import signal
import threading
import time
from collections.abc import Callable

import pytest
import torch
import tracednets
from torch import Tensor, nn

from gancompress.errors import ArchError
from gancompress.nets.traced import exporting
from gancompress.nets.traced.batches import with_free_batch
from gancompress.nets.traced.exporting import TracerTimeout, time_limit
from gancompress.nets.traced.graph import Node, Ref
from gancompress.nets.traced.network import TracedNet
from gancompress.nets.traced.tracing import trace

SHAPE = (3, 16, 16)


class Between(nn.Module):
    """Two convolutions, and what a function does between them."""

    def __init__(self, how: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.how = how
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.how(self.stem(x)))


class Windows(nn.Module):
    """Splits images in windows and puts them together, with an integer made of their number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 8)
        self.head = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        _, c, h, w = y.shape
        y = y.view(-1, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
        y = self.mix(y)
        n = int(y.shape[0] / (h * w / 16))
        y = y.view(n, h // 4, w // 4, 4, 4, -1).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)
        return self.head(y + torch.zeros(n, 8, 1, 1))


def answers(net: nn.Module, images: int) -> tuple[Tensor, Tensor]:
    """Of a network and of its graph."""
    traced = trace(net, SHAPE, "net")
    ours = TracedNet(traced.graph, {n: t.shape for n, t in traced.tensors.items()}).eval()
    ours.load_state_dict(traced.tensors)
    x = torch.randn(images, *SHAPE, generator=torch.Generator().manual_seed(images))
    with torch.no_grad():
        return net(x.clone()), ours(x)


@pytest.mark.parametrize("images", [1, 2, 3, 5])
def test_a_number_of_images_that_became_an_integer_is_a_size_again(images: int) -> None:
    wanted, ours = answers(tracednets.seeded(Windows()), images)
    torch.testing.assert_close(ours, wanted, atol=1e-6, rtol=1e-6)


def test_windows_are_compressed_whole() -> None:
    found = tracednets.imported(tracednets.seeded(Windows()))
    assert {n: g.channels for n, g in found.family.groups.items()} == {"conv": 8, "mix": 8}


def test_two_traces_that_differ_otherwise_tell_nothing() -> None:
    def nodes(count: int, op: str = "relu") -> list[Node]:
        return [
            Node("a", f"aten.{op}.default", (Ref("x"),)),
            Node("b", "aten.reshape.default", (Ref("a"), [count, 3])),
        ]

    free = with_free_batch(nodes(8), nodes(12), "x")
    assert free is not None
    assert [node.target for node in free[:2]] == ["size", "mul"]
    assert free[-1].args == (Ref("a"), [Ref("images_4"), 3])
    for other in (nodes(13), nodes(12, "tanh"), nodes(12)[:1], [*nodes(12), *nodes(12)]):
        assert with_free_batch(nodes(8), other, "x") is None


def test_code_that_goes_through_images_one_by_one_is_refused() -> None:
    net = Between(lambda x: torch.stack([x[i] * (i + 1) for i in range(x.shape[0])]))
    with pytest.raises(ArchError, match="net: its graph does not take images by 1 .* one by one"):
        tracednets.imported(tracednets.seeded(net))


class Slow(nn.Module):
    """Keeps the tracer busy as long as sides are free."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x.shape[2], torch.SymInt):
            logging.getLogger("torch").error("pages of its own code")
            time.sleep(20)
        return self.conv(x)


def test_a_tracer_that_takes_too_long_goes_on_with_fixed_sides(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before, start = signal.getsignal(signal.SIGALRM), time.perf_counter()
    traced = trace(Slow(), SHAPE, "net", 1.0)
    assert traced.is_static and time.perf_counter() - start < 15
    assert traced.fixed_by == "torch's tracer takes more than 1 s with free height and width"
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert "pages" not in caplog.text
    monkeypatch.delattr(exporting.signal, "SIGALRM")
    with time_limit(0.01):  # without effect where there are no alarms
        time.sleep(0.05)


def test_the_time_of_the_clock_is_limited_in_the_main_thread_alone() -> None:
    with pytest.raises(TracerTimeout), time_limit(0.05):
        time.sleep(5)
    ended: list[bool] = []

    def other() -> None:
        with time_limit(0.01):
            time.sleep(0.05)
        ended.append(True)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert ended == [True]


class Writes(Between):
    """Changes its input in place."""

    def forward(self, x: Tensor) -> Tensor:
        x.mul_(0.5)
        x[:, 1] += 1
        return super().forward(x)


def turned(x: Tensor) -> Tensor:
    y = x.transpose(1, 2)
    y.mul_(2.0)  # and so x
    return x + y.transpose(1, 2)


def rows(x: Tensor) -> Tensor:
    x[:, :, 0] = x[:, :, 1]
    x.flatten(2)[:, :, 3] = 0
    return x


IN_PLACE = {"its input": Writes(torch.relu), "turned": Between(turned), "rows": Between(rows)}


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_is_written_in_place_is_computed_beside(name: str) -> None:
    wanted, ours = answers(tracednets.seeded(IN_PLACE[name]), 3)
    torch.testing.assert_close(ours, wanted, atol=1e-6, rtol=1e-6)
    found = tracednets.imported(tracednets.seeded(IN_PLACE[name]))
    assert {n: g.channels for n, g in found.family.groups.items()} == {"stem": 8}


def test_the_input_of_a_network_that_writes_stays_as_it_is() -> None:
    one = tracednets.imported(tracednets.seeded(IN_PLACE["its input"]))
    net, x = one.family.build(one.family.traced_arch), torch.ones(1, *SHAPE)
    net(x)
    assert torch.equal(x, torch.ones_like(x))


CASTS: dict[str, Callable[[Tensor], Tensor]] = {
    "to float32": lambda x: (x.double() * 2).to(torch.float32),
    "half and back": lambda x: x.half().float(),
    "made in float32": lambda x: x * torch.arange(x.shape[3], dtype=torch.float32),
}


@pytest.mark.parametrize("name", CASTS)
def test_groups_are_proven_through_conversions(name: str) -> None:
    found = tracednets.imported(tracednets.seeded(Between(CASTS[name])))
    assert {n: g.channels for n, g in found.family.groups.items()} == {"stem": 8}


def test_tables_of_integers_and_masks_keep_their_types() -> None:
    class Shifted(Between):
        def __init__(self) -> None:
            super().__init__(self.moved)
            self.register_buffer("order", torch.randperm(16))
            self.register_buffer("mask", torch.arange(16) % 3 == 0)

        def moved(self, x: Tensor) -> Tensor:
            return x[:, :, :, self.order].masked_fill(self.mask, 0.5)

    net = tracednets.seeded(Shifted())
    wanted, ours = answers(net, 2)
    torch.testing.assert_close(ours, wanted, atol=1e-6, rtol=1e-6)
    tensors = tracednets.imported(net).tensors
    assert tensors["order"].dtype == torch.int64 and tensors["mask"].dtype == torch.bool


def test_a_place_of_a_mask_is_a_choice_of_the_whole() -> None:
    def chosen(x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        y[x > 0] = 1 - (x * 2)[x > 0]
        y[x < -1] = 3.0
        return y

    traced = trace(tracednets.seeded(Between(chosen)), SHAPE, "net")
    assert not {"index", "index_put"} & {node.op for node in traced.graph.nodes}
    wanted, ours = answers(tracednets.seeded(Between(chosen)), 3)
    torch.testing.assert_close(ours, wanted, atol=1e-6, rtol=1e-6)
