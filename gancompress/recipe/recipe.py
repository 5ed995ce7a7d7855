"""The recipe: everything that one compression is made of, checked, with its defaults.

Plain data; reading files and overrides is `gancompress.recipe.reading`. Recipes stop at the entry
points: networks, tasks and loops take plain arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    model_validator,
)

from gancompress.data import DATASETS
from gancompress.data.dataoptions import DataOptions
from gancompress.distill.options import FinetuneSection, SupernetSection
from gancompress.errors import ForeignCodeError
from gancompress.export.options import ExportSection
from gancompress.fields.types import (
    STRICT,
    FilePath,
    Integer,
    Real,
    refuse,
)
from gancompress.metrics.options import MetricsSection
from gancompress.nets.families import FAMILIES
from gancompress.nets.families.familyoptions import FamilyOptions
from gancompress.nets.families.ownoptions import named_own
from gancompress.nets.families.spaceoptions import SpaceSection
from gancompress.recipe.fits import misfits, teacherless_misfits
from gancompress.search.options import SearchSection
from gancompress.tasks import TASKS
from gancompress.tasks.taskoptions import TaskOptions
from gancompress.teachers.files import SCRATCH
from gancompress.training.options import TeacherSection

# What `name` chooses from in these sections is what the registries have.
if TYPE_CHECKING:
    Data = DataOptions
    Family = FamilyOptions
    Task = TaskOptions
else:
    Data = Annotated[Union[tuple(DATASETS.values())], Field(discriminator="name")]  # noqa: UP007
    Family = Annotated[
        Union[tuple(FAMILIES.values())],  # noqa: UP007
        Field(discriminator="name"),
        BeforeValidator(named_own),
    ]
    Task = Annotated[Union[tuple(TASKS.values())], Field(discriminator="name")]  # noqa: UP007


class Recipe(BaseModel):
    """Everything that one compression is made of."""

    model_config = STRICT

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=100,  # It names folders and files, to which more is added.
        description="default: the file's stem",
    )
    run: FilePath | None = Field(None, description="folder of the results; default: runs/NAME")
    seed: Integer = Field(0, ge=0, lt=2**63, description="seed of everything random")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to compute")
    threads: Integer = Field(0, ge=0, description="CPU threads; 0 leaves torch's choice")
    precision: Literal["auto", "float32", "bf16", "fp16"] = Field(
        "auto", description="autocast in training; auto: what a timed step finds fastest here"
    )
    workers: Integer = Field(0, ge=0, description="processes that load data")
    save_seconds: Real = Field(60.0, ge=0, description="training state is saved this often")
    on_unhealthy: Literal["warn", "stop"] = Field(
        "warn", description="what training does when it finds itself ill, see the report"
    )
    tensorboard: bool = Field(False, description="write TensorBoard events of training too")
    data: Data = Field(description="the images")
    family: Family = Field(description="the generator's architecture")
    task: Task = Field(description="what kind of GAN is trained")
    teacher: TeacherSection = Field(description="the network to compress")
    space: SpaceSection = Field(description="the generators that the supernet holds")
    supernet: SupernetSection = Field(description="training of the supernet")
    metrics: MetricsSection = Field(
        MetricsSection.model_validate({}), description="what evaluates images"
    )
    search: SearchSection = Field(description="choice of the winner")
    finetune: FinetuneSection = Field(
        FinetuneSection.model_validate({}), description="further training of the chosen"
    )
    export: ExportSection = Field(
        ExportSection.model_validate({}), description="what is written at the end"
    )

    # Keys of files of code that may not be run, and sentences that say why: see `recipe.trust`.
    # No recipe's text reaches it.
    _refusals: dict[tuple[str, ...], str] = PrivateAttr(default_factory=dict)

    def refusing(self, refusals: Mapping[tuple[str, ...], str]) -> Recipe:
        """The same recipe, which may not have the files of these keys run."""
        other = self.model_copy()
        other._refusals = dict(refusals)
        return other

    def refusal(self, key: tuple[str, ...]) -> str:
        """Why the file of a key may not be run; nothing if it may."""
        return self._refusals.get(key, "")

    def check_code(self, *key: str) -> None:
        """Raises: ForeignCodeError if the file of that key may not be run."""
        if sentence := self.refusal(key):
            raise ForeignCodeError(sentence)

    @property
    def run_dir(self) -> Path:
        """The folder of the results."""
        return Path(self.run) if self.run is not None else Path("runs") / self.name

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of the generator's input, labels and style among them, and of its output."""
        inputs, outputs = self.data.channels
        return self.family.latent_size or inputs + self.family.style_channels, outputs

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of what the generator takes where it is evaluated."""
        if self.family.latent_size:
            return 1, 1
        height, width = self.data.evaluated_size
        return height // self.data.enlargement, width // self.data.enlargement

    @model_validator(mode="before")
    @classmethod
    def _family_of_teacher(cls, given: Any) -> Any:
        """An imported generator is told by its teacher where the family does not say which."""
        if not isinstance(given, dict):
            return given
        family, teacher = given.get("family"), given.get("teacher")
        if isinstance(family, dict) and isinstance(teacher, dict) and family.get("file") is None:
            own = teacher.get("from")
            if family.get("name") == "traced" and isinstance(own, str) and own != SCRATCH:
                return {**given, "family": {**family, "file": own}}
        return given

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        problems = misfits(self.data, self.family, self.task)
        has_ground_truth = self.data.has_ground_truth and not self.family.latent_size
        if self.search.objective not in ("fd", "kid") and not has_ground_truth:
            problems.append(
                f"search.objective: found {self.search.objective}; data {self.data.name} has no "
                "true answers, fd and kid are allowed"
            )
        problems += teacherless_misfits(
            self.teacher,
            self.supernet,
            self.finetune,
            self.task,
            has_ground_truth=has_ground_truth and not self.family.style_channels,
        )
        if self.task.imitates and not self.teacher.is_given:
            problems.append(
                f"teacher.from: found {self.teacher.from_}; task {self.task.name} has no targets "
                "to train a teacher with; give the trained generator, as gancompress compress does"
            )
        asks_lpips = "lpips" in (self.search.objective, *self.metrics.also)
        if asks_lpips and self.metrics.lpips is None:
            problems.append(
                "metrics.lpips: missing; the metric lpips needs the weights of AlexNet or VGG16"
            )
        labels = self.metrics.label_problems(self.data.class_list, self.data.name)
        refuse([*problems, *(f"metrics.{line}" for line in labels)])
        return self
