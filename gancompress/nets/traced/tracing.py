"""From a module, or an exported program, to a graph of ATen operators and its named tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx.experimental.symbolic_shapes import is_concrete_int

from gancompress.errors import ArchError
from gancompress.nets.families.ownfile import reason
from gancompress.nets.traced.batches import BATCHES, with_free_batch
from gancompress.nets.traced.exporting import SECONDS, TracerTimeout, of_module, of_script
from gancompress.nets.traced.functional import functional_nodes
from gancompress.nets.traced.graph import Node, OperatorGraph
from gancompress.nets.traced.layers import tensors_in_places
from gancompress.nets.traced.masking import without_masks
from gancompress.nets.traced.network import TracedNet
from gancompress.nets.traced.simplifying import held_plainly, simplified

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class TracedGraph:
    """A graph, the values of its tensors by name, and whether height and width are free.

    fixed_by: where they are not, why, if that is known.
    """

    graph: OperatorGraph
    tensors: dict[str, Tensor]
    is_static: bool
    fixed_by: str = ""


def trace(
    net: nn.Module, shape: Sequence[int], where: str, seconds: float = SECONDS
) -> TracedGraph:
    """The graph of a network that takes one image (C, H, W) of `shape`.

    Height and width are free where its code allows it, and torch's tracer finds that out in so many
    seconds. Parameters keep their names. Norms and dropout are those of evaluation.
    Raises: ArchError naming `where` if it cannot be traced, or is not a graph of tensors.
    """
    net = net.eval()
    x = torch.zeros(BATCHES[0], *shape)
    if isinstance(net, torch.jit.ScriptModule):
        return from_program(of_script(net, x, where), where)
    first: Exception | None = None
    fixed_by = ""
    for is_static in (False, True):
        try:
            program = of_module(net, x, is_static, 0 if is_static else seconds)
        except TracerTimeout:
            fixed_by = f"torch's tracer takes more than {seconds:g} s with free height and width"
            continue
        except Exception as error:  # The user's code may raise anything, and so may the tracer.
            first = first or error
            continue
        read = _read(program, where)
        traced = _settled(read)
        if not all(_takes(traced, images, shape) for images in (1, 3)):
            # Its code has made an integer of the number of images.
            traced = _settled(_with_free_batch(read, net, is_static, where))
        return replace(traced, fixed_by=fixed_by)
    told = fixed_by if first is None else reason(first)[:300]
    raise ArchError(
        f"{where}: cannot be traced on an image of {tuple(shape)} ({told}); "
        "give --size HxW that it takes, or take branches on values of tensors out of its forward()"
    ) from first


def from_program(program: ExportedProgram, where: str) -> TracedGraph:
    """The graph of a program of one image. Raises: ArchError naming `where`, as `trace`."""
    return _settled(_read(program, where))


@dataclass(frozen=True)
class _Program:
    """A program as it was read: its operators, with those that no input decides.

    tensors: by name, and whether each is trained. shape: of the input `given`, as traced.
    """

    nodes: list[Node]
    given: str
    output: str
    tensors: dict[str, Tensor]
    trained: Mapping[str, bool]
    shape: torch.Size


def _with_free_batch(read: _Program, net: nn.Module, is_static: bool, where: str) -> _Program:
    """A program of any number of images, by one more trace; as it is where that does not tell."""
    x = torch.zeros(BATCHES[1], *map(int, read.shape[1:]))
    try:
        other = _read(of_module(net, x, is_static, SECONDS), where)
    except (Exception, TracerTimeout):  # The code takes no such number, or the tracer is lost.
        return read
    shapes = [{name: t.shape for name, t in one.tensors.items()} for one in (read, other)]
    nodes = with_free_batch(read.nodes, other.nodes, read.given) if shapes[0] == shapes[1] else None
    return replace(read, nodes=nodes or read.nodes)


def _takes(traced: TracedGraph, images: int, shape: Sequence[int]) -> bool:
    """Whether a graph answers so many images, by their shapes alone."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in traced.tensors.items()}
        net, x = TracedNet(traced.graph, shapes).eval(), torch.empty(images, *shape)
    try:
        with torch.no_grad():
            return len(net(x)) == images
    except (RuntimeError, ValueError, TypeError, IndexError):
        return False


def _settled(read: _Program) -> TracedGraph:
    graph, tensors = simplified(read.nodes, read.given, read.output, read.tensors, read.trained)
    graph, tensors = held_plainly(graph, tensors, tensors_in_places(graph))
    return TracedGraph(graph, tensors, all(isinstance(side, int) for side in read.shape[2:]))


def _read(program: ExportedProgram, where: str) -> _Program:
    """Raises: ArchError naming `where` for what is no graph of tensors, from image to image."""
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
    nodes, alias = functional_nodes(program.graph, names, where)
    nodes = without_masks(nodes, _seen(program, names))
    output = str(signature.user_outputs[0])
    # Converters of other formats make buffers of all weights.
    weights = signature.inputs_to_parameters or signature.inputs_to_buffers
    trained = {called[name]: True for name in weights.values() if not name.endswith(_STATISTICS)}
    tensors = {new: held[name].detach() for name, new in called.items()}
    shape = _shape_of(program, given)
    return _Program(nodes, given, alias.get(output, output), tensors, trained, shape)


def _seen(program: ExportedProgram, names: Mapping[str, str]) -> dict[str, object]:
    """What the tracer knew of each value by the name that it has in the graph."""
    return {names.get(n.name, n.name): n.meta.get("val") for n in program.graph.nodes}


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
    """The shape of a value, free sizes as they are; the tracer keeps some fixed ones as if free."""
    found: torch.Size = next(n for n in program.graph.nodes if n.name == name).meta["val"].shape
    return torch.Size([int(side) if is_concrete_int(side) else side for side in found])


def _rank(program: ExportedProgram, name: str) -> int:
    value = next(n for n in program.graph.nodes if n.name == name).meta.get("val")
    return value.dim() if isinstance(value, Tensor) else 0
