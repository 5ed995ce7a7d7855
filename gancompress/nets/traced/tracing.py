"""From a module, or an exported program, to a graph of ATen operators and its named tensors."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._export.converter import TS2EPConverter
from torch.export import Dim, ExportedProgram

from gancompress.errors import ArchError
from gancompress.nets.families.ownfile import reason
from gancompress.nets.traced.graph import GETITEM, INPUT_DEVICE, Graph, Node, Ref, operator_of
from gancompress.nets.traced.simplifying import simplified

EXAMPLE_BATCH = 2  # torch.export takes a batch of 1 for a constant.
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
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
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
}
_PLACES = ("device", "layout", "pin_memory")  # arguments that say where a tensor lies


@dataclass(frozen=True)
class Traced:
    """A graph, the values of its tensors by name, and whether height and width are free."""

    graph: Graph
    tensors: dict[str, Tensor]
    is_static: bool


def trace(net: nn.Module, shape: Sequence[int], where: str) -> Traced:
    """The graph of a network that takes one image (C, H, W) of `shape`.

    Height and width are free where its code allows it. Parameters keep their names. Norms and
    dropout are those of evaluation.
    Raises: ArchError naming `where` if it cannot be traced, or is not a graph of tensors.
    """
    net = net.eval()
    x = torch.zeros(EXAMPLE_BATCH, *shape)
    if isinstance(net, torch.jit.ScriptModule):
        return from_program(_of_script(net, x, where), where)
    errors: list[Exception] = []
    for is_static in (False, True):
        sizes = {0: Dim.AUTO} if is_static else {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what its code does that loses nothing here
                program = torch.export.export(net, (x,), dynamic_shapes=(sizes,))
        except Exception as error:  # The user's code may raise anything, and so may the tracer.
            errors.append(error)
            continue
        return from_program(program, where)
    raise ArchError(
        f"{where}: cannot be traced on an image of {tuple(shape)} ({reason(errors[0])[:300]}); "
        "give --size HxW that it takes, or take branches on values of tensors out of its forward()"
    ) from errors[0]


def _of_script(net: torch.jit.ScriptModule, x: Tensor, where: str) -> ExportedProgram:
    try:
        program: ExportedProgram = TS2EPConverter(net, (x,)).convert()
    except Exception as error:
        raise ArchError(
            f"{where}: this TorchScript cannot be turned into a graph ({reason(error)[:300]}); "
            "give the module that it was made of"
        ) from error
    return program


def from_program(program: ExportedProgram, where: str) -> Traced:
    """The graph of a program of one image. Raises: ArchError naming `where`, as `trace`."""
    signature = program.graph_signature
    held: dict[str, Tensor] = {**program.state_dict, **program.constants}
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    inputs = list(signature.user_inputs)
    if len(inputs) != 1 or len(signature.user_outputs) != 1:
        raise ArchError(
            f"{where}: takes {len(inputs)} inputs and answers with {len(signature.user_outputs)} "
            "values; one image in and one out are needed: bind the others with --bind NAME=FILE.npy"
        )
    if signature.buffers_to_mutate:
        changed = next(iter(signature.buffers_to_mutate.values()))
        raise ArchError(
            f"{where}: changes {changed} each time that it runs; a generator's answer may depend "
            "on its input alone"
        )
    given = str(inputs[0])
    nodes, alias = _nodes(program.graph, given, names, where)
    output = str(signature.user_outputs[0])
    # Converters of other formats make buffers of all weights.
    weights = signature.inputs_to_parameters or signature.inputs_to_buffers
    trained = {name: True for name in weights.values() if not name.endswith(_STATISTICS)}
    tensors = {name: held[name].detach() for name in names.values()}
    graph, tensors = simplified(nodes, given, alias.get(output, output), tensors, trained)
    if not isinstance(_shape_of(program, given), torch.Size) or _rank(program, output) != 4:
        raise ArchError(f"{where}: its answer is no image; one tensor (N, C, H, W) is needed")
    shape = _shape_of(program, given)
    return Traced(graph, tensors, all(isinstance(side, int) for side in shape[2:]))


def _shape_of(program: ExportedProgram, name: str) -> torch.Size:
    found: torch.Size = next(n for n in program.graph.nodes if n.name == name).meta["val"].shape
    return found


def _rank(program: ExportedProgram, name: str) -> int:
    value = next(n for n in program.graph.nodes if n.name == name).meta.get("val")
    return value.dim() if isinstance(value, Tensor) else 0


def _nodes(
    graph: fx.Graph, given: str, names: Mapping[str, str], where: str
) -> tuple[list[Node], dict[str, str]]:
    """The operators of an exported graph, none of which changes a tensor in place; and the values
    that others stand for."""
    alias: dict[str, str] = dict(names)  # what stands for a value of the exported graph
    found: list[Node] = []
    views: dict[str, str] = {}

    def read(argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return Ref(alias.get(argument.name, argument.name))
        if isinstance(argument, list | tuple):
            return [read(one) for one in argument]
        if isinstance(argument, torch.device):
            return INPUT_DEVICE
        return argument

    for node in graph.nodes:
        if node.op != "call_function":
            if node.op not in ("placeholder", "output"):
                raise ArchError(f"{where}: holds {node.target!r}, another graph; it is not taken")
            continue
        target = str(node.target)
        name = target.split(".")[1] if target.startswith("aten.") else target
        if node.target in _SCALARS or node.target is operator.getitem:
            kind = _SCALARS.get(node.target, GETITEM)
            found.append(Node(node.name, kind, tuple(read(node.args))))
            continue
        if name.startswith(_CHECKS):
            continue
        if not target.startswith("aten."):
            raise ArchError(
                f"{where}: uses {target}, which is no operator of torch's own tensor library; a "
                "generator of those alone is taken"
            )
        if name in _RANDOM:
            raise ArchError(
                f"{where}: draws random numbers ({target}), so its answer changes with every call; "
                "fix them, or take them off outside of training"
            )
        args, kwargs = tuple(read(node.args)), {k: read(v) for k, v in node.kwargs.items()}
        if name in _PASSING or _keeps_type(node, name):
            alias[node.name] = args[0].name
            continue
        kwargs = {
            k: (INPUT_DEVICE if k == "device" else v)
            for k, v in kwargs.items()
            if k not in _PLACES[1:] and not (k == "device" and v is None)
        }
        if name.endswith("_") and not name.endswith("__"):  # in place
            target = _functional(node, name, where)
            changed = args[0].name
            if changed in views or changed in views.values() or changed == given:
                raise ArchError(
                    f"{where}: {name} changes a part of a tensor in place; write it without, or "
                    "export it as ONNX"
                )
            # Whoever takes the tensor from here on takes what it was changed to.
            for key in [k for k, v in alias.items() if v == changed] or ():
                alias[key] = node.name
            alias[changed] = node.name
        elif _is_view(node):
            views[node.name] = args[0].name
        found.append(_usual(Node(node.name, target, args, kwargs)))
    return found, alias


def _usual(node: Node) -> Node:
    """The convolution of some tracers by the names that it has in torch.nn.functional."""
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


def _functional(node: fx.Node, name: str, where: str) -> str:
    """The target that computes what an operator in place writes."""
    overload = str(node.target).split(".")[2]
    target = f"aten.{name.rstrip('_')}.{overload}"
    try:
        operator_of(target)
    except ValueError:
        raise ArchError(
            f"{where}: {node.target} changes a tensor in place; write it without"
        ) from None
    return target
