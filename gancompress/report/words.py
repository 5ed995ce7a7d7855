"""How costs, scores and archs are written on the page."""

from __future__ import annotations

from collections.abc import Mapping

from gancompress.archs.arch import Arch
from gancompress.export.report import quantity

COSTS = {  # cost and the unit behind its numbers
    "macs": ("MACs", ""),
    "macs_true": ("MACs, true", ""),
    "macs_published": ("MACs, published", ""),
    "params": ("parameters", ""),
    "activation_bytes": ("activation memory", "B"),
    "latency_ms": ("latency", "ms"),
}
SCORES = {
    "fd": "FD", "kid": "KID", "depths": "depths", "l1": "L1", "psnr": "PSNR", "ssim": "SSIM",
    "lpips": "LPIPS",
}  # fmt: skip


def shown_costs(costs: Mapping[str, float]) -> dict[str, float]:
    """Costs in the order of the columns; of the conventions that MACs are counted in, that of
    "macs" is not told twice."""
    known = [
        *(name for name in COSTS if name in costs),
        *(name for name in costs if name not in COSTS),
    ]
    again = [
        name for name in ("macs_true", "macs_published") if costs.get(name) == costs.get("macs")
    ]
    return {name: costs[name] for name in known if name not in again}


def cost_title(cost: str) -> str:
    return COSTS.get(cost, (cost, ""))[0]


def cost_text(cost: str, value: float) -> str:
    """`12.8 M`, `1.2 MB`, `8.31 ms`."""
    unit = COSTS.get(cost, (cost, ""))[1]
    if unit == "ms":
        return f"{value:.3g} ms"
    return (quantity(value) + unit).strip() if value == value else "-"


def score_title(score: str) -> str:
    return SCORES.get(score, score)


def tick_text(value: float) -> str:
    """A round number with a decimal prefix, without zeros at its end: `20 M`."""
    number, _, prefix = quantity(value).partition(" ")
    return f"{float(number):g} {prefix}".strip()


def arch_text(arch: Arch) -> str:
    """Widths, then the operators and bands that are not the ordinary ones, for one line."""
    special = [
        f"{slot} {value}"
        for slot, value in arch.slots
        if isinstance(value, str) and value not in ("dense", "0")
    ]
    return ", ".join([arch.compact, *special])
