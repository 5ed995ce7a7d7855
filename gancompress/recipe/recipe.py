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
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from gancompress.data import DATASETS
from gancompress.data.dataoptions import DataOptions
from gancompress.errors import ForeignCodeError
from gancompress.fields.types import (
    STRICT,
    FilePath,
    Integer,
    Listed,
    LossName,
    Real,
    Split,
    Weight,
    refuse,
)
from gancompress.metrics.options import MetricsSection
from gancompress.nets.families.options import Family
from gancompress.recipe.fits import misfits
from gancompress.search.options import FinetuneSection, SearchSection
from gancompress.tasks import TASKS
from gancompress.tasks.taskoptions import TaskOptions
from gancompress.teachers.files import SCRATCH, teacher_sha256
from gancompress.training.options import TrainingSection

# What `data.name` and `task.name` choose from is what the registries have.
if TYPE_CHECKING:
    Data = DataOptions
    Task = TaskOptions
else:
    Data = Annotated[Union[tuple(DATASETS.values())], Field(discriminator="name")]  # noqa: UP007
    Task = Annotated[Union[tuple(TASKS.values())], Field(discriminator="name")]  # noqa: UP007

Operator = Literal["dense", "separable"]
Preset = Literal[
    "channels-48",
    "channels-32",
    "channels-64-cyclegan",
    "channels-64-pix2pix",
    "channels-64-gaugan",
    "channels-64-munit",
]
Format = Literal[
    "safetensors",
    "pt2",
    "onnx",
    "onnx-static",
    "onnx-fp16",
    "onnx-int8",
    "openvino",
    "openvino-16bit",
    "openvino-int8",
    "executorch",
    "web",
]
Width = Annotated[Integer, Field(ge=1)]


class TeacherSection(TrainingSection):
    """How the network to compress is trained."""

    from_: str = Field(
        SCRATCH,
        alias="from",
        description="scratch: trained here; otherwise the name of a packaged teacher, or a file "
        "that train-teacher wrote, whose width and operator count then",
    )
    width: Width = Field(64, description="width in every slot, in the family's base unit")
    op: Operator = Field("dense", description="operator of the trunk")

    @property
    def is_given(self) -> bool:
        """Whether its weights come from a file."""
        return self.from_ != SCRATCH


class SpaceSection(BaseModel):
    """Which generators the supernet holds; exactly one of preset and widths."""

    model_config = STRICT

    preset: Preset | None = Field(None, description="a published choice list, by name")
    widths: Listed[Width] | None = Field(
        None, description="allowed widths of every slot, or of each slot by name"
    )
    ops: Listed[Operator] = Field(
        ("separable",), description="allowed operators of the trunk, or of each stage by name"
    )
    bands: Listed[Split] = Field(
        ((0.0, 0.0),),
        description="allowed octave splits of the trunk, or of each stage by name: ALPHA (half "
        "the resolution) or [ALPHA, BETA] (and a quarter)",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        problems = []
        if self.preset is not None and self.widths is not None:
            problems.append("preset: given beside widths; exactly one is allowed, set one to null")
        if self.preset is None and self.widths is None:
            problems.append("preset: missing, and widths too; exactly one is needed")
        for key, given in (("widths", self.widths), ("ops", self.ops), ("bands", self.bands)):
            lists = given if isinstance(given, dict) else {"": given or ()}
            for name, values in lists.items():
                if len(set(values)) < len(values):
                    where = f"{key}.{name}".rstrip(".")
                    problems.append(f"{where}: found {list(values)}; different values are allowed")
        refuse(problems)
        return self


class SupernetSection(TrainingSection):
    """How all generators of the space are trained at once."""

    init: Literal["teacher", "fitted", "random"] = Field(
        "fitted",
        description="first weights: the teacher's; those, fitted so that narrow ones follow it too",
    )
    archs: Literal["uniform", "sandwich", "weighted"] = Field(
        "uniform", description="which archs a step trains"
    )
    target: Literal["truth", "teacher", "both"] = Field(
        "both", description="the image that the student's is compared with"
    )
    kept_answers: Integer = Field(
        0,
        ge=0,
        description="so many augmented images are drawn once and the teacher's answers to them "
        "kept in memory, in finetune too; 0: each step draws and asks anew",
    )
    discriminator_every: Integer = Field(
        1,
        ge=1,
        description="the discriminators learn at every so many steps; a narrow generator seldom "
        "deceives one that its teacher trained against, and saves their time",
    )
    losses: dict[LossName, Weight] = Field(
        {"l1": 100.0, "features": 1.0, "gan": 1.0}, description="weight of each loss, by name"
    )

    @field_validator("losses")
    @classmethod
    def _something_to_learn(cls, losses: dict[LossName, float]) -> dict[LossName, float]:
        if not any(losses.values()):
            raise ValueError(f": found {losses or 'none'}; at least one weight above 0 is needed")
        return losses


class ExportSection(BaseModel):
    """What is written at the end."""

    model_config = STRICT

    budget_macs: Integer | None = Field(
        None, ge=1, description="export the front's best of at most so many MACs, not the winner"
    )
    formats: tuple[Format, ...] = Field(
        ("safetensors", "pt2", "onnx"), min_length=1, description="file formats of the winner"
    )
    licence: str = Field("", description="licence of the weights, for the model card: mit, …")
    data_licence: str = Field("", description="licence of the data, where it is not built in")
    images: Integer = Field(6, ge=1, description="rows of the picture grid")
    latency_threads: Integer = Field(1, ge=1, description="CPU threads of the timed runs")
    latency_repeats: Integer = Field(30, ge=1, description="timed runs; the median is reported")


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
        MetricsSection.model_validate({}), description="what judges images"
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
        """Channels of what the generator takes, planes among them, and of what it makes."""
        inputs, outputs = self.data.channels
        return self.family.latent_size or inputs + self.family.style_planes, outputs

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of what the generator takes where it is judged."""
        if self.family.latent_size:
            return 1, 1
        height, width = self.data.judged_size
        return height // self.data.enlargement, width // self.data.enlargement

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        problems = misfits(self.data, self.family, self.task)
        has_truth = self.data.has_truth and not self.family.latent_size
        if self.search.objective not in ("fd", "kid") and not has_truth:
            problems.append(
                f"search.objective: found {self.search.objective}; data {self.data.name} has no "
                "true answers, fd and kid are allowed"
            )
        labels = self.metrics.label_problems(self.data.class_list, self.data.name)
        refuse([*problems, *(f"metrics.{line}" for line in labels)])
        return self


# The sections that decide each stage's result, beside those of the stages before it. Not among
# them: name, run, device, precision, threads, workers, tensorboard, on_unhealthy, accumulate (nor
# how many processes train), so that a run can move to another machine.
STAGE_SECTIONS: dict[str, tuple[str, ...]] = {
    "teacher": ("seed", "data", "family", "task", "teacher"),
    "supernet": ("space", "supernet"),
    "search": ("metrics", "search"),
    "finetune": ("finetune",),
    "export": ("export",),
}
_NEWER: tuple[tuple[str, str, object], ...] = (
    ("supernet", "kept_answers", 0),
    ("supernet", "discriminator_every", 1),
    ("finetune", "losses", None),
    ("finetune", "discriminator_every", None),
)
_TRAININGS = ("teacher", "supernet", "finetune")
_WITHOUT_EFFECT = {
    "data": {"cache_mb"},
    "search": {"storage", "silence_seconds"},
    **{name: {"accumulate"} for name in _TRAININGS},
}


def stage_sections(recipe: Recipe, stage: str) -> dict[str, Any]:
    """The parts of `recipe`, as plain JSON values, that decide the result of `stage`.

    Raises: CheckpointError if the file of a given teacher cannot be read.
    """
    stages = list(STAGE_SECTIONS)
    before = [s for s in stages[: stages.index(stage)] if s != "finetune"]  # it can be left out
    names = [n for s in (*before, stage) for n in STAGE_SECTIONS[s]]
    plain = recipe.model_dump(mode="json", by_alias=True, exclude=_WITHOUT_EFFECT)
    del plain["teacher"]["from"]  # Where its file lies has no effect, and what is in it has.
    for section, key, default in _NEWER:  # Records of versions without the key stay valid.
        if plain[section][key] == default:
            del plain[section][key]
    if recipe.teacher.is_given:
        plain["teacher"] = {"sha256": teacher_sha256(recipe.teacher.from_)}
    for name in ("segmentation", "classifier", "also"):  # candidates are not judged by them
        if stage != "export" or not plain["metrics"][name]:
            del plain["metrics"][name]
    for key in recipe.data.newer:
        if plain["data"][key] == type(recipe.data).model_fields[key].default:
            del plain["data"][key]
    if stage != "export":
        del plain["metrics"]["resamples"]  # theirs come without intervals
    return {name: plain[name] for name in names}


def changeable(stage: str) -> frozenset[str]:
    """Keys of `stage_sections` that an unfinished stage may go on with other values of.

    Messages advise a lower learning rate where a training diverges or is ill.
    """
    return frozenset(f"{stage}.{key}" for key in ("lr", "lr_critic") if stage in _TRAININGS)


def _ask_for_name(section: dict[str, Any]) -> None:
    """Lets a section that its name chooses need the name, whose default is for code alone."""
    name = section.get("properties", {}).get("name", {})
    if "const" in name and "default" in name:
        del name["default"]
        section["required"] = ["name", *section.get("required", ())]


# pydantic passes constraints behind a validator on in its own spelling, which editors do not know.
_SCHEMA_WORDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}


def json_schema() -> dict[str, Any]:
    """JSON schema of a recipe file, for editors; `name` may be left out there."""
    schema: dict[str, Any] = _in_schema_words(Recipe.model_json_schema())
    schema["required"] = [key for key in schema["required"] if key != "name"]
    for section in schema["$defs"].values():
        _ask_for_name(section)
    own = schema["$defs"]["OwnFamily"]  # `family: {file: …}` alone says which family is meant
    own["required"] = [key for key in own["required"] if key != "name"]
    return schema


def _in_schema_words(node: Any) -> Any:
    """`node` of a JSON schema with each constraint in the words of JSON Schema."""
    if isinstance(node, dict):
        return {_SCHEMA_WORDS.get(key, key): _in_schema_words(value) for key, value in node.items()}
    return [_in_schema_words(value) for value in node] if isinstance(node, list) else node
