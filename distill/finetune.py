"""Further training of one generator of a supernet, alone: the rest no longer pulls at its weights.

It is the supernet's own training over a space of one arch: the same task, terms, loop and state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.distill.answers import Answers
from gancompress.distill.draws import draw_named
from gancompress.distill.hooks import adapters, feature_channels
from gancompress.distill.supernet import Teacher, taught_net
from gancompress.distill.task import Distillation
from gancompress.supernet.supernet import Build, Supernet, skeleton_of
from gancompress.supernet.weights import unpack
from gancompress.tasks.base import Batch, ConditionalTask
from gancompress.training.loop import fit
from gancompress.training.steps import Training


def supernet_of_one(supernet: Supernet, build: Build, arch: Arch) -> Supernet:
    """A supernet that holds `arch` alone, with the weights that it has in `supernet`.

    Its subnet answers as the other's, to the last bit. Raises: ArchError if that has no `arch`.
    """
    space = SearchSpace.of(arch.family, {slot: (value,) for slot, value in arch.slots})
    alone = Supernet(build, space)
    alone.absorb(supernet.extract(arch), arch)
    return alone


def train_alone(
    task: ConditionalTask,
    supernet: Supernet,
    arch: Arch,
    build: Build,
    teacher: Teacher,
    *,
    trained: Mapping[str, Mapping[str, Tensor]],
    batches: Callable[[int], Iterable[Batch]],
    how: Training,
    losses: Mapping[str, float],
    reference: str,
    layers: Sequence[str],
    input_shape: tuple[int, int, int],
    answers: Answers | None = None,
    discriminator_every: int = 1,
    title: str = "finetune",
) -> nn.Module:
    """The plain network of `arch`, distilled on from where it stands in `supernet`.

    trained: tensors of the discriminators and of "adapters" by network, as the supernet's training
    left them; this one goes on from them, with new optimisers. losses, reference and
    discriminator_every: as the supernet's. answers: the teacher's, see `Distillation`.
    See `gancompress.training.loop.fit` for resuming and for what is raised.
    """
    alone = supernet_of_one(supernet, build, arch)
    discriminators = task.discriminators()
    for name, discriminator in discriminators.items():
        unpack(discriminator, trained[name], name)
    example = torch.empty(1, *input_shape, device="meta")
    channels = feature_channels(skeleton_of(build, arch), layers, example)
    nets: dict[str, nn.Module] = {
        task.target: alone,
        **discriminators,
        "adapters": narrowed_adapters(trained["adapters"], channels),
        **taught_net(build, teacher, task.target, supernet.channels),
    }
    for name, net in nets.items():
        net.to(how.device).train(name != "teacher")
    student = Distillation(
        task,
        layers=layers,
        losses=losses,
        draw=draw_named("uniform"),  # of the only one
        reference=reference,
        answers=answers,
        discriminator_every=discriminator_every,
    )
    fit(student, nets, batches, how, title)
    return alone.eval().extract(arch)


@torch.no_grad()
def narrowed_adapters(trained: Mapping[str, Tensor], students: Sequence[int]) -> nn.ModuleList:
    """Trained adapters for students of so many channels at each layer: their leading columns.

    trained: "0.weight" (teacher's channels, widest student's), "1.weight" …, in order of the
    layers.
    """
    weights = [trained[f"{layer}.weight"] for layer in range(len(students))]
    made = adapters(students, [len(weight) for weight in weights])
    for parameter, weight in zip(made.parameters(), weights, strict=True):
        parameter.copy_(weight[:, : parameter.shape[1]])
    return made
