"""Weights that a file holds in factors, multiplied out as their programs do in evaluation."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import CheckpointError

# Of each form the key of the main factor, then by its groups: the weight's key, and the other
# factors'. torch writes the first of both lists by hooks, the second by parametrizations.
_Forms = tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]
_SPECTRAL: _Forms = (
    (re.compile(r"(.*\bweight)_orig"), (r"\1", r"\1_u", r"\1_v")),
    (
        re.compile(r"(.*\b)parametrizations\.(\w+)\.original"),
        (r"\1\2", r"\1parametrizations.\2.0._u", r"\1parametrizations.\2.0._v"),
    ),
)
_WEIGHT: _Forms = (
    (re.compile(r"(.*\bweight)_g"), (r"\1", r"\1_v")),
    (
        re.compile(r"(.*\b)parametrizations\.(\w+)\.original0"),
        (r"\1\2", r"\1parametrizations.\2.original1"),
    ),
)


def folded(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """`tensors` with spectral norms (Miyato et al. 2018) and weight norms (Salimans and Kingma
    2016) multiplied out, under the weights' own keys; the rest as it is.

    Raises: CheckpointError naming `where` and a factor that is missing or does not fit.
    """
    found = dict(tensors)
    for forms, product in ((_SPECTRAL, _spectral), (_WEIGHT, _weight)):
        for key, factor in tensors.items():
            for pattern, names in forms:
                if match := pattern.fullmatch(key):
                    weight, *others = (match.expand(name) for name in names)
                    given = {other: found.pop(other, None) for other in others}
                    found[weight] = product(key, factor, given, found.pop(weight, None), where)
                    del found[key]
    return found


def _spectral(
    key: str, factor: Tensor, given: Mapping[str, Tensor | None], stored: Tensor | None, where: str
) -> Tensor:
    """W / (u^T W v), without the step of power iteration that training takes first.

    `stored`: before version 1.0 torch kept no v, but the weight as last divided.
    """
    (u_key, u), (v_key, v) = given.items()
    if u is None:
        raise CheckpointError(f"{where}: key {u_key} is missing beside {key}; save the file again")
    if v is None and stored is not None:
        return stored
    # The rows are output channels: axis 0, or 1 of a transposed convolution.
    tables = [
        factor.movedim(axis, 0).flatten(1)
        for axis in range(min(factor.dim(), 2))
        if u.shape == factor.shape[axis : axis + 1]
    ]
    if not tables or (v is not None and v.shape != tables[0].shape[1:]):
        shapes = ", ".join(str(tuple(t.shape)) for t in (factor, u, v) if t is not None)
        raise CheckpointError(
            f"{where}: keys {key}, {u_key} and {v_key} are {shapes}; vectors as long as the "
            "weight's rows and columns are needed"
        )

    def right(table: Tensor) -> Tensor:
        return F.normalize(table.t().mv(u), dim=0) if v is None else v

    def agreement(table: Tensor) -> float:
        """1 where u is as the last power iteration left it: along W v."""
        return float(F.cosine_similarity(table.mv(right(table)), u, dim=0))

    table = max(tables, key=agreement)  # A square table's axes have equal lengths.
    return factor / torch.dot(u, table.mv(right(table)))


def _weight(
    key: str, factor: Tensor, given: Mapping[str, Tensor | None], stored: Tensor | None, where: str
) -> Tensor:
    """g V / |V|, the norm over all axes along which g has one entry."""
    ((v_key, v),) = given.items()
    if v is None or v.dim() != factor.dim():
        raise CheckpointError(
            f"{where}: key {v_key} is missing beside {key}, or of other dimensions; "
            "save the file again"
        )
    axes = [axis for axis, size in enumerate(factor.shape) if size == 1]
    return factor * v / torch.linalg.vector_norm(v, dim=axes, keepdim=True)
