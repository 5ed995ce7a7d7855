"""Proof, by trying, of which channels of a network may change places and which a narrow one has.

A slot's channels are put in a random order in all tensors that it moves: where that leaves the
network's answer as it was, they may be sorted, and the leading ones are a narrower network. Where
it does not, other ways are tried in which the axes may lie, see `gancompress.channels`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

from gancompress.arch import Arch, SearchSpace
from gancompress.channels import Axis, Block, Channels, Layout, block_sizes, permute, sets_of
from gancompress.cost import network_cost
from gancompress.errors import ArchError
from gancompress.nets.windows import bundles_of
from gancompress.supernet import Build, named_tensors, skeleton_of

MOST_TRIALS = 200  # ways in which the axes of one slot may lie that are tried
MOST_REPEATS = 4  # blocks of one slot on an axis that other slots share
MOST_MACS = 1_000_000_000  # of a network that is tried; some 0.2 s in float64
# Attributes that name how many groups or heads a module divides its channels into.
DIVIDING = ("num_groups", "groups", "num_heads", "n_heads", "heads", "nhead")
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}  # of the answer's spread


@dataclass(frozen=True)
class AxisSize:
    """The size of one axis: so many channels per unit of each slot, and so many besides.

    members: neighbours that its module says belong together.
    """

    units: tuple[tuple[str, Fraction], ...]
    besides: Fraction
    members: int = 1


Choice = dict[AxisSize, Layout]  # axes of equal sizes lie alike


def widths_of(space: SearchSpace, arch: Arch) -> dict[str, list[int]]:
    """The widths that each width slot has in the space or in `arch`, where they are several."""
    found = {}
    for slot, values in space.choices:
        widths = {v for v in (*values, arch[slot]) if isinstance(v, int)}
        if len(widths) > 1:
            found[slot] = sorted(widths)
    return found


def axis_sizes(
    build: Build, arch: Arch, widths: Mapping[str, Sequence[int]]
) -> dict[Axis, AxisSize]:
    """The axes of the tensors of `arch` that slots move, and how.

    Discovered: skeletons that differ in one slot are built, with widths of `widths`, which must
    hold another than the arch's for every slot to discover.
    """
    net = skeleton_of(build, arch)
    bundles, units = bundles_of(net), dict[Axis, dict[str, Fraction]]()
    shapes = {name: tensor.shape for name, tensor in named_tensors(net)}
    for slot, allowed in widths.items():
        width = arch.width(slot)
        other = min((w for w in allowed if w != width), key=lambda w: (abs(w - width), w))
        narrow = dict(named_tensors(skeleton_of(build, arch.replace({slot: other}))))
        for name, shape in shapes.items():
            for axis in range(min(2, len(shape))):
                there = narrow[name].shape[axis] if name in narrow else shape[axis]
                if there != shape[axis]:
                    growth = Fraction(shape[axis] - there, width - other)
                    units.setdefault((name, axis), {})[slot] = growth
    found = {}
    for (name, axis), of in units.items():
        grown = sum((n * arch.width(slot) for slot, n in of.items()), Fraction(0))
        members = bundles.get(name, 1) if axis == 0 else 1
        key = tuple(sorted(of.items()))
        found[name, axis] = AxisSize(key, shapes[name][axis] - grown, members)
    return found


def declared(build: Build, archs: Sequence[Arch], widths: Mapping[str, Sequence[int]]) -> Channels:
    """The axes of `archs` as one block each, but for what their modules say of bundles; unproven.

    widths: see `axis_sizes`.
    """
    found: dict[Axis, AxisSize] = {}
    for arch in archs:
        found |= axis_sizes(build, arch, widths)
    return Channels({axis: _whole(size, size.units[0][0]) for axis, size in found.items()})


def prove(
    build: Build, space: SearchSpace, arch: Arch, shape: Sequence[int], *, is_strict: bool = True
) -> Channels:
    """How the axes lie of `arch`, a teacher's, and of the subnets of `space`; proven on one input.

    shape: (C, H, W) of inputs. is_strict: refuses a slot of which nothing is proven; otherwise its
    channels keep their order.
    Raises: ArchError, naming the slot; or if the network is random or does not run.
    """
    widths = widths_of(space, arch)
    trials = [_Trial(build, one, widths, shape) for one in _to_try(build, space, arch, shape)]
    for trial in trials:
        trial.must_tell()
    sizes = dict.fromkeys(size for trial in trials for size in trial.sizes.values())
    whole = {size: _whole(size, size.units[0][0]) for size in sizes}
    if all(len(size.units) == 1 and not size.besides for size in sizes):
        if all(trial.holds(whole, list(widths)) for trial in trials):
            return _channels(trials, whole, {})
    found: dict[str, list[Choice]] = {slot: [] for slot in widths}
    unsorted: dict[str, str] = {}
    for slot in widths:
        mine = [size for size in sizes if slot in dict(size.units)]
        is_alone = all(len(size.units) == 1 for size in mine)
        for choice in itertools.islice(_choices(mine, slot, sizes, trials), MOST_TRIALS):
            if all(trial.holds(choice, [slot]) for trial in trials):
                found[slot].append(choice)
                if is_alone:
                    break
        if not found[slot]:
            unsorted[slot] = "no order of its channels but their own gives the same answer"
    agreed = _agreed(whole, found, unsorted)
    for slot in unsorted:
        if is_strict and not all(trial.is_narrowed(slot, widths[slot]) for trial in trials):
            raise ArchError(
                f"space.widths: {slot} is refused: its channels are not alike, as neither another "
                "order nor the leading ones alone give what the network gave; give "
                f"{{{slot}: [{arch[slot]}]}}, the teacher's width, or supernet.init=random"
            )
    return _channels(trials, agreed, unsorted)


def _to_try(build: Build, space: SearchSpace, arch: Arch, shape: Sequence[int]) -> list[Arch]:
    """`arch` and widest archs, undivided, that have every tensor; narrow ones if those cost much."""
    cheap = space.preferred({slot: values[::-1] for slot, values in space.categories.items()})
    names: set[str] = set()
    found = []
    for one in dict.fromkeys([arch, space.largest, space.level(0, cheap), *space.corners()]):
        net = skeleton_of(build, one)
        mine = {name for name, _ in named_tensors(net)}
        is_undivided = all(one[s] == "0" for s, _ in one.slots if s.endswith(".bands"))
        if is_undivided and not mine <= names:
            cost = network_cost(net, torch.empty(1, *shape, device="meta"))
            found.append(one if cost.macs_true <= MOST_MACS else _narrowed(space, one))
            names |= mine
    return found


def _narrowed(space: SearchSpace, arch: Arch) -> Arch:
    """`arch` with the narrowest widths of the space: the axes lie as in a wide one."""
    widths = {s: min(w for w in v if isinstance(w, int)) for s, v in space.choices
              if isinstance(arch[s], int)}  # fmt: skip
    return arch.replace(widths)


def _channels(trials: Sequence[_Trial], choice: Choice, unsorted: Mapping[str, str]) -> Channels:
    layouts = {axis: choice[size] for trial in trials for axis, size in trial.sizes.items()}
    return Channels(layouts, unsorted)


def _agreed(
    whole: Choice, found: Mapping[str, Sequence[Choice]], unsorted: dict[str, str]
) -> Choice:
    """One layout of every axis that all its slots have proven, each with its own bundles."""
    agreed: Choice = {}
    for slot, choices in found.items():
        if not choices:
            continue
        fitting = [
            choice
            for choice in choices
            if all(_row(agreed[s]) == _row(lay) for s, lay in choice.items() if s in agreed)
        ]
        if not fitting:
            unsorted[slot] = "its channels lie on axes of other slots in no order that fits both"
            continue
        for size, layout in fitting[0].items():
            known = agreed.get(size, layout)
            agreed[size] = tuple(
                new if new.slot == slot else old for old, new in zip(known, layout, strict=True)
            )
    return whole | agreed


def _row(layout: Layout) -> list[tuple[str, Fraction]]:
    return [(block.slot, block.units) for block in layout]


def _whole(size: AxisSize, slot: str) -> Layout:
    """The axis as one block, of one slot though several may move it."""
    return (Block(slot, dict(size.units)[slot], size.members),)


def _choices(
    mine: Sequence[AxisSize],
    slot: str,
    sizes: Sequence[AxisSize] | dict[AxisSize, None],
    trials: Sequence[_Trial],
) -> Iterator[Choice]:
    """The ways in which the axes of a slot may lie, those first that are usual."""
    least = {s: _least(sizes, s) for size in mine for s, _ in size.units}
    counts = dict.fromkeys(n for trial in trials for n in trial.dividing())
    for parts, bundle in [(1, 1), *((n, 1) for n in counts), *((1, n) for n in counts)]:
        options = [list(_options(size, slot, least, parts, bundle)) for size in mine]
        for row in itertools.product(*options):
            yield dict(zip(mine, row, strict=True))


def _least(sizes: Sequence[AxisSize] | dict[AxisSize, None], slot: str) -> Fraction:
    """The channels per unit of the slot's smallest axis, of its own where it has one."""
    of = [(len(s.units) + bool(s.besides), dict(s.units)[slot] / s.members) for s in sizes
          if slot in dict(s.units)]  # fmt: skip
    alone = [n for others, n in of if others == 1]
    return min(alone or [n for _, n in of])


def _options(
    size: AxisSize, slot: str, least: Mapping[str, Fraction], parts: int, bundle: int
) -> Iterator[Layout]:
    """The layouts of one axis: of its own order, as blocks of a smaller one, as its bundles."""
    units = dict(size.units)
    if len(units) == 1 and not size.besides:
        times = units[slot] / size.members / least[slot]
        repeats = int(times) if times.denominator == 1 else 1
        for blocks, members in dict.fromkeys([(1, 1), (repeats, 1), (1, repeats)]):
            count = parts * blocks
            yield (Block(slot, units[slot] / count, size.members * bundle * members),) * count
        return
    choices = []
    for one, n in size.units:
        times = n / least[one]
        most = int(times) if times.denominator == 1 and 1 < times <= MOST_REPEATS else 1
        choices.append([[Block(one, n / k, bundle if one == slot else 1)] * k for k in {most, 1}])
    besides = [Block("", size.besides)] if size.besides > 0 else []
    for row in itertools.product(*choices):
        yield from dict.fromkeys(itertools.permutations([*itertools.chain(*row), *besides]))


class _Trial:
    """A network of one arch with random weights, and what it answers to a random input."""

    def __init__(
        self,
        build: Build,
        arch: Arch,
        widths: Mapping[str, Sequence[int]],
        shape: Sequence[int],
    ) -> None:
        self._build, self._arch, self._widths = build, arch, widths
        self._random = torch.Generator().manual_seed(0)
        self.sizes = axis_sizes(build, arch, widths)
        self._net = build(arch).eval().requires_grad_(False)
        self._fill()
        self._x = torch.randn(1, *shape, generator=self._random)
        self._dtype = torch.float64
        try:
            self._before = self._answer({})
        except RuntimeError:  # tensors that it makes as it runs may be of float32
            self._dtype = torch.float32
            self._before = self._answer({})
        if not torch.equal(self._answer({}), self._before):
            raise ArchError(
                f"arch {arch.compact}: the network answers the same input differently each time; "
                "random numbers in forward() cannot be distilled, take them off outside of training"
            )

    def _fill(self) -> None:
        """Random weights: those of a norm, alike at first, would hide another order."""
        for name, tensor in named_tensors(self._net):
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=self._random)
            elif isinstance(tensor, nn.Parameter) or name.endswith("running_mean"):
                spread = tensor[0].numel() ** -0.5 if tensor.dim() > 1 else 0.3
                tensor.normal_(0, min(0.3, spread), generator=self._random)

    def _answer(self, changed: Mapping[str, Tensor], net: nn.Module | None = None) -> Tensor:
        net = (self._net if net is None else net).to(self._dtype)
        with torch.no_grad():
            out: Tensor = torch.func.functional_call(net, dict(changed), (self._x.to(self._dtype),))
        return out

    def _is_same(self, answer: Tensor) -> bool:
        spread = (self._before - self._before.mean()).abs().max()
        return bool((answer - self._before).abs().max() <= TOLERANCE[self._dtype] * spread)

    def dividing(self) -> list[int]:
        """The numbers of groups and heads that the network's modules name, and a few more."""
        named = [
            getattr(module, name) for module in self._net.modules() for name in DIVIDING
            if isinstance(getattr(module, name, None), int)
        ]  # fmt: skip
        return [n for n in dict.fromkeys([*named, 2, 4, 8, 16]) if 1 < n <= 32]

    def _tensors(self) -> dict[str, Tensor]:
        return {name: tensor.to(self._dtype) if tensor.is_floating_point() else tensor
                for name, tensor in named_tensors(self._net)}  # fmt: skip

    def holds(self, choice: Choice, slots: Sequence[str]) -> bool:
        """Whether the network answers the same with the channels of `slots` in another order."""
        layouts = {axis: choice[size] for axis, size in self.sizes.items() if size in choice}
        changed = self._tensors()
        shapes = {name: tensor.shape for name, tensor in changed.items()}
        try:
            self._must_split(layouts, slots)
            sets = [one for s in slots for one in sets_of(layouts, shapes, self._arch, s)]
            for moves in sets:
                items = len(next(iter(moves.values())))
                order = torch.randperm(items, generator=self._random)
                if items > 1 and torch.equal(order, torch.arange(items)):
                    order = order.flip(0)
                changed = permute(changed, moves, order)
        except (ArchError, RuntimeError):  # the blocks are not whole
            return False
        return self._is_same(self._answer(changed))

    def _must_split(self, layouts: Mapping[Axis, Layout], slots: Sequence[str]) -> None:
        """Raises: ArchError if some width of the slots leaves blocks that are not whole."""
        cut = {axis: layout for axis, layout in layouts.items() if len(layout) > 1}
        for slot in slots if cut else ():
            for width in self._widths[slot]:
                arch = self._arch.replace({slot: width})
                tensors = dict(named_tensors(skeleton_of(self._build, arch)))
                for (name, axis), layout in cut.items():
                    if name in tensors:
                        block_sizes(layout, tensors[name].shape[axis], arch)

    def must_tell(self) -> None:
        """Raises: ArchError if the answer is the same with channels out of order on every axis."""
        changed = self._tensors()
        for name, axis in self.sizes:
            order = torch.randperm(changed[name].shape[axis], generator=self._random)
            changed[name] = changed[name].index_select(axis, order)
        if self.sizes and self._is_same(self._answer(changed)):
            raise ArchError(
                f"arch {self._arch.compact}: with random weights the network's answer does not "
                "depend on them; give it larger images or weaker norms"
            )

    def is_narrowed(self, slot: str, widths: Sequence[int]) -> bool:
        """Whether the narrowest network of the slot answers as this one without the channels that
        it lacks, all of whose weights are 0 then."""
        arch = self._arch.replace({slot: min(widths)})
        net = self._build(arch).eval().requires_grad_(False)
        wide, narrow = self._tensors(), dict(named_tensors(net.to(self._dtype)))
        for name, tensor in wide.items():
            shape = narrow[name].shape if name in narrow else tensor.shape
            for axis in range(min(2, tensor.dim())):
                if shape[axis] != tensor.shape[axis]:
                    kept = torch.arange(tensor.shape[axis]) < shape[axis]
                    tensor = tensor * kept.view(
                        [-1 if i == axis else 1 for i in range(tensor.dim())]
                    )
            wide[name] = tensor
            if name in narrow:
                narrow[name].copy_(tensor[tuple(slice(n) for n in shape)])
        before, self._before = self._before, self._answer(wide)
        try:
            return self._is_same(self._answer({}, net))
        finally:
            self._before = before
