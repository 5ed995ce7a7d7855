"""Training of all generators of a search space at once, distilled from a teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.distill.answers import Draws, ask
from gancompress.distill.calibrate import IMAGES, calibrate
from gancompress.distill.draws import ArchDraw
from gancompress.distill.hooks import adapters, feature_channels
from gancompress.distill.initialise import fill_from_teacher, sort_channels
from gancompress.distill.task import Distillation
from gancompress.nets.layers.blocks import INITS
from gancompress.process import release_memory
from gancompress.supernet.channels import Channels
from gancompress.supernet.reestimation import batch_norms
from gancompress.supernet.supernet import Build, Supernet, named_tensors, skeleton_of
from gancompress.tasks.base import Batch, ConditionalTask
from gancompress.training.loop import fit
from gancompress.training.steps import Training

# What residual branches' random weights are of the usual ones (Wang et al. 2018, ESRGAN).
SMALL = 0.1
TRIED, TRIED_IMAGES = 6, 4  # random archs, and images, by which a fit is held to help


@dataclass(frozen=True)
class Teacher:
    """A trained teacher: its arch, and its networks' tensors by network and name.

    One without tensors is absent: students learn from the targets alone.
    """

    arch: Arch
    tensors: Mapping[str, Mapping[str, Tensor]]

    @property
    def is_absent(self) -> bool:
        return not self.tensors


@dataclass(frozen=True)
class Distilling:
    """The recipe's choices of how a supernet learns; see the recipe's section `supernet`."""

    init: str
    draw: ArchDraw
    reference: str
    losses: Mapping[str, float]
    discriminator_every: int = 1


def train_supernet(
    task: ConditionalTask,
    supernet: Supernet,
    build: Build,
    teacher: Teacher,
    batches: Callable[[int], Iterable[Batch]],
    how: Training,
    *,
    distilling: Distilling,
    layers: Sequence[str],
    input_shape: tuple[int, int, int],
    draws: Draws | None = None,
    small_layers: Sequence[str] = (),
) -> dict[str, nn.Module]:
    """The supernet, the discriminators and the adapters, trained; the supernet is filled in place.

    draws: all images that `batches` are made of; the teacher is asked about each only once.
    small_layers: see `Family.small_layers`.

    The teacher's channels are sorted by importance first, as far as `supernet.channels` knows them,
    which changes nothing in what it computes; the discriminators go on from the teacher's, or begin
    anew where it has none. See `gancompress.training.loop.fit` for resuming and for what is raised.
    """
    student, nets = student_of(
        task,
        supernet,
        build,
        teacher,
        distilling=distilling,
        layers=layers,
        input_shape=input_shape,
        seed=how.seed,
    )
    if small_layers and distilling.init == "fitted":
        # There a fit of some archs lets others' values grow, and slices learn more slowly.
        random = torch.Generator().manual_seed(how.seed)
        fill_random(supernet, build, INITS[task.init], random, small_layers)
    elif distilling.init == "fitted" and not how.state_path.exists():
        at = torch.device("cpu") if how.device.type == "mps" else how.device  # it has no float64
        images = _images_to_fit(task, batches).to(at)
        _fit_where_it_helps(supernet.to(at), nets["teacher"].to(at), images)
        release_memory()  # The fit takes more than the training does.
    for name, net in nets.items():
        net.to(how.device).train(name != "teacher")
    if draws is not None:
        student = student.answered_by(ask(nets["teacher"], task.inputs, layers, draws, how.device))
    fit(student, nets, batches, how, title="supernet")
    return {name: net.eval() for name, net in nets.items() if name != "teacher"}


def student_of(
    task: ConditionalTask,
    supernet: Supernet,
    build: Build,
    teacher: Teacher,
    *,
    distilling: Distilling,
    layers: Sequence[str],
    input_shape: tuple[int, int, int],
    seed: int,
) -> tuple[Distillation, dict[str, nn.Module]]:
    """The task of a supernet that learns, and its networks with their first weights.

    Those of `distilling.init` "fitted" are the teacher's yet. A teacher that is absent has no
    network, and first weights are random then.
    """
    taught = taught_net(build, teacher, task.target, supernet.channels)
    fill_random(supernet, build, INITS[task.init], torch.Generator().manual_seed(seed))
    if distilling.init != "random":
        fill_from_teacher(supernet, taught["teacher"], teacher.arch)
    nets: dict[str, nn.Module] = {
        task.target: supernet,
        **_discriminators(task, teacher, seed),
        "adapters": _adapters(supernet, skeleton_of(build, teacher.arch), layers, input_shape),
        **taught,
    }
    student = Distillation(
        task,
        layers=layers,
        losses=distilling.losses,
        draw=distilling.draw,
        reference=distilling.reference,
        discriminator_every=distilling.discriminator_every,
    )
    return student, nets


def sorted_teacher(build: Build, teacher: Teacher, target: str, channels: Channels) -> nn.Module:
    """The teacher's generator, its channels in order of falling importance, for evaluation."""
    taught = build(teacher.arch).eval()
    taught.load_state_dict(sort_channels(teacher.tensors[target], channels, teacher.arch))
    return taught


def taught_net(
    build: Build, teacher: Teacher, target: str, channels: Channels
) -> dict[str, nn.Module]:
    """`sorted_teacher`'s network as "teacher"; nothing for one that is absent."""
    if teacher.is_absent:
        return {}
    return {"teacher": sorted_teacher(build, teacher, target, channels)}


def _discriminators(task: ConditionalTask, teacher: Teacher, seed: int) -> dict[str, nn.Module]:
    """The teacher's discriminators, or new ones: an imported teacher comes without."""
    discriminators = task.discriminators()
    for name, discriminator in discriminators.items():
        if teacher.tensors.get(name):
            discriminator.load_state_dict(teacher.tensors[name])
        else:
            INITS[task.init_of(name)](discriminator, torch.Generator().manual_seed(seed))
    return discriminators


def _adapters(
    supernet: Supernet, taught: nn.Module, layers: Sequence[str], input_shape: tuple[int, int, int]
) -> nn.ModuleList:
    """Maps from the widest students' features to the teacher's; `taught` may be its skeleton."""
    example = torch.empty(1, *input_shape, device="meta")
    students = [supernet.skeleton(arch) for arch in supernet.space.corners()]
    channels = zip(
        *(feature_channels(student, layers, example) for student in students), strict=True
    )
    return adapters([max(layer) for layer in channels], feature_channels(taught, layers, example))


def _images_to_fit(task: ConditionalTask, batches: Callable[[int], Iterable[Batch]]) -> Tensor:
    """Inputs of the first batches, as many as convolutions are fitted on."""
    found: list[Tensor] = []
    for batch in batches(0):
        found.append(task.inputs(batch)[0])
        if sum(map(len, found)) >= IMAGES:
            break
    return torch.cat(found)[:IMAGES]


@torch.no_grad()
def _fit_where_it_helps(supernet: Supernet, taught: nn.Module, images: Tensor) -> None:
    """`_fit_levels`, undone where some generator of the space is further from the teacher by it.

    Without norms behind its convolutions an arch that was not fitted may answer with values that
    grow from layer to layer.
    """
    space, random = supernet.space, np.random.default_rng(0)
    tried = [space.largest, space.smallest, *(space.sample(random) for _ in range(TRIED))]
    few = images[:TRIED_IMAGES]
    wanted = taught(few)

    def worst() -> float:
        return max(float((supernet(arch, few) - wanted).abs().mean()) for arch in tried)

    supernet.train(bool(batch_norms(supernet.skeleton(space.largest))))
    before = {name: tensor.clone() for name, tensor in supernet.shared.items()}
    first = worst()
    _fit_levels(supernet, taught, images)
    if not worst() <= first:
        for name, tensor in supernet.shared.items():
            tensor.copy_(before[name])


def _fit_levels(supernet: Supernet, taught: nn.Module, images: Tensor) -> None:
    """Fits the supernet to the teacher on one batch, for every level of width from most to least.

    Once for each operator, in undivided networks: what is split uses blocks of the same kernels.
    Batch norms go by the batch itself, as the supernet's statistics are the teacher's.
    """
    space = supernet.space
    supernet.train(bool(batch_norms(supernet.skeleton(space.largest))))
    levels = max(len(values) for _, values in space.choices)
    operators = {slot: v for slot, v in space.categories.items() if not slot.endswith(".bands")}
    for turn in range(max((len(values) for values in operators.values()), default=1)):
        chosen = {slot: [values[min(turn, len(values) - 1)]] for slot, values in operators.items()}
        categories = space.preferred(chosen)  # and the first bands
        archs = [space.level(i / max(1, levels - 1), categories) for i in range(levels)]
        calibrate(supernet, taught, archs, images)


def fill_random(
    supernet: Supernet,
    build: Build,
    init: Callable[[nn.Module, torch.Generator], None],
    random: torch.Generator,
    small_layers: Sequence[str] = (),
) -> None:
    """The usual random weights for the whole supernet, one corner of the space after the other.

    small_layers: see `Family.small_layers`.
    """
    for corner in supernet.space.corners():
        net = build(corner)
        init(net, random)
        with torch.no_grad():
            for name, tensor in named_tensors(net):
                if name.endswith(".weight") and name.startswith(
                    tuple(f"{n}." for n in small_layers)
                ):
                    tensor.mul_(SMALL)
        supernet.absorb(net, corner)
