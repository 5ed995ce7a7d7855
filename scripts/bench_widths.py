"""What channel widths cost beside their MACs: operations a second, by width.

    python scripts/bench_widths.py --threads 1

Two trunks, once for each width: residual blocks (3x3, instance norms), as CartoonGAN has them, and
dense blocks (3x3 over all that came before in the block; half as many channels are added by each
layer), as Real-ESRGAN has them. Printed are MACs of one image, and how many billions of floating
point operations a second (two for each MAC) are reached by ONNX Runtime with one image, and by
torch in training with a batch, in float32 and in bf16: medians of turns that alternate between all
widths in one process. Equal numbers would mean that time follows MACs. Let nothing else run
meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn
from tqdm import tqdm

from gancompress.export.latency import time_ms, wall_seconds
from gancompress.process import configure_runtime
from gancompress.supernet.cost import network_cost
from gancompress.turns import in_turns

BLOCKS = 6
LAYERS = 4  # Concatenated layers of a dense block.
WIDTHS = (10, 12, 14, 16, 20, 24, 28, 32, 40, 48)
TRAINED = 3  # Forward and backward pass have so many times the operations of the forward pass.


class Residual(nn.Module):
    """Two convolutions and a sum; (N, width, H, W) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.InstanceNorm2d(width, affine=True),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.InstanceNorm2d(width, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Dense(nn.Module):
    """Layers of half the width, each on all before, and a sum; (N, width, H, W) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        grown = width // 2
        self.layers = nn.ModuleList(
            nn.Conv2d(width + i * grown, grown, 3, padding=1) for i in range(LAYERS)
        )
        self.last = nn.Conv2d(width + LAYERS * grown, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        known = [x]
        for layer in self.layers:
            known.append(nn.functional.leaky_relu(layer(torch.cat(known, 1)), 0.2))
        return x + 0.2 * self.last(torch.cat(known, 1))


def main() -> None:
    """Prints a table for each trunk."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--size", type=int, default=48, help="side of the features")
    parser.add_argument("--batch", type=int, default=8, help="images of a training step")
    parser.add_argument("--repeats", type=int, default=5, help="timed turns; the median counts")
    options = parser.parse_args()
    configure_runtime()
    torch.set_num_threads(options.threads)
    print(
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, "
        f"{options.threads} thread(s), features of {options.size} px, training batch "
        f"{options.batch}"
    )
    for block in (Residual, Dense):
        print(f"\n{table(block, options)}", flush=True)


def table(block: type[nn.Module], options: argparse.Namespace) -> str:
    """The rows of one trunk as a Markdown table."""
    nets = {
        width: nn.Sequential(*(block(width) for _ in range(BLOCKS))).to(
            memory_format=torch.channels_last
        )
        for width in WIDTHS
    }
    size = options.size
    macs = {w: network_cost(net, torch.rand(1, w, size, size)).macs_true for w, net in nets.items()}
    columns = {
        "ONNX Runtime": (1, {w: runtime_of(net, w, options) for w, net in nets.items()}),
        "training, float32": (
            TRAINED * options.batch,
            {w: training_of(net, w, options, is_half=False) for w, net in nets.items()},
        ),
        "training, bf16": (
            TRAINED * options.batch,
            {w: training_of(net, w, options, is_half=True) for w, net in nets.items()},
        ),
    }
    rates = {}
    for name, (images, calls) in columns.items():
        ms = timed(calls, options.repeats, f"{block.__name__}, {name}")
        rates[name] = {w: 2 * images * macs[w] / ms[w] / 1e6 for w in WIDTHS}
    lines = [
        f"| {block.__name__.lower()} blocks, width | MACs | {' | '.join(rates)} |",
        f"|--:|--:|{'--:|' * len(rates)}",
    ]
    for w in WIDTHS:
        cells = " | ".join(f"{found[w]:.0f}" for found in rates.values())
        lines.append(f"| {w} | {macs[w] / 1e6:.0f} M | {cells} |")
    return "\n".join(lines)


def runtime_of(net: nn.Module, width: int, options: argparse.Namespace) -> Callable[[], object]:
    """A call of the network in ONNX Runtime with one image."""
    x = torch.rand(1, width, options.size, options.size)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        torch.onnx.export(net.eval(), (x,), str(file), dynamo=False, opset_version=17)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        session = onnxruntime.InferenceSession(
            str(file), settings, providers=["CPUExecutionProvider"]
        )
    net.train()
    return partial(session.run, None, {session.get_inputs()[0].name: x.numpy()})


def training_of(
    net: nn.Module, width: int, options: argparse.Namespace, *, is_half: bool
) -> Callable[[], object]:
    """A forward and a backward pass."""
    x = torch.rand(options.batch, width, options.size, options.size)
    x = x.contiguous(memory_format=torch.channels_last)

    def run() -> None:
        net.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            made = net(x.requires_grad_())
        made.float().square().mean().backward()

    return run


def timed(calls: dict[int, Callable[[], object]], repeats: int, title: str) -> dict[int, float]:
    """Median milliseconds of each, in turns."""
    timers = {width: partial(time_ms, run, wall_seconds) for width, run in calls.items()}
    rounds = in_turns(timers, repeats + 1)
    found = list(tqdm(rounds, total=repeats + 1, desc=title, leave=False))[1:]  # the first warms up
    return {width: statistics.median(times[width] for times in found) for width in calls}


if __name__ == "__main__":
    main()
