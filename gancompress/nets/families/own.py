"""A user's own generator as a family: a Python file with a function `build(arch)`."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm

from gancompress.archs.arch import Arch, Value
from gancompress.errors import ArchError
from gancompress.nets.families.choices import check_arch
from gancompress.nets.families.family import Family, Part
from gancompress.nets.families.ownfile import importable, load_file, reason, uncompiled

PROBED_WIDTH = 16  # The width of every slot while `build` is asked which slots it reads.
PROBED_SIDE = 64  # The side of the probing image in multiples of the file's SIZE_MULTIPLE.


class _Probe:
    """Answers as an arch of width 16 throughout, dense, and notes what it is asked."""

    def __init__(self) -> None:
        self.widths: dict[str, None] = {}  # in the order of asking
        self.ops: dict[str, None] = {}

    def width(self, slot: str) -> int:
        self.widths[slot] = None
        return PROBED_WIDTH

    def op(self, slot: str) -> str:
        self.ops[slot] = None
        return "dense"

    def __getitem__(self, slot: str) -> Value:
        return self.op(slot) if slot.endswith(".op") else self.width(slot)


@dataclass(frozen=True, kw_only=True)
class OwnGenerator(Family):
    """The generators that `file` builds: `build(arch)` returns an ordinary module for an arch.

    Its slots are those that `build` asks of the arch: `arch.width("NAME")`, an integer, and
    `arch.op("STAGE.op")`, "dense" or "separable". `build` asks for all of them whatever their
    values, and may take in_channels and out_channels too. A name that `build` gives to a tensor
    means the same tensor in every arch: a narrow network uses the leading channels of a wide one.

    Module-level names are optional: DISTILLED_LAYERS (modules that are distilled; default: four
    children with weights, of those whose output is smallest in height and width), SIZE_MULTIPLE (of
    the image's sides; default 4).

    Files beside it can be imported by their names, as the file is run and in `build`.

    The file is run: it is code. Raises: ArchError if it cannot be, or builds no module.
    """

    in_channels: int = 3
    out_channels: int = 3
    file: str
    name: ClassVar[str] = "own"

    @cached_property
    def _module(self) -> ModuleType:
        path = Path(self.file)
        module = load_file(path)
        if not callable(getattr(module, "build", None)):
            raise ArchError(f"{path}: no function build(arch) in it; add one that makes a module")
        return module

    @cached_property
    def _make(self) -> Callable[[Any], nn.Module]:
        """`build`, with the numbers of channels where it takes them."""
        build = self._module.build
        known = {"in_channels": self.in_channels, "out_channels": self.out_channels}
        takes = inspect.signature(build).parameters
        options = {name: count for name, count in known.items() if name in takes}
        return lambda arch: build(arch, **options)

    @cached_property
    def _probe(self) -> _Probe:
        probe = _Probe()
        self._checked(probe)
        if wrong := [slot for slot in probe.ops if not slot.endswith(".op")]:
            raise ArchError(f"{self.file}: operator slot {wrong[0]!r}; its name must end in .op")
        if not probe.widths:
            raise ArchError(
                f"{self.file}: build(arch) asks for no width; use arch.width('NAME') for the "
                "channels that may be chosen"
            )
        return probe

    def _checked(self, arch: Any) -> nn.Module:
        """What `build` makes of `arch`, on the meta device if torch's default is."""
        make = self._make
        try:
            with importable(Path(self.file).parent):
                net = make(arch)
        except ArchError:
            raise
        except Exception as error:
            what = "an arch" if isinstance(arch, _Probe) else arch.compact
            raise ArchError(f"{self.file}: build fails with {what} ({reason(error)})") from error
        if not isinstance(net, nn.Module):
            raise ArchError(f"{self.file}: build gives a {type(net).__name__}; a module is needed")
        net = uncompiled(net)
        if name := spectral_normed(net):
            raise ArchError(
                f"{self.file}: spectral norm of {name}: it keeps vectors of one network, of no use "
                "to others that share its weights; take it off the generator, or use "
                "torch.nn.utils.parametrizations.weight_norm"
            )
        return net

    @property
    def size_multiple(self) -> int:
        return int(getattr(self._module, "SIZE_MULTIPLE", 4))

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that have an operator."""
        with torch.device("meta"):
            return tuple(slot.removesuffix(".op") for slot in self._probe.ops)

    @property
    def body(self) -> tuple[str, ...]:
        return self.stages

    @property
    def width_slots(self) -> tuple[str, ...]:
        """The width slots in the order in which `build` asks for them."""
        with torch.device("meta"):
            return tuple(self._probe.widths)

    @property
    def code_file(self) -> str:
        return self.file

    def check_runs(self, shape: Sequence[int]) -> None:
        """Whether the networks of a file take one image (C, H, W) and answer with one.

        They are tried without values. Raises: ArchError, naming the file and what it does instead.
        """
        check_runs(self, shape)

    def example(self) -> nn.Module:
        """A network of width 16 throughout, on the meta device if torch's default is."""
        return self._checked(_Probe())

    def parts(self) -> tuple[Part, ...]:
        """None are known: see `gancompress.supernet.parts` for how they are found."""
        return ()

    def distilled_layers(self) -> tuple[str, ...]:
        """DISTILLED_LAYERS, or some of the children with weights in which the image is smallest."""
        if hasattr(self._module, "TAPS"):  # It was called so before 2026-11-29.
            raise ArchError(f"{self.file}: TAPS is called DISTILLED_LAYERS now; rename it")
        given = getattr(self._module, "DISTILLED_LAYERS", None)
        with torch.device("meta"):
            net = self.example()
            image = torch.empty(1, self.in_channels, *[PROBED_SIDE * self.size_multiple] * 2)
        if given is not None:
            known = dict(net.named_modules())
            for name in given:
                if name not in known:
                    text = f"DISTILLED_LAYERS names {name!r}; the network has none such"
                    raise ArchError(f"{self.file}: {text}")
            return tuple(given)
        areas: dict[str, int] = {}

        def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                if isinstance(output, Tensor) and output.dim() == 4:
                    areas[name] = output.shape[2] * output.shape[3]

            return hook

        for name, child in children(net).items():
            if any(weight.dim() > 1 for weight in child.parameters()):
                child.register_forward_hook(note(name))
        try:
            with torch.no_grad():
                net(image)
        except Exception as error:
            raise ArchError(
                f"{self.file}: the network fails on an image of {tuple(image.shape[1:])} "
                f"({reason(error)}); set SIZE_MULTIPLE and DISTILLED_LAYERS"
            ) from None
        names = [name for name, area in areas.items() if area == min(areas.values())]
        last = len(names) - 1
        return tuple(dict.fromkeys(names[i * last // 3] for i in range(4))) if names else ()

    def build(self, arch: Arch) -> nn.Module:
        check_arch(self, arch)
        return self._checked(arch)


def children(net: nn.Module) -> dict[str, nn.Module]:
    """The modules that a network consists of by name, those inside containers one by one."""
    found: dict[str, nn.Module] = {}
    for name, child in net.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            found |= {f"{name}.{inner}": part for inner, part in children(child).items()}
        else:
            found[name] = child
    return found


def spectral_normed(net: nn.Module) -> str:
    """The first weight of `net` under torch's spectral norm, of either kind; "" if there is none.

    Both keep the singular vectors of one matrix; those of a part of it are others.
    """
    for name, module in net.named_modules():
        hooks = list(module._forward_pre_hooks.values())
        if any(isinstance(hook, SpectralNorm) for hook in hooks):
            return name or "the network"
        if isinstance(module, ParametrizationList) and any(
            isinstance(one, _SpectralNorm) for one in module
        ):
            return name.replace(".parametrizations", "").replace("parametrizations.", "")
    return ""


def check_runs(family: OwnGenerator, shape: Sequence[int]) -> None:
    """Whether the networks of a file take one image (C, H, W) and answer with one, without values.

    Raises: ArchError, naming the file and what it does instead.
    """
    with torch.device("meta"):
        net = family.example()
        image = torch.empty(1, *shape)
    _must_take_one(family.file, net)
    try:
        with torch.no_grad():
            answer = net(image)
    except Exception as error:
        at = _line_in(error, family.file)
        if _asks_for_values(error):
            raise ArchError(
                f"{family.file}: forward asks for the values of a tensor{at}; what a network does "
                "may depend on shapes alone, or it is neither costed nor exported: use torch.where "
                "in place of a branch"
            ) from error
        raise ArchError(
            f"{family.file}: the network fails on an input of {tuple(shape)}{at} "
            f"({reason(error)}); mend it, or set SIZE_MULTIPLE, or give images of another size"
        ) from error
    if not (isinstance(answer, Tensor) and answer.dim() == 4):
        many = f" of {len(answer)}" if isinstance(answer, tuple | list | dict) else ""
        what = (
            f"a tensor {tuple(answer.shape)}"
            if isinstance(answer, Tensor)
            else (f"a {type(answer).__name__}{many}")
        )
        raise ArchError(
            f"{family.file}: the network answers {what}; one tensor (N, C, H, W) is needed, so "
            "return the image alone"
        )


def _must_take_one(file: str, net: nn.Module) -> None:
    """Raises: ArchError for a network that is to be given anything but one image."""
    try:
        taken = inspect.signature(net.forward).parameters.values()
    except (TypeError, ValueError):  # Objects outside Python have no source.
        return
    names = [p.name for p in taken if p.default is p.empty and p.kind in _POSITIONAL]
    named = [p.name for p in taken if p.default is p.empty and p.kind is p.KEYWORD_ONLY]
    if len(names) > 1 or named:
        raise ArchError(
            f"{file}: forward takes {len(names + named)} inputs ({', '.join(names + named)}); a "
            "generator is given one image (N, C, H, W): take the others as channels of it, or give "
            "them defaults"
        )


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
# What torch says where values are asked of tensors on the meta device.
_NO_VALUES = ("meta tensor", "meta device", "no data", "data-dependent")


def _asks_for_values(error: Exception) -> bool:
    return any(words in str(error).lower() for words in _NO_VALUES)


def _line_in(error: Exception, file: str) -> str:
    """` (line N)`, the last one of the file that an exception came through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == Path(file)]
    return f" (line {lines[-1]})" if lines else ""
