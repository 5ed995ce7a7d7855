"""One compression as a command works on it: what its recipe names and its run holds, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.data.answered import Answered
from gancompress.data.dataoptions import DataOptions
from gancompress.data.dataset import Dataset
from gancompress.data.hashedonce import HashedOnce
from gancompress.data.latent import Latent
from gancompress.data.origin import FromFiles
from gancompress.data.styled import Styled
from gancompress.distill.supernet import Teacher
from gancompress.importers.publishedfile import take_published
from gancompress.metrics.classifiers import Classifier, classifier_of
from gancompress.metrics.efficientnet import EffNetLite0Depths
from gancompress.metrics.features import FeatureNet, load_features
from gancompress.metrics.perceptual import PerceptualNet
from gancompress.metrics.segnets import SegmentationNet
from gancompress.nets.families.choices import Choices, check_size
from gancompress.nets.families.family import Family, Part
from gancompress.nets.layers.features import Bands
from gancompress.project import results
from gancompress.project.devices import device_named
from gancompress.project.plannedteacher import planned_arch
from gancompress.recipe.recipe import Recipe
from gancompress.storage.checkpoint import load_tensors
from gancompress.storage.filehashes import FileHashes
from gancompress.storage.runs import Run
from gancompress.storage.stagedir import StageDir
from gancompress.supernet.channels import Channels
from gancompress.supernet.cost import Cost, CostModel, network_cost
from gancompress.supernet.costlaw import CostLaw, cost_law
from gancompress.supernet.parts import find_parts
from gancompress.supernet.proving import channels_of
from gancompress.supernet.skeletons import without_values
from gancompress.supernet.supernet import Supernet
from gancompress.supernet.weights import part
from gancompress.tasks.base import ConditionalTask
from gancompress.tasks.taskoptions import TaskContext
from gancompress.teachers.files import teacher_path, teacher_sha256

T = TypeVar("T")
Shape = tuple[int, int, int]


class Project:
    """A recipe and the folder of its run, and what the two stand for.

    Every stage and command is handed one. Each property is made when it is first asked for and
    then kept, so that data, networks and weights are opened once a command; what stages have
    left is made anew when its artefact is another one. Properties raise a GanCompressError of the
    kind that fits what is wrong.
    """

    def __init__(self, recipe: Recipe, root: Path | None = None) -> None:
        """root: the run's folder, where it is another one than the recipe names."""
        self.recipe = recipe
        self.run = Run(recipe.run_dir if root is None else root)
        self.name = recipe.name  # which messages begin with
        self._channels: dict[tuple[Arch, bool], Channels] = {}
        self._results: dict[str, tuple[str, Any]] = {}

    def open(self, *names: str) -> None:
        """Makes these properties now: what stops a command is found before its work begins."""
        for name in names:
            getattr(self, name)

    def drop(self, *names: str) -> None:
        """Lets go of these properties, which are made anew when they are asked for again."""
        for name in names:
            self.__dict__.pop(name, None)

    @cached_property
    def device(self) -> torch.device:
        """The recipe's device, see `devices.device_named`."""
        return device_named(self.recipe.device, self.recipe.name)

    @cached_property
    def family(self) -> Family:
        """The generators to compress. Raises: ForeignCodeError, see `recipe.trust`."""
        recipe = self.recipe
        recipe.check_code("family", "file")
        take_published(recipe.teacher.from_)
        inputs, outputs = recipe.channels
        return recipe.family.family(inputs, outputs, recipe.data.image_size)

    @cached_property
    def input_shape(self) -> Shape:
        """(C, H, W) of what the generator takes where it is evaluated."""
        return self.recipe.channels[0], *self.recipe.input_size

    @cached_property
    def task(self) -> ConditionalTask:
        """What kind of GAN is trained, for images of the recipe's size."""
        return self.task_at(self.recipe.data.image_size)

    def task_at(self, size: tuple[int, int]) -> ConditionalTask:
        """The task for images of another `size` (height, width)."""
        recipe = self.recipe
        inputs, outputs = recipe.channels
        context = TaskContext(
            in_channels=inputs,
            out_channels=outputs,
            size=size,
            labels=recipe.data.labels,
            style=recipe.family.style_channels,
            grows=recipe.family.grows,
        )
        return recipe.task.task(context)

    @cached_property
    def files(self) -> FromFiles:
        """The images as their files have them. Raises: DataError."""
        data = self.recipe.data
        return _opened_once(data) if data.is_built_in else data.open(self.hashes.of)

    @cached_property
    def hashes(self) -> FileHashes:
        """Hashes of the files that the recipe names, each worked out once."""
        return FileHashes(self.run.root)

    @cached_property
    def dataset(self) -> Dataset:
        """The images, beside random vectors or style codes where the family takes them."""
        channels, latent = self.recipe.family.style_channels, self.recipe.family.latent_size
        opened: Dataset = self.files
        if latent:
            opened = Latent(opened, latent)
        elif channels:
            opened = Styled(opened, channels)
        elif self.recipe.task.imitates:
            opened = Answered(
                opened, self._answers, self._answered_by, self.recipe.data.cache_bytes
            )
        return HashedOnce(opened)

    def _answers(self, inputs: Tensor) -> Tensor:
        """The teacher's answers to inputs, both (N, C, H, W) in [-1, 1] on the CPU."""
        with torch.no_grad():
            answers: Tensor = self._given_net(inputs.to(self.device))
        return answers.clamp(-1, 1).cpu()

    def _answered_by(self) -> str:
        return teacher_sha256(self.recipe.teacher.from_)

    @cached_property
    def _given_net(self) -> nn.Module:
        """The generator of the teacher that the recipe names, in evaluation on its device."""
        path = teacher_path(self.recipe.teacher.from_)
        tensors = part(load_tensors(path)[0], self.task.target)
        net = self.family.build(self.planned_arch)
        return results.filled(net, tensors, path).to(self.device).eval()

    @cached_property
    def space(self) -> SearchSpace:
        """The generators of the supernet. Raises: ArchError if the family does not fit."""
        family, section = self.family, self.recipe.space
        presets = self.recipe.family.presets
        widths = presets[section.preset] if section.preset is not None else section.widths
        assert widths is not None, "the recipe has exactly one of preset and widths"
        if isinstance(section.bands, dict):
            splits: Choices[Bands] = {s: _bands(listed) for s, listed in section.bands.items()}
        else:
            splits = _bands(section.bands)
        depths = {stage: [str(d) for d in listed] for stage, listed in section.depths.items()}
        found = family.space(widths, section.ops, splits, depths)
        check_size(family, found, self.recipe.data.image_size)
        family.check_runs(self.input_shape)
        return found

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of a generator and the slots that each depends on; none if nothing is known."""
        return self._parts[0]

    @property
    def cost_note(self) -> str:
        """Why costs are those of whole networks, which takes longer; "" where they are not."""
        return self._parts[1]

    @cached_property
    def _parts(self) -> tuple[tuple[Part, ...], str]:
        """The parts, and why there are none."""
        stated = self.family.parts()
        if stated:
            return tuple(stated), ""
        return find_parts(self.family.build, self.space, self.input_shape)

    @cached_property
    def cost_model(self) -> CostModel:
        """Costs of the archs of the space, from those of their parts."""
        family = self.family
        return CostModel(family.build, self.parts, self.input_shape, family.sketch)

    @cached_property
    def cost_law(self) -> CostLaw | None:
        """Parameters and MACs as a function of widths, where they follow one; see `cost_law`."""
        return cost_law(self.cost_model, self.space)

    def cost(self, arch: Arch) -> Cost:
        """The cost of one generator at the recipe's image size, in or out of the search space."""
        with without_values():
            net = self.family.build(arch)
        return network_cost(net, torch.empty(1, *self.input_shape, device="meta"))

    @cached_property
    def distilled_layers(self) -> tuple[str, ...]:
        """The layers whose outputs are distilled; none where no loss compares them."""
        recipe = self.recipe
        losses = [recipe.supernet.losses, recipe.finetune.losses or {}]
        is_optional = recipe.task.imitates or recipe.teacher.is_absent
        if is_optional and not any(loss.get("features") for loss in losses):
            return ()
        return self.family.distilled_layers()

    @cached_property
    def features(self) -> FeatureNet:
        """The network whose features evaluate images. Raises: MetricError without its weights."""
        section = self.recipe.metrics
        return load_features(section.features, {"inception": section.inception_weights})

    @cached_property
    def segmentation(self) -> SegmentationNet | None:
        """The network that mIoU asks, if the recipe names one.

        Raises: MetricError; ForeignCodeError, see `recipe.trust`.
        """
        section = self.recipe.metrics.segmentation
        if section is None:
            return None
        self.recipe.check_code("metrics", "segmentation", "file")
        return SegmentationNet(section, self.device)

    @cached_property
    def classifier(self) -> Classifier:
        """The network that the inception score asks; by default the one that makes features.

        Raises: MetricError without its weights; ForeignCodeError, see `recipe.trust`.
        """
        self.recipe.check_code("metrics", "classifier", "file")
        return classifier_of(self.recipe.metrics, self.device)

    @cached_property
    def perceptual(self) -> PerceptualNet | None:
        """The network that LPIPS asks, if the recipe names one. Raises: MetricError,
        CheckpointError."""
        path = self.recipe.metrics.lpips
        return None if path is None else PerceptualNet(path).to(self.device)

    @cached_property
    def depths(self) -> EffNetLite0Depths:
        """The network that the metric depths asks. Raises: MetricError."""
        if self.recipe.metrics.features == "effnet-lite0-depths":
            assert isinstance(self.features, EffNetLite0Depths)
            return self.features  # One pass serves both.
        return EffNetLite0Depths().to(self.device)

    def channels(self, arch: Arch, *, is_proven: bool = True) -> Channels:
        """How the axes lie of a teacher of `arch` and of its subnets, see `proving.channels_of`."""
        key = arch, is_proven
        if key not in self._channels:
            self._channels[key] = channels_of(
                self.family,
                self.space,
                arch,
                self.input_shape,
                is_proven=is_proven,
                is_strict=self.recipe.supernet.init != "random",
            )
        return self._channels[key]

    def untrained_supernet(self, arch: Arch, *, is_proven: bool = False) -> Supernet:
        """A supernet whose weights are 0 yet; arch: its teacher's. Raises: ArchError."""
        channels = self.channels(arch, is_proven=is_proven)
        return Supernet(self.family.build, self.space, channels)

    def stage(self, name: str) -> StageDir:
        """A stage's folder; an export within a budget of its own stands beside the winner's."""
        most = self.recipe.export.budget_macs if name == "export" else None
        return self.run.stage(name, "" if most is None else f"-{most}")

    @cached_property
    def planned_arch(self) -> Arch:
        """The arch of the teacher that the recipe trains, or of the one that it is given.

        Where there is no teacher, the widest generator of the space takes its place.
        """
        if self.recipe.teacher.is_absent:
            return self.space.largest
        return planned_arch(self.recipe.teacher, self.family, self.recipe.name)

    @property
    def teacher_arch(self) -> Arch:
        """The arch of the run's teacher; the planned one if there is none yet."""
        if not self.run.stage("teacher").is_finished():
            return self.planned_arch
        return self._made("teacher", "arch", lambda: results.stored_arch(self.run))

    @property
    def reference_name(self) -> str:
        """What the table's first row is called: see `subnets.reference_net`."""
        return "widest" if self.recipe.teacher.is_absent else "teacher"

    @property
    def teacher(self) -> Teacher:
        """The run's trained teacher, see `results.load_teacher`; one without networks if the recipe
        has none."""
        if self.recipe.teacher.is_absent:
            return Teacher(self.planned_arch, {})

        def load() -> Teacher:
            latent = self.recipe.family.latent_size
            return results.load_teacher(self.run, self.task, self.family.build, latent)

        return self._made("teacher", "teacher", load)

    @property
    def teacher_net(self) -> nn.Module:
        """The teacher's generator, in evaluation mode on the recipe's device."""

        def build() -> nn.Module:
            tensors = self.teacher.tensors[self.task.target]
            net = self.family.build(self.teacher.arch)
            path = self.run.stage("teacher").artefact()
            return results.filled(net, tensors, path).to(self.device).eval()

        return self._made("teacher", "teacher net", build)

    @property
    def supernet(self) -> Supernet:
        """The run's trained supernet, in evaluation mode on the recipe's device."""

        def load() -> Supernet:
            net = self.untrained_supernet(self.teacher_arch)
            found = results.load_supernet(self.run, net, self.task.target)
            return found.to(self.device).eval()

        return self._made("supernet", "supernet", load)

    def companions(self) -> dict[str, dict[str, Tensor]]:
        """Tensors that were trained beside the supernet: of its discriminators and "adapters"."""
        return results.load_companions(self.run, (*self.task.discriminators(), "adapters"))

    def _made(self, stage: str, name: str, make: Callable[[], T]) -> T:
        """What `make` makes of a stage's artefact, kept for as long as that stays the same.

        Raises: RunError if the stage is not finished, CheckpointError if its file was changed.
        """
        sha256 = self.run.stage(stage).hash()
        kept = self._results.get(name)
        if kept is None or kept[0] != sha256:
            kept = self._results[name] = (sha256, make())
        found: T = kept[1]
        return found


@lru_cache(maxsize=2)  # tiles take seconds to find, and one process may run several commands
def _opened_once(data: DataOptions) -> FromFiles:
    return data.open()


def _bands(fractions: Iterable[tuple[float, float]]) -> list[Bands]:
    return [Bands(alpha, beta) for alpha, beta in fractions]
