"""The teacher stage from a generator that another program has trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from gancompress import assemble
from gancompress.arch import Arch
from gancompress.checkpoint import file_hash, save_tensors
from gancompress.contents import Contents, Files
from gancompress.errors import CheckpointError, RecipeError, RunError
from gancompress.foreign import LAYOUTS, Imported, read_generator
from gancompress.importcheck import Pair, check
from gancompress.preflight import check as check_stages
from gancompress.recipe import Recipe, stage_sections
from gancompress.recipefile import resolved_yaml
from gancompress.recipetrust import remember
from gancompress.runs import Run
from gancompress.sources import files_of
from gancompress.weights import pack, unpack


def import_teacher(
    recipe: Recipe,
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
    if layout not in LAYOUTS:
        raise CheckpointError(f"--from {layout}: not a layout; one of {', '.join(LAYOUTS)}")
    read = read_generator(path, layout, part)
    found = read.imported
    say(f"{path}{', part ' + read.place if read.place else ''}: {found.found}")
    _check_fit(recipe, found, path)
    check_stages(recipe, ["supernet"], arch=found.arch)
    net = assemble.family_of(recipe).build(found.arch)
    unpack(net, found.tensors, str(path))
    origin: dict[str, object] = {"file": path.name, "sha256": file_hash(path)}
    origin |= {"from": layout, "part": read.place or None}
    if pair is not None:
        origin["checked"] = _checked(recipe, net, found, Pair(*pair), say)
    else:
        say(f"{path}: not in the file, so assumed: {'; '.join(found.assumed)}. {_PROOF}")
    if is_dry:
        place = Run(recipe.run_dir).stage("teacher").path / MODEL
        say(f"{resolved_yaml(recipe)}\nwould write {place}")
        return
    tensors = pack({assemble.task_of(recipe).target: net})
    _keep(recipe, tensors, found.arch, origin, say, redo=redo)


_PROOF = "--check IN OUT, an input and the program's own answer to it, would prove it"
MODEL = "model.safetensors"


def _keep(
    recipe: Recipe,
    tensors: Mapping[str, Tensor],
    arch: Arch,
    origin: Mapping[str, object],
    say: Callable[[str], None],
    *,
    redo: bool,
) -> None:
    """Writes the teacher stage. Raises: RunError."""
    stage = (run := Run(recipe.run_dir)).stage("teacher")
    if redo and (aside := stage.set_aside()) is not None:
        say(f"teacher: earlier result kept as {aside}")
    sections = stage_sections(recipe, "teacher")
    files = Files(files_of(recipe, run, sections).named, lambda: Contents({}))  # made elsewhere
    status = stage.begin(sections, files=files)
    with stage:
        if status == "done" or stage.state.exists():
            raise RunError(
                f"{stage.path}: holds a teacher already, perhaps in training; give another "
                "run=DIR, or --redo to set it aside"
            )
        run.keep_recipe(resolved_yaml(recipe))
        remember(recipe)
        save_tensors(stage.path / MODEL, tensors, {"arch": arch.to_json()})
        stage.finish(MODEL, {"imported": dict(origin)})
        say(f"teacher: {stage.artefact()}")


def _checked(
    recipe: Recipe, net: nn.Module, found: Imported, pair: Pair, say: Callable[[str], None]
) -> dict[str, object]:
    """The record of a check. Raises: CheckpointError, DataError."""
    multiple = assemble.family_of(recipe).multiple(found.arch)
    held = check(net.eval(), pair, found, multiple)
    say(f"{pair.answer}: given, to {held} ({held.allowed:g} is allowed)")
    return {"input": pair.input.name, "answer": pair.answer.name, "difference": str(held)}


def _check_fit(recipe: Recipe, found: Imported, path: Path) -> None:
    """Raises: RecipeError with what the recipe would have to say."""
    wanted = {"in_channels": "input", "out_channels": "target"}
    family = assemble.family_of(recipe)
    if family.name != found.family:
        raise RecipeError(
            f"{recipe.name}: family is {family.name}, where {path} holds {found.found}; "
            f"choose a recipe with family.name={found.family}"
        )
    options = {k: v for k, v in found.options.items() if k not in wanted}
    other = {k: v for k, v in options.items() if family.options.get(k) != v}
    if other:
        has = ", ".join(f"family.{key} is {family.options.get(key)}" for key in other)
        keys = " ".join(f"family.{key}={value}" for key, value in other.items())
        raise RecipeError(
            f"{recipe.name}: {has}, where {path} holds {found.found}; put {keys} into the recipe"
        )
    ours = dict(zip(wanted, recipe.channels, strict=True))
    for key, image in wanted.items():
        if found.options.get(key, ours[key]) != ours[key]:
            raise RecipeError(
                f"{recipe.name}: data has {ours[key]} {image} channels, where {path} has "
                f"{found.options[key]}; choose data with as many (a plane for each label counts)"
            )
