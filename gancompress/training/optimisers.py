"""What changes the weights of one phase: Adam, and Muon for matrices where that is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
# The quintic x -> a x + b x^3 + c x^5 takes singular values of a matrix of norm 1 towards 1, small
# ones as fast as it can, and leaves them between about 0.7 and 1.2 (Jordan et al. 2024).
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose every step is made orthogonal (Jordan et al. 2024, "Muon").

    A weight counts as the matrix of its first axis and the rest: outputs, but inputs of a
    transposed convolution. Steps are scaled as large as Adam's, by
    0.2 sqrt(the larger side) (Liu et al. 2025, "Muon is Scalable for LLM Training", equation 4), so
    that both take one rate. The optimiser of that name in torch takes matrices alone, and computes
    in bf16, which processors without AVX-512 do slowly.
    """

    def __init__(self, weights: Sequence[Tensor], lr: float) -> None:
        super().__init__(weights, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step by the gradients; weights without one stay. closure: not used."""
        for group in self.param_groups:
            alike = defaultdict[tuple[int, int], list[tuple[Tensor, Tensor]]](list)
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
                update = weight.grad.lerp(state["momentum"], MOMENTUM)
                alike[len(weight), weight[0].numel()].append((weight, update))
            for shape, found in alike.items():
                steps = orthogonal(torch.stack([update.reshape(shape) for _, update in found]))
                size = -group["lr"] * 0.2 * max(shape) ** 0.5
                for (weight, _), step in zip(found, steps, strict=True):
                    weight.add_(step.view_as(weight), alpha=size)


def orthogonal(matrices: Tensor) -> Tensor:
    """(N, R, C): U V^T of each matrix U S V^T, nearly: singular values are about 1, or stay 0."""
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


def is_matrix(weight: Tensor) -> bool:
    """Whether a weight is that of a linear layer or a convolution of several channels to several.

    Depthwise convolutions are not: what their channels learn has nothing to do with each other.
    Nor are factors of a whole image, as layer norms have them: (C, H, W).
    """
    return weight.dim() in (2, 4) and min(weight.shape[:2]) > 1


class Optimiser:
    """What changes the weights of one phase.

    has_muon: matrices among them are changed by Muon, all else by Adam.
    """

    def __init__(
        self,
        weights: Sequence[nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        *,
        has_muon: bool,
    ) -> None:
        self.weights = list(weights)
        matrices = [w for w in weights if is_matrix(w)] if has_muon else []
        others = [w for w in weights if not (has_muon and is_matrix(w))]
        self.parts: dict[str, torch.optim.Optimizer] = {}
        if others or not matrices:
            self.parts["adam"] = torch.optim.Adam(others, lr=lr, betas=betas, foreach=True)
        if matrices:
            self.parts["muon"] = Muon(matrices, lr)

    def zero_grad(self) -> None:
        """Leaves no gradients."""
        for part in self.parts.values():
            part.zero_grad(set_to_none=True)

    def set_rate(self, lr: float) -> None:
        for part in self.parts.values():
            for group in part.param_groups:
                group["lr"] = lr

    def step(self, scaler: torch.amp.GradScaler) -> None:
        """Changes the weights by their gradients, which `scaler` has scaled."""
        for part in self.parts.values():
            scaler.step(part)

    def forget(self) -> None:
        """Begins anew, knowing nothing of earlier gradients."""
        for part in self.parts.values():
            part.state.clear()
