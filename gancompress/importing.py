"""The teacher stage from a generator that another program has trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gancompress import assemble
from gancompress.checkpoint import file_hash, save_tensors
from gancompress.errors import CheckpointError, RecipeError, RunError
from gancompress.foreign import LAYOUTS, Imported, read_tensors
from gancompress.recipe import Recipe, stage_sections
from gancompress.recipefile import resolved_yaml
from gancompress.runs import Run
from gancompress.weights import pack, unpack


def import_teacher(
    recipe: Recipe,
    path: Path,
    layout: str,
    say: Callable[[str], None],
    *,
    part: str | None = None,
    redo: bool = False,
) -> None:
    """Makes the run's teacher from the weights in `path`, which a program of LAYOUTS wrote.

    The widths and operators are the file's, whatever the recipe says of its teacher. Discriminators
    are not in such files: the artefact holds the generator alone. part: which network of several.
    Raises: CheckpointError for a file that does not fit its layout, RecipeError for one that does
    not fit the recipe, RunError where there is a teacher already and no redo. Nothing is written
    then.
    """
    if layout not in LAYOUTS:
        raise CheckpointError(f"--from {layout}: not a layout; one of {', '.join(LAYOUTS)}")
    found = LAYOUTS[layout](read_tensors(path, part), str(path))
    say(f"{path}: {found.found}")
    _check_fit(recipe, found, path)
    net = assemble.family_of(recipe).build(found.arch)
    unpack(net, found.tensors, str(path))
    origin = {"file": path.name, "sha256": file_hash(path), "from": layout, "part": part}
    stage = (run := Run(recipe.run_dir)).stage("teacher")
    if redo and (aside := stage.set_aside()) is not None:
        say(f"teacher: earlier result kept as {aside}")
    status = stage.begin(stage_sections(recipe, "teacher"))
    with stage:
        if status == "done" or stage.state.exists():
            raise RunError(
                f"{stage.path}: holds a teacher already, perhaps in training; give another "
                "run=DIR, or --redo to set it aside"
            )
        run.keep_recipe(resolved_yaml(recipe))
        tensors = pack({assemble.task_of(recipe).target: net})
        save_tensors(stage.path / "model.safetensors", tensors, {"arch": found.arch.to_json()})
        stage.finish("model.safetensors", {"imported": origin})
        say(f"teacher: {stage.artefact()}")


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
