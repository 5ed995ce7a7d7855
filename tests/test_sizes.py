"""Images too small for a network are refused with the smallest size that it runs on."""

from __future__ import annotations

from pathlib import Path

import ownnets
import pytest
import torch
from images import save_pairs
from torch import nn

from gancompress.errors import GanCompressError, RecipeError
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.stages import pipeline
from gancompress.stages.sizes import check_sizes

SMALL = (
    "family.blocks=1", "teacher.width=4", "space={widths: [4, 2]}", "task.discriminator_width=2",
    "data.load_size=64", "device=cpu",
)  # fmt: skip


def recipe_of(crop: object, *more: str, name: str = "edges2shoes") -> Recipe:
    return load_recipe(name, [*SMALL, f"data.crop_size={crop}", *more])


def runs(net: nn.Module, *shape: int) -> bool:
    try:
        net(torch.zeros(shape))
    except (RuntimeError, ValueError):
        return False
    return True


@pytest.mark.parametrize(
    ("crop", "layers", "least"),
    [(16, 3, [24, 24]), ([8, 40], 3, [24, 40]), (8, 2, [12, 12]), (4, 1, [8, 8])],
)
def test_the_smallest_size_that_is_told_is_the_smallest_that_runs(
    crop: object, layers: int, least: list[int]
) -> None:
    recipe = recipe_of(crop, f"task.discriminator_layers={layers}")
    size = list(recipe.data.image_size)
    with pytest.raises(RecipeError) as caught:
        check_sizes(Project(recipe), Project(recipe).planned_arch)
    said = f"edges2shoes: data.crop_size: found {size}; "
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)
    assert f"runs on {least} and more" in str(caught.value)

    def all_run(sides: list[int]) -> bool:
        nets = Project(recipe).task.discriminators()
        generator = Project(recipe).family.build(Project(recipe).planned_arch)
        ours = runs(generator.train(), 1, 3, *sides)
        return ours and all(runs(net.train(), 1, 6, *sides) for net in nets.values())

    assert not all_run(size) and all_run(least)
    assert not all_run([max(one, side - 4) for one, side in zip(size, least, strict=True)])
    allowed = recipe_of(least, f"task.discriminator_layers={layers}")
    check_sizes(Project(allowed), Project(allowed).planned_arch)


def test_commands_refuse_it_before_anything_is_trained(tmp_path: Path) -> None:
    save_pairs(tmp_path / "images", 10, 64, 64)
    recipe = recipe_of(
        16, f"data.folder={tmp_path / 'images'}", f"run={tmp_path / 'run'}",
        "data.search_fraction=0.3", "data.test_fraction=0.3", "search.reduction=2",
    )  # fmt: skip
    with pytest.raises(
        GanCompressError, match=r"the discriminator \(discriminator\) runs on \[24, 24\]"
    ):
        pipeline.run_stages(Project(recipe), ["teacher"], lambda text: None)
    assert not (tmp_path / "run").exists()


def test_generators_of_ones_own_are_looked_at_by_themselves(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(ownnets.LEAST)
    more = ["family.blocks=null", f"family={{file: {tmp_path / 'net.py'}}}"]
    recipe = load_recipe("edges2shoes", [*SMALL[1:], *more[1:], "data.crop_size=24"])
    check_sizes(Project(recipe), Project(recipe).planned_arch)
