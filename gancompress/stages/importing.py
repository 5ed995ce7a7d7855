"""The teacher stage from a generator that another program has trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.errors import CheckpointError, RecipeError, RunError
from gancompress.importers import LAYOUTS, Imported, read_generator
from gancompress.importers.choosing import Found
from gancompress.importers.filling import fill
from gancompress.project import Project
from gancompress.project.files import files_of
from gancompress.recipe.reading import resolved_yaml
from gancompress.recipe.stagesections import stage_sections
from gancompress.recipe.trust import remember
from gancompress.stages.importcheck import Pair, check
from gancompress.stages.preflight import check as check_stages
from gancompress.storage.checkpoint import file_hash, save_tensors
from gancompress.storage.contents import Contents, Files
from gancompress.supernet.supernet import named_tensors
from gancompress.supernet.weights import pack, unpack


def import_teacher(
    project: Project,
    path: Path,
    layout: str,
    say: Callable[[str], None],
    *,
    part: str | None = None,
    pair: tuple[Path, Path] | None = None,
    redo: bool = False,
    is_dry: bool = False,
) -> None:
    """Makes the run's teacher from the weights in `path`, which a program of LAYOUTS wrote.

    The widths and operators are the file's, whatever the recipe says of its teacher. Discriminators
    are not taken from such files: the artefact holds the generator alone. part: which network of
    several, see `foreign.read_generator`.
    pair: an input and the program's own answer, which ours must give too; without it, what the file
    does not tell is said. is_dry: nothing is written.
    Raises: CheckpointError for a file that does not fit its layout or answers otherwise,
    RecipeError for one that does not fit the recipe, DataError for a pair that cannot be compared,
    RunError where there is a teacher already and no redo; and what the next stage would refuse.
    Nothing is written then.
    """
    if layout not in (*LAYOUTS, OWN):
        raise CheckpointError(f"--from {layout}: not a layout; one of {', '.join((*LAYOUTS, OWN))}")
    read = _own(project, path, part) if layout == OWN else read_generator(path, layout, part)
    found = read.imported
    say(f"{path}{', part ' + read.place if read.place else ''}: {found.found}")
    _check_fit(project, found, path)
    check_stages(project, ["supernet"], arch=found.arch)
    net = project.family.build(found.arch)
    unpack(net, found.tensors, str(path))
    origin: dict[str, object] = {"file": path.name, "sha256": file_hash(path)}
    origin |= {"from": layout, "part": read.place or None}
    if pair is not None:
        origin["checked"] = _checked(project, net, found, Pair(*pair), say)
    else:
        say(f"{path}: not in the file, so assumed: {'; '.join(found.assumed)}. {_PROOF}")
    if is_dry:
        place = project.run.stage("teacher").path / MODEL
        say(f"{resolved_yaml(project.recipe)}\nwould write {place}")
        return
    tensors = pack({project.task.target: net})
    _keep(project, tensors, found.arch, origin, say, redo=redo)


def _own(project: Project, path: Path, part: str | None) -> Found:
    """The weights of the recipe's own generator, by its own names.

    Raises: RecipeError for another family, CheckpointError for weights that do not fit.
    """
    family, arch = project.family, project.planned_arch
    if family.code_file is None:
        raise RecipeError(
            f"{project.name}: family is {family.name}; --from {OWN} takes the weights of a "
            "generator of your own (family.file), those of other programs have names of theirs"
        )
    net = family.build(arch)
    place = fill(net, path, part)
    tensors = {name: tensor.detach() for name, tensor in named_tensors(net)}
    what = f"weights of {Path(family.code_file).name}, {arch.compact}"
    options = dict(zip(("in_channels", "out_channels"), project.recipe.channels, strict=True))
    imported = Imported(family.name, options, arch, tensors, what, ("images from -1 to 1",))
    return Found(imported, place)


OWN = "own"  # The weights of a generator of one's own, beside LAYOUTS.
_PROOF = "--check IN OUT, an input and the program's own answer to it, would prove it"
MODEL = "model.safetensors"


def _keep(
    project: Project,
    tensors: Mapping[str, Tensor],
    arch: Arch,
    origin: Mapping[str, object],
    say: Callable[[str], None],
    *,
    redo: bool,
) -> None:
    """Writes the teacher stage. Raises: RunError."""
    stage = (run := project.run).stage("teacher")
    if redo and (aside := stage.set_aside()) is not None:
        say(f"teacher: earlier result kept as {aside}")
    sections = stage_sections(project.recipe, "teacher")
    files = Files(files_of(project, sections).named, lambda: Contents({}))  # made elsewhere
    status = stage.begin(sections, files=files)
    with stage:
        if status == "done" or stage.state.exists():
            raise RunError(
                f"{stage.path}: holds a teacher already, perhaps in training; give another "
                "run=DIR, or --redo to set it aside"
            )
        run.keep_recipe(resolved_yaml(project.recipe))
        remember(project.recipe)
        save_tensors(stage.path / MODEL, tensors, {"arch": arch.to_json()})
        stage.finish(MODEL, {"imported": dict(origin)})
        say(f"teacher: {stage.artefact()}")


def _checked(
    project: Project, net: nn.Module, found: Imported, pair: Pair, say: Callable[[str], None]
) -> dict[str, object]:
    """The record of a check. Raises: CheckpointError, DataError."""
    multiple = project.family.multiple(found.arch)
    held = check(net.eval(), pair, found, multiple)
    say(f"{pair.answer}: given, to {held} ({held.allowed:g} is allowed)")
    return {"input": pair.input.name, "answer": pair.answer.name, "difference": str(held)}


def _check_fit(project: Project, found: Imported, path: Path) -> None:
    """Raises: RecipeError with what the recipe would have to say."""
    wanted = {"in_channels": "input", "out_channels": "target"}
    family = project.family
    if family.name != found.family:
        raise RecipeError(
            f"{project.name}: family is {family.name}, where {path} holds {found.found}; "
            f"choose a recipe with family.name={found.family}"
        )
    options = {k: v for k, v in found.options.items() if k not in wanted}
    other = {k: v for k, v in options.items() if family.options.get(k) != v}
    if other:
        has = ", ".join(f"family.{key} is {family.options.get(key)}" for key in other)
        keys = " ".join(f"family.{key}={value}" for key, value in other.items())
        raise RecipeError(
            f"{project.name}: {has}, where {path} holds {found.found}; put {keys} into the recipe"
        )
    ours = dict(zip(wanted, project.recipe.channels, strict=True))
    for key, image in wanted.items():
        if found.options.get(key, ours[key]) != ours[key]:
            raise RecipeError(
                f"{project.name}: data has {ours[key]} {image} channels, where {path} has "
                f"{found.options[key]}; choose data with as many (a channel for each label counts)"
            )
