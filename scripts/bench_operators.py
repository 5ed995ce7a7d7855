"""What each operator costs in the trunk of a generator: counted, and measured.

    python scripts/bench_operators.py --threads 1

For the residual trunk of a ResNet-9 (256 channels at a quarter of the image's side) and images of
64, 128 and 256 px it prints, for every operator and split, how many times fewer MACs it has than
the ordinary convolution, how many times faster it runs forward (one image, no gradients) and in
training (forward and backward, a batch), and its peak training memory as a fraction of the ordinary
one's. Times are medians of turns that alternate between all operators in one process; memory is
measured in a process of its own each: what is allocated at most during a training step, without
weights, beyond what was there before it. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from gancompress.process import configure_runtime

if "--memory-of" not in sys.argv:
    configure_runtime()  # before torch is imported; memory is counted with the usual allocator

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gancompress.export.latency import time_ms, wall_seconds
from gancompress.nets.layers.blocks import Conv, ResidualBlock
from gancompress.nets.layers.features import Bands, Features, bands_of, converted
from gancompress.supernet.cost import network_cost
from gancompress.turns import in_turns

CHANNELS, BLOCKS = 256, 9
OPERATORS: dict[str, tuple[str, Bands]] = {
    "ordinary": ("dense", Bands()),
    "separable": ("separable", Bands()),
    "Oct 0.125": ("dense", Bands(0.125)),
    "Oct 0.25": ("dense", Bands(0.25)),
    "Oct 0.5": ("dense", Bands(0.5)),
    "M-Oct 0.25, 0.25": ("dense", Bands(0.25, 0.25)),
    "M-Oct 0.5, 0.25": ("dense", Bands(0.5, 0.25)),
    "separable Oct 0.5": ("separable", Bands(0.5)),
}


class Trunk(nn.Module):
    """Residual blocks whose features are split throughout; (N, 256, H, W) to the same."""

    def __init__(self, name: str) -> None:
        super().__init__()
        op, self.bands = OPERATORS[name]
        conv = Conv(
            CHANNELS,
            CHANNELS,
            padding_mode="reflect",
            bands_in=self.bands,
            bands_out=self.bands,
        )
        self.blocks = nn.Sequential(*(ResidualBlock(op, conv) for _ in range(BLOCKS)))

    def split(self, x: Tensor) -> Features:
        """What the trunk is given: features that are split already, as a channels_last tensor is
        that comes out of an earlier stage."""
        bands = [
            band.contiguous(memory_format=torch.channels_last)
            for band in bands_of(converted(x, self.bands))
        ]
        return bands[0] if len(bands) == 1 else tuple(bands)

    def forward(self, x: Features) -> Features:
        out: Features = self.blocks(x)
        return out


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    if arguments.memory_of:
        print(peak_bytes(arguments.memory_of, arguments.sizes[0], arguments.batch, device))
        return
    print(f"torch {torch.__version__}, {where(device)}, training batch {arguments.batch}")
    for size in arguments.sizes:
        print(f"\n{size} px: trunk of {CHANNELS} channels at {size // 4}x{size // 4}")
        print(table(size, arguments, device), flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256], metavar="PX")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--batch", type=int, default=4, help="images of a training step")
    parser.add_argument("--repeats", type=int, default=7, help="timed turns; the median counts")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda"
    )
    parser.add_argument("--memory-of", choices=list(OPERATORS), help=argparse.SUPPRESS)
    return parser.parse_args()


def where(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} thread(s)"


def table(size: int, arguments: argparse.Namespace, device: torch.device) -> str:
    """The rows of one image size as a Markdown table."""
    trunks = {name: Trunk(name).to(device) for name in OPERATORS}
    macs = {name: counted_macs(name, size) for name in OPERATORS}
    x = torch.randn(arguments.batch, CHANNELS, size // 4, size // 4, device=device)
    forward = timed(
        {n: forward_of(net, net.split(x[:1])) for n, net in trunks.items()},
        arguments.repeats, f"{size} px, forward",
    )  # fmt: skip
    training = timed(
        {n: training_of(net, net.split(x)) for n, net in trunks.items()},
        max(3, arguments.repeats // 2), f"{size} px, training",
    )  # fmt: skip
    peaks = {name: peak_elsewhere(name, size, arguments) for name in OPERATORS}
    lines = [
        "| operator | MACs ÷ | forward ms | forward faster | training ms | training faster "
        "| training memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for n in OPERATORS:
        lines.append(
            f"| {n} | {macs['ordinary'] / macs[n]:.2f} "
            f"| {forward[n]:.1f} | {forward['ordinary'] / forward[n]:.2f}x "
            f"| {training[n]:.0f} | {training['ordinary'] / training[n]:.2f}x "
            f"| {peaks[n] / peaks['ordinary']:.2f} |"
        )
    return "\n".join(lines)


def counted_macs(name: str, size: int) -> int:
    with torch.device("meta"):
        trunk = Trunk(name)
        x = torch.empty(1, CHANNELS, size // 4, size // 4)
        whole = nn.Sequential(Split(trunk.bands), trunk)
        return network_cost(whole, x).macs_true


class Split(nn.Module):
    """`converted` as a module."""

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self.bands = bands

    def forward(self, x: Features) -> Features:
        return converted(x, self.bands)


def forward_of(net: Trunk, x: Features) -> Callable[[], None]:
    def run() -> None:
        with torch.no_grad():
            net(x)

    return run


def training_of(net: Trunk, x: Features) -> Callable[[], None]:
    def run() -> None:
        net.zero_grad(set_to_none=True)
        given = [band.detach().requires_grad_() for band in bands_of(x)]
        made = net(given[0] if len(given) == 1 else tuple(given))
        sum(band.square().mean() for band in bands_of(made)).backward()  # type: ignore[union-attr]

    return run


def timed(runs: Mapping[str, Callable[[], None]], repeats: int, title: str) -> dict[str, float]:
    """Median milliseconds of each, in turns."""
    calls = {name: partial(time_ms, run, wall_seconds) for name, run in runs.items()}
    rounds = in_turns(calls, repeats + 1)
    found = list(tqdm(rounds, total=repeats + 1, desc=title, leave=False))[1:]  # the first warms up
    return {name: statistics.median(times[name] for times in found) for name in runs}


def peak_elsewhere(name: str, size: int, arguments: argparse.Namespace) -> int:
    """`peak_bytes` in a process of its own."""
    command: Sequence[str] = [
        sys.executable, __file__, "--memory-of", name, "--sizes", str(size),
        "--batch", str(arguments.batch), "--threads", str(arguments.threads),
        "--device", arguments.device,
    ]  # fmt: skip
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak_bytes(name: str, size: int, batch: int, device: torch.device) -> int:
    """The most that a training step holds beyond weights, their gradients and the inputs."""
    net = Trunk(name).to(device)
    x = net.split(torch.randn(batch, CHANNELS, size // 4, size // 4, device=device))
    small = net.split(torch.randn(1, CHANNELS, 8, 8, device=device))
    training_of(net, small)()  # makes the gradients, and loads what is loaded once
    step = training_of(net, x)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew (Linux)
    step()
    return resident("VmHWM") - before


def resident(field: str) -> int:
    """Bytes of this process in memory now (VmRSS) or at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("bench_operators: memory is measured on Linux alone")


if __name__ == "__main__":
    main()
