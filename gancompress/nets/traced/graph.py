"""A network as a list of ATen operators over named tensors: what a traced generator is kept as."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from gancompress.errors import ArchError

# aten alone: it computes. `from_file` maps any file of the disk, and may create it.
_ATEN = re.compile(r"aten\.(?!from_file\b)\w+\.\w+")
# Arithmetic with the sizes of tensors, by the name that a graph's text has for it.
SCALARS: dict[str, Callable[..., Any]] = {
    "size": lambda x, axis: x.shape[axis],
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "pow": lambda a, b: a**b,
    "floordiv": lambda a, b: a // b,
    "truediv": lambda a, b: a / b,
    "mod": lambda a, b: a % b,
    "int": lambda a: int(a),
    "float": lambda a: float(a),
    "min": lambda a, b: min(a, b),
    "max": lambda a, b: max(a, b),
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "le": lambda a, b: a <= b,
    "lt": lambda a, b: a < b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "not": lambda a: not a,
}
INPUT_DEVICE = "input"  # The value of the argument `device`: where the network's input lies.
GETITEM = "getitem"  # One of the several results of an operator.


@dataclass(frozen=True)
class Ref:
    """An argument that is another value of the graph: the input, a tensor, a node's result."""

    name: str


@dataclass(frozen=True)
class Node:
    """One operator: `aten.NAME.OVERLOAD`, a key of SCALARS, or GETITEM.

    args, kwargs: as the operator takes them; values are Refs, also inside of lists.
    """

    name: str
    target: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def op(self) -> str:
        """The operator's name without its overload: `conv2d` of `aten.conv2d.default`."""
        return self.target.split(".")[1] if self.target.startswith("aten.") else self.target

    @property
    def is_scalar(self) -> bool:
        """Whether it computes numbers, not tensors."""
        return self.target in SCALARS

    @property
    def first(self) -> str:
        """The first value that it takes; "" if it takes none."""
        return next(self.refs(), "")

    def refs(self) -> Iterator[str]:
        """The values that it takes, in order; one may come several times."""
        yield from _refs([*self.args, *self.kwargs.values()])

    def mapped(self, to: Callable[[Ref], Any]) -> Node:
        """The node with every Ref of its arguments replaced."""
        kwargs = {key: map_refs(value, to) for key, value in self.kwargs.items()}
        return Node(self.name, self.target, tuple(map_refs(self.args, to)), kwargs)


@dataclass(frozen=True)
class OperatorGraph:
    """Operators in the order in which they run, from `input` (N, C, H, W) to the value `output`.

    tensors: the names of constants, and whether each is trained.
    """

    input: str
    output: str
    nodes: tuple[Node, ...]
    tensors: Mapping[str, bool]

    def to_json(self) -> dict[str, Any]:
        return {
            "input": self.input,
            "output": self.output,
            "tensors": dict(self.tensors),
            "nodes": [
                [n.name, n.target, _plain(n.args), {k: _plain(v) for k, v in n.kwargs.items()}]
                for n in self.nodes
            ],
        }

    @classmethod
    def from_json(cls, plain: Any, where: str) -> OperatorGraph:
        """Inverse of `to_json`. Raises: ArchError naming `where` for anything else."""
        try:
            nodes = tuple(
                Node(
                    str(name),
                    _known(target),
                    tuple(_read(args)),
                    {k: _read(v) for k, v in kw.items()},
                )
                for name, target, args, kw in plain["nodes"]
            )
            tensors = {str(name): bool(trained) for name, trained in plain["tensors"].items()}
            graph = cls(str(plain["input"]), str(plain["output"]), nodes, tensors)
            _check_order(graph)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise ArchError(
                f"{where}: not a traced generator ({reason}); import it again"
            ) from None
        return graph


@cache
def operator_of(target: str) -> Callable[..., Any]:
    """The operator of a node's target. Raises: ValueError for one that torch has not."""
    if target in SCALARS:
        return SCALARS[target]
    if target == GETITEM:
        return lambda values, index: values[index]
    _, name, overload = target.split(".")
    try:
        found: Callable[..., Any] = getattr(getattr(torch.ops.aten, name), overload)
    except AttributeError:
        raise ValueError(f"this torch has no operator {target}") from None
    return found


def computed(node: Node, values: Mapping[str, Any], device: str) -> Any:
    """What a node makes of values, without gradients; device: where it makes new tensors."""
    kwargs = {k: map_refs(v, lambda ref: values[ref.name]) for k, v in node.kwargs.items()}
    if kwargs.get("device") == INPUT_DEVICE:
        kwargs["device"] = torch.device(device)
    with torch.no_grad():
        return operator_of(node.target)(
            *map_refs(node.args, lambda ref: values[ref.name]), **kwargs
        )


def map_refs(given: Any, to: Callable[[Ref], Any]) -> Any:
    """Arguments with every Ref replaced, also inside of lists and tuples, which become lists."""
    if isinstance(given, Ref):
        return to(given)
    if isinstance(given, list | tuple):
        return [map_refs(one, to) for one in given]
    return given


def _refs(given: Any) -> Iterator[str]:
    if isinstance(given, Ref):
        yield given.name
    elif isinstance(given, list | tuple):
        for one in given:
            yield from _refs(one)


def _known(target: Any) -> str:
    if target in SCALARS or target == GETITEM:
        return str(target)
    if not (isinstance(target, str) and _ATEN.fullmatch(target)):
        raise ValueError(f"the operator {target!r}")
    operator_of(target)
    return target


def _check_order(graph: OperatorGraph) -> None:
    known = {graph.input, *graph.tensors}
    for node in graph.nodes:
        if missing := [name for name in node.refs() if name not in known]:
            raise ValueError(f"{node.name} takes {missing[0]!r}, which is not there yet")
        known.add(node.name)
    if graph.output not in known:
        raise ValueError(f"the output {graph.output!r} is not there")


_NAMED = (torch.dtype, torch.memory_format, torch.layout)


def _plain(given: Any) -> Any:
    if isinstance(given, Ref):
        return {"ref": given.name}
    if isinstance(given, list | tuple):
        return [_plain(one) for one in given]
    if isinstance(given, _NAMED):
        return {"torch": str(given).removeprefix("torch.")}
    if isinstance(given, float) and given in (float("inf"), float("-inf")):
        return {"float": str(given)}
    return given


def _read(given: Any) -> Any:
    if isinstance(given, list):
        return [_read(one) for one in given]
    if isinstance(given, dict):
        ((kind, value),) = given.items()
        if kind == "ref":
            return Ref(str(value))
        if kind == "float":
            return float(value)
        found = getattr(torch, str(value)) if kind == "torch" else None
        if not isinstance(found, _NAMED):
            raise ValueError(f"the argument {given}")
        return found
    if not isinstance(given, str | int | float | bool | None):
        raise ValueError(f"the argument {given!r}")
    return given
