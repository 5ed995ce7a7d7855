"""The operators of an exported graph, none of which changes a tensor in place."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from gancompress.errors import ArchError
from gancompress.nets.traced.graph import GETITEM, INPUT_DEVICE, Node, Ref, operator_of

# Operators that pass their first argument on: outside of training, and for one dtype and device.
_PASSING = {
    "dropout", "feature_dropout", "alpha_dropout", "contiguous", "clone", "detach", "alias",
    "lift_fresh_copy", "lift_fresh", "identity",
}  # fmt: skip
# Operators that only check what was true when the network was traced.
_CHECKS = ("_assert", "sym_constrain_range", "_check")
_RANDOM = {
    "rand", "randn", "rand_like", "randn_like", "randint", "randint_like", "randperm", "normal",
    "normal_", "uniform", "uniform_", "bernoulli", "multinomial", "exponential_",
}  # fmt: skip
_SCALARS: Mapping[Any, str] = {
    torch.ops.aten.sym_size.int: "size",
    torch.sym_int: "int",
    torch.sym_float: "float",
    torch.sym_min: "min",
    torch.sym_max: "max",
    operator.add: "add",
    operator.sub: "sub",
    operator.mul: "mul",
    operator.neg: "neg",
    operator.pow: "pow",
    operator.floordiv: "floordiv",
    operator.truediv: "truediv",
    operator.mod: "mod",
    operator.ge: "ge",
    operator.gt: "gt",
    operator.le: "le",
    operator.lt: "lt",
    operator.eq: "eq",
    operator.ne: "ne",
    torch.sym_not: "not",
}
_PLACES = ("device", "layout", "pin_memory")  # arguments that say where a tensor lies


def functional_nodes(
    graph: fx.Graph, names: Mapping[str, str], where: str
) -> tuple[list[Node], dict[str, str]]:
    """The operators of `graph`, and the values that others stand for.

    names: of the tensors that its placeholders are.
    Raises: ArchError naming `where` for an operator that is not taken.
    """
    reading = _GraphReading(graph, names, where)
    for node in graph.nodes:
        reading.take(node)
    return reading.nodes, reading.alias


class _GraphReading:
    """Reads an exported graph node by node, and writes down what is computed.

    alias: what stands for a value of the exported graph. views: slices of tensors, by name.
    """

    def __init__(self, graph: fx.Graph, names: Mapping[str, str], where: str) -> None:
        self.alias, self.nodes = dict(names), list[Node]()
        self._where = where
        self._views: dict[str, fx.Node] = {}
        order = {node: number for number, node in enumerate(graph.nodes)}
        self._last_use = {
            node.name: max((order[user] for user in node.users), default=-1) for node in graph.nodes
        }
        self._order = order

    def take(self, node: fx.Node) -> None:
        """Reads the next node. Raises: ArchError."""
        if node.op != "call_function":
            if node.op not in ("placeholder", "output"):
                raise ArchError(
                    f"{self._where}: holds {node.target!r}, another graph; it is not taken"
                )
            return
        target = str(node.target)
        name = target.split(".")[1] if target.startswith("aten.") else target
        if node.target in _SCALARS or node.target is operator.getitem:
            kind = _SCALARS.get(node.target, GETITEM)
            self.nodes.append(Node(node.name, kind, tuple(self._read(node.args))))
        elif name.startswith(_CHECKS):
            return
        elif name in _PASSING or _keeps_type(node, name):
            self.alias[node.name] = self._read(node.args[0]).name
        else:
            self._must_compute(target, name)
            if name.endswith("_") and not name.endswith("__"):
                self._in_place(node, name)
                return
            if _is_view(node):
                self._views[node.name] = node
            self.nodes.append(_usual(Node(node.name, target, *self._arguments(node))))

    def _must_compute(self, target: str, name: str) -> None:
        if not target.startswith("aten."):
            raise ArchError(
                f"{self._where}: uses {target}, which is no operator of torch's own tensor "
                "library; a generator of those alone is taken"
            )
        if name in _RANDOM:
            raise ArchError(
                f"{self._where}: draws random numbers ({target}), so its answer changes with every "
                "call; fix them, or take them off outside of training"
            )

    def _read(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return Ref(self.alias.get(argument.name, argument.name))
        if isinstance(argument, list | tuple):
            return [self._read(one) for one in argument]
        if isinstance(argument, torch.device):
            return INPUT_DEVICE
        return argument

    def _arguments(self, node: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = {
            k: (INPUT_DEVICE if k == "device" else self._read(v))
            for k, v in node.kwargs.items()
            if k not in _PLACES[1:] and not (k == "device" and v is None)
        }
        return tuple(self._read(node.args)), kwargs

    def _in_place(self, node: fx.Node, name: str) -> None:
        """What an operator in place computes, and then what it was a part of.

        The input too is as it was for its owner: what the network answers is all that is kept.
        """
        args, kwargs = self._arguments(node)
        changed = node.args[0]
        assert isinstance(changed, fx.Node), "it changes a tensor"
        if name == "copy_" and _is_like(node.args[1], changed):
            new = args[1].name
        else:
            new = node.name
            self.nodes.append(Node(new, self._target(node, name), args, kwargs))
        at = changed
        while at.name in self._views and self._is_seen(at, node):  # into what it is a part of
            base = at.args[0]
            assert isinstance(base, fx.Node), "a part is of a tensor"
            self._must_be_over(base, at, node, name)
            part = f"{node.name}_in_{base.name}"
            self.nodes.append(Node(part, *self._put_back(at, base, new, name)))
            self._replace(at, new)
            new, at = part, base
        self._must_be_over(at, changed, node, name)
        self._replace(at, new)
        self.alias[node.name] = self.alias.get(changed.name, new)

    def _put_back(
        self, view: fx.Node, base: fx.Node, new: str, name: str
    ) -> tuple[str, tuple[Any, ...]]:
        """The operator, with its arguments, that makes the base of a view whose value is `new`."""
        op, rest = str(view.target).split(".")[1], self._read(view.args[1:])
        if op in ("slice", "select"):
            return f"aten.{op}_scatter.default", (self._read(base), Ref(new), *rest)
        if op == "transpose":
            return "aten.transpose.int", (Ref(new), *rest)
        if op == "permute":
            axes = [axis % len(rest[0]) for axis in rest[0]]
            back = [axes.index(axis) for axis in range(len(axes))]
            return "aten.permute.default", (Ref(new), back)
        if op in ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze"):
            return "aten.reshape_as.default", (Ref(new), self._read(base))
        raise self._part(name)

    def _is_seen(self, view: fx.Node, node: fx.Node) -> bool:
        """Whether what a view is of, or another view of that, is used later than `node`."""
        root = self._root(view)
        others = [one for one in self._views.values() if self._root(one) is root]
        own = {view.name}
        for one in others:  # in the order in which they were made
            if str(one.args[0]) in own:
                own.add(one.name)
        return any(
            self._last_use[one.name] > self._order[node]
            for one in (root, *others)
            if one.name not in own
        )

    def _root(self, view: fx.Node) -> fx.Node:
        """The tensor that a view, or a view of a view, is of."""
        while view.name in self._views:
            base = view.args[0]
            assert isinstance(base, fx.Node), "a part is of a tensor"
            view = base
        return view

    def _replace(self, node: fx.Node, new: str) -> None:
        """Whoever takes the value of a node from here on takes the new one."""
        old = self.alias.get(node.name, node.name)
        for key in [k for k, v in self.alias.items() if v == old]:
            self.alias[key] = new
        self.alias[node.name] = new

    def _must_be_over(self, base: fx.Node, changed: fx.Node, node: fx.Node, name: str) -> None:
        """Raises: ArchError if another slice of what changes is taken later on."""
        for view in self._views.values():
            is_other = view.args[0] is base and view is not changed
            if is_other and self._last_use[view.name] > self._order[node]:
                raise self._part(name)

    def _part(self, name: str) -> ArchError:
        return ArchError(
            f"{self._where}: {name} changes a part of a tensor in place; write it without, or "
            "export it as ONNX"
        )

    def _target(self, node: fx.Node, name: str) -> str:
        """The target that computes what an operator in place writes."""
        overload = str(node.target).split(".")[2]
        target = f"aten.{name.rstrip('_')}.{overload}"
        try:
            operator_of(target)
        except ValueError:
            raise ArchError(
                f"{self._where}: {node.target} changes a tensor in place; write it without"
            ) from None
        return target


def _is_like(given: Any, other: fx.Node) -> bool:
    """Whether a value has the shape and the type of another."""
    if not isinstance(given, fx.Node):
        return False
    one, two = given.meta.get("val"), other.meta.get("val")
    if not (isinstance(one, Tensor) and isinstance(two, Tensor)):
        return False
    return one.shape == two.shape and one.dtype == two.dtype


def _usual(node: Node) -> Node:
    """The convolution of some tracers by the names that it has in torch.nn.functional; a view that
    does not ask how a tensor lies in memory, because what made it lie so is left out."""
    if node.target in ("aten.view.default", "aten._unsafe_view.default"):
        return Node(node.name, "aten.reshape.default", node.args)
    if node.target == "aten.copy.default":  # has no gradient
        return Node(node.name, "aten.expand_as.default", (node.args[1], node.args[0]))
    if node.target not in ("aten.convolution.default", "aten._convolution.default"):
        return node
    *first, dilation, transposed, output_padding, groups = node.args[:9]
    if transposed:
        args = (*first, output_padding, groups, dilation)
        return Node(node.name, "aten.conv_transpose2d.input", args)
    return Node(node.name, "aten.conv2d.default", (*first, dilation, groups))


def _keeps_type(node: fx.Node, name: str) -> bool:
    """Whether it is a conversion to the type that the tensor has."""
    if name not in ("to", "_to_copy", "type_as", "float"):
        return False
    given = node.args[0]
    before = given.meta.get("val") if isinstance(given, fx.Node) else None
    after = node.meta["val"]
    return isinstance(before, Tensor) and before.dtype == after.dtype


def _is_view(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and any(r.alias_info is not None for r in schema.returns)
