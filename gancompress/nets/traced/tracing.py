"""From a module, or an exported program, to a graph of ATen operators and its named tensors."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._export.converter import TS2EPConverter
from torch.export import Dim, ExportedProgram

from gancompress.errors import ArchError
from gancompress.nets.families.ownfile import reason
from gancompress.nets.traced.functional import functional_nodes
from gancompress.nets.traced.graph import OperatorGraph
from gancompress.nets.traced.layers import tensors_in_places
from gancompress.nets.traced.simplifying import simplified, without_leading

EXAMPLE_BATCH = 2  # torch.export takes a batch of 1 for a constant.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class TracedGraph:
    """A graph, the values of its tensors by name, and whether height and width are free."""

    graph: OperatorGraph
    tensors: dict[str, Tensor]
    is_static: bool


def trace(net: nn.Module, shape: Sequence[int], where: str) -> TracedGraph:
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
                warnings.simplefilter("ignore")  # They are about code that loses nothing here.
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


def from_program(program: ExportedProgram, where: str) -> TracedGraph:
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
    if len(_shape_of(program, given)) != 4 or _rank(program, str(signature.user_outputs[0])) != 4:
        raise ArchError(f"{where}: its answer is no image; one tensor (N, C, H, W) is needed")
    called = _apart(names.values(), {node.name for node in program.graph.nodes})
    names = {placeholder: called[name] for placeholder, name in names.items()}
    nodes, alias = functional_nodes(program.graph, given, names, where)
    output = str(signature.user_outputs[0])
    # Converters of other formats make buffers of all weights.
    weights = signature.inputs_to_parameters or signature.inputs_to_buffers
    trained = {called[name]: True for name in weights.values() if not name.endswith(_STATISTICS)}
    tensors = {new: held[name].detach() for name, new in called.items()}
    graph, tensors = simplified(nodes, given, alias.get(output, output), tensors, trained)
    graph, tensors = without_leading(graph, tensors, tensors_in_places(graph))
    sides = _shape_of(program, given)[2:]
    return TracedGraph(graph, tensors, all(isinstance(side, int) for side in sides))


def _apart(names: Iterable[str], taken: Set[str]) -> dict[str, str]:
    """By each tensor's name, one that no operator has: a buffer `mean` beside an operator `mean`
    would be taken for what that computes."""
    found: dict[str, str] = {}
    for name in names:
        new = name
        while new in taken:
            new += "_"
        found[name] = new
        taken = {*taken, new}
    return found


def _shape_of(program: ExportedProgram, name: str) -> torch.Size:
    found: torch.Size = next(n for n in program.graph.nodes if n.name == name).meta["val"].shape
    return found


def _rank(program: ExportedProgram, name: str) -> int:
    value = next(n for n in program.graph.nodes if n.name == name).meta.get("val")
    return value.dim() if isinstance(value, Tensor) else 0
