"""How far a measured time is from what this machine's arithmetic and memory allow.

Williams et al. 2009: work cannot take less time than its multiply-accumulates at the machine's
rate of them, nor than its bytes at the rate of copying.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.export.card import Card
from gancompress.export.weights import ask_rebuilt
from gancompress.latency.layers import tensors_of
from gancompress.supernet.cost import network_cost

_SIDES = (512, 1024, 2048)  # The sides of the square matrices that are multiplied.
_CHANNELS, _PIXELS = 256, 64  # Convolutions' sizes, channels last, for where a BLAS is slow:
_KERNELS = (1, 3)  # MKL and 1x1 stop at 56 GMACs/s on an AMD core whose 3x3 reaches 128, its peak
_SECONDS = 0.25  # for each kind of work; the fastest call counts
_LEAST_BUFFER = 256 * 2**20  # bytes
_ABOVE_CACHE = 8  # buffers are so many times the last-level cache, or the cache answers


@dataclass(frozen=True)
class Rates:
    """What this machine reaches in float32 on `threads` threads.

    macs_per_s: multiply-accumulates in matrix products, the best of several, named by `product`.
    bytes_per_s: read and written while copying `buffer_bytes`, far above the last-level cache.
    """

    threads: int
    macs_per_s: float
    product: str
    bytes_per_s: float
    buffer_bytes: int


@dataclass(frozen=True)
class Work:
    """What one call of a network does.

    macs: true multiply-accumulates. bytes: inputs, outputs and weights of every layer in float32,
    as if each layer read and wrote them once and no two were fused.
    """

    macs: int
    bytes: int


@dataclass(frozen=True)
class Roofline:
    """A measured time beside its bound. Fractions are of the machine's rates, 1.0 the whole.

    A fraction above 1 is no error: of the product rate where a file computes in fewer bits, of the
    copy rate where layers are fused or features stay in the cache.
    """

    macs_per_s: float
    macs_share: float
    bytes_per_s: float
    bytes_share: float
    macs_ms: float
    bytes_ms: float

    @property
    def bound_ms(self) -> float:
        """No layer-by-layer float32 run can be faster."""
        return max(self.macs_ms, self.bytes_ms)


def roofline(work: Work, rates: Rates, ms: float) -> Roofline:
    """`work`, done in `ms`, beside what `rates` allow."""
    macs_per_s, bytes_per_s = work.macs / ms * 1e3, work.bytes / ms * 1e3
    return Roofline(
        macs_per_s=macs_per_s,
        macs_share=macs_per_s / rates.macs_per_s,
        bytes_per_s=bytes_per_s,
        bytes_share=bytes_per_s / rates.bytes_per_s,
        macs_ms=work.macs / rates.macs_per_s * 1e3,
        bytes_ms=work.bytes / rates.bytes_per_s * 1e3,
    )


def work_of(net: nn.Module, *inputs: Tensor) -> Work:
    """What `net` does on `inputs`; on the meta device nothing is computed.

    A layer is a module without modules of its own; what happens between layers, such as the sum
    of a residual block, is not seen. A weight under spectral norm counts as the weight it makes.
    """
    found = 0

    def count(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        nonlocal found
        elements = sum(x.numel() for x in tensors_of([given, output]))
        found += 4 * (elements + _weights(module))

    layers = [m for name, m in net.named_modules() if _is_layer(name, m)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad():
            net(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return Work(network_cost(net, *inputs).macs_true, found)


def card_work(arch: Arch, card: Card, size: tuple[int, int], batch: int = 1) -> Work | None:
    """The work of a file's generator at `size` (height, width); None as `ask_rebuilt`."""
    shape = (batch, card.in_channels, *size)
    return ask_rebuilt(arch, card, lambda net: work_of(net, torch.empty(shape)))


def _is_layer(name: str, module: nn.Module) -> bool:
    inside = [child for child, _ in module.named_children()]
    return inside in ([], ["parametrizations"]) and "parametrizations" not in name.split(".")


def _weights(module: nn.Module) -> int:
    """Elements of its parameters; of a weight under spectral norm, which is one below, too."""
    return sum(p.numel() for p in module.parameters())


def measure_rates() -> Rates:
    """Measures both rates on as many threads as torch has now; takes some seconds."""
    generator = torch.Generator().manual_seed(0)

    def matrix(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) - 0.5

    products: dict[str, tuple[int, Callable[[], object]]] = {}
    for side in _SIDES:
        a, b = matrix(side, side), matrix(side, side)
        products[f"torch.mm {side}"] = side**3, partial(torch.mm, a, b)
    x = matrix(1, _CHANNELS, _PIXELS, _PIXELS).to(memory_format=torch.channels_last)
    for kernel in _KERNELS:
        conv = nn.Conv2d(_CHANNELS, _CHANNELS, kernel, padding=kernel // 2, bias=False)
        run = partial(conv.to(memory_format=torch.channels_last), x)
        macs = _CHANNELS**2 * kernel**2 * _PIXELS**2
        products[f"{kernel}x{kernel} convolution of {_CHANNELS}"] = macs, run
    with torch.inference_mode():
        reached = {name: macs / _fastest(run) for name, (macs, run) in products.items()}
        bytes_per_s, buffer_bytes = _copy_rate()
    best = max(reached, key=lambda name: reached[name])
    return Rates(torch.get_num_threads(), reached[best], best, bytes_per_s, buffer_bytes)


def _copy_rate() -> tuple[float, int]:
    """Bytes a second, read and written, and the size of what was copied."""
    size = max(_LEAST_BUFFER, _ABOVE_CACHE * last_level_cache())
    source = torch.ones(size // 4)
    target = torch.empty_like(source)
    return 2 * size / _fastest(lambda: target.copy_(source)), size


def last_level_cache() -> int:
    """Bytes of the largest cache that the first core sees; 0 where the system does not tell."""
    units, largest = {"K": 2**10, "M": 2**20}, 0
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        if text[:-1].isdigit() and text[-1] in units:
            largest = max(largest, int(text[:-1]) * units[text[-1]])
    return largest


def _fastest(run: Callable[[], object]) -> float:
    """Seconds of the fastest call: what disturbs a call only makes it longer."""
    run()
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while best == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best
