"""`import-teacher`: another program's generator becomes a run's teacher, or nothing happens."""

import json
from pathlib import Path

import pytest
import torch
from foreignnets import cyclegan_resnet, stargan_generator
from images import save_attributes, save_pairs
from torch import nn
from typer.testing import CliRunner

from gancompress.archs.arch import Arch
from gancompress.cli.commands import app
from gancompress.errors import (
    BudgetError,
    CheckpointError,
    GanCompressError,
    RecipeError,
    RunError,
)
from gancompress.fields.names import PROGRAMS
from gancompress.importers import LAYOUTS
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.recipe.stagesections import stage_sections
from gancompress.stages import importing, pipeline
from gancompress.stages.budgets import check_budgets
from gancompress.storage.checkpoint import file_hash, load_tensors
from gancompress.storage.runs import Run
from gancompress.supernet.weights import part, unpack

UNEQUAL = (8, 12, 6, 10, 4, 8, 6, 16)


def overrides(folder: Path, *more: str) -> list[str]:
    """A small recipe of pairs, which are beside `folder`."""
    images = folder.parent / f"{folder.name}-images"
    if not images.exists():
        save_pairs(images, 10, 40, 40)
    split = "search_fraction: 0.3, test_fraction: 0.3"
    data = f"data={{name: pairs, folder: {images}, load_size: 36, crop_size: 32, {split}}}"
    small = ("family.blocks=3", "task.discriminator_width=4", "task.discriminator_layers=1",
    "teacher.width=4",
             "space={widths: [4, 2]}", "search.reduction=2", "device=cpu",
             f"run={folder / 'run'}")  # fmt: skip
    return [data, *small, *more]


def toy(folder: Path, *more: str) -> Recipe:
    return load_recipe("edges2shoes", overrides(folder, *more))


def saved(folder: Path, net: nn.Module, name: str = "latest_net_G.pth") -> Path:
    torch.save(net.state_dict(), folder / name)
    return folder / name


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


def imported(recipe: Recipe, path: Path, layout: str = "cyclegan", *, redo: bool = False) -> str:
    said: list[str] = []
    importing.import_teacher(Project(recipe), path, layout, said.append, redo=redo)
    return "\n".join(said)


def test_command_makes_the_teacher_of_the_run(tmp_path: Path) -> None:
    theirs = cyclegan_resnet(UNEQUAL, blocks=3, separable=True).eval()
    path = saved(tmp_path, theirs)
    code, out = call("import-teacher", str(path), "--from", "gan-compression", "edges2shoes",
                     *overrides(tmp_path))  # fmt: skip
    assert code == 0 and "3 separable residual blocks, instance norm" in out
    recipe, run = toy(tmp_path), Run(tmp_path / "run")
    said: list[str] = []
    pipeline.run_stage(Project(recipe), "teacher", said.append)
    assert "teacher: done already" in said[0]
    origin = {"file": path.name, "sha256": file_hash(path), "from": "gan-compression", "part": None}
    assert run.stage("teacher").extra() == {"imported": origin}
    tensors, meta = load_tensors(run.stage("teacher").artefact())
    assert {name.split(".")[0] for name in tensors} == {Project(recipe).task.target}
    arch = Arch.from_json(meta["arch"])
    assert arch.compact == "8_12_6_10_4_8_6_16"
    ours = Project(recipe).family.build(arch).eval()
    unpack(ours, part(tensors, Project(recipe).task.target), "teacher")
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=0)
    assert (tmp_path / "run" / "recipe.yaml").exists()


def test_imported_teacher_is_the_one_that_later_stages_load(tmp_path: Path) -> None:
    theirs, recipe = cyclegan_resnet(UNEQUAL, blocks=3).eval(), toy(tmp_path)
    imported(recipe, saved(tmp_path, theirs))
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    net = Project(recipe).teacher_net
    torch.testing.assert_close(net(x), theirs(x), atol=1e-5, rtol=0)


def test_one_of_several_networks_is_imported_by_its_key(tmp_path: Path) -> None:
    nets = {name: cyclegan_resnet(blocks=3).state_dict() for name in ("G_A", "G_B")}
    torch.save(nets, tmp_path / "both.pth")
    arguments = ("import-teacher", str(tmp_path / "both.pth"), "edges2shoes",
                 *overrides(tmp_path), "--from", "cyclegan")  # fmt: skip
    code, out = call(*arguments)
    assert code == 2 and "name one of G_A, G_B with --part" in out
    assert call(*arguments, "--part", "G_B")[0] == 0
    tensors, _ = load_tensors(Run(tmp_path / "run").stage("teacher").artefact())
    assert torch.equal(tensors["generator.stem.conv.weight"], nets["G_B"]["model.1.weight"])
    assert Run(tmp_path / "run").stage("teacher").extra()["imported"]["part"] == "G_B"


def test_a_teacher_that_is_there_is_kept_unless_redo_sets_it_aside(tmp_path: Path) -> None:
    recipe, path = toy(tmp_path), saved(tmp_path, cyclegan_resnet(blocks=3))
    imported(recipe, path)
    artefact = Run(recipe.run_dir).stage("teacher").artefact()
    before = artefact.read_bytes()
    other = saved(tmp_path, cyclegan_resnet(blocks=3), "other.pth")
    with pytest.raises(RunError, match="run/teacher: holds a teacher already.*--redo"):
        imported(recipe, other)
    assert artefact.read_bytes() == before
    broken = saved(tmp_path, cyclegan_resnet(blocks=2), "broken.pth")
    with pytest.raises(RecipeError):
        imported(recipe, broken, redo=True)
    assert artefact.read_bytes() == before, "set aside for a file that was then refused"
    assert "earlier result kept as" in imported(recipe, other, redo=True)
    assert artefact.read_bytes() != before
    assert (recipe.run_dir / "teacher.1" / "model.safetensors").read_bytes() == before


def test_a_training_in_progress_is_kept(tmp_path: Path) -> None:
    recipe, path = toy(tmp_path), saved(tmp_path, cyclegan_resnet(blocks=3))
    stage = Run(recipe.run_dir).stage("teacher")
    stage.begin(stage_sections(recipe, "teacher"))
    stage.release()
    imported(recipe, path)  # nothing was trained yet
    stage.set_aside()
    stage.begin(stage_sections(recipe, "teacher"))
    stage.release()
    stage.state.write_bytes(b"hours of work")
    with pytest.raises(RunError, match="perhaps in training"):
        imported(recipe, path)
    assert stage.state.read_bytes() == b"hours of work"


@pytest.mark.parametrize(
    ("net", "layout", "error", "said"),
    [
        (cyclegan_resnet(blocks=2), "cyclegan", RecipeError,
         "edges2shoes: family.blocks is 3, .*2 dense residual blocks.*put family.blocks=2 into"),
        (cyclegan_resnet(blocks=6, norm=nn.BatchNorm2d), "cyclegan", RecipeError,
         "put family.blocks=6 family.norm=batch into the recipe"),
        (cyclegan_resnet(blocks=3, channels=(1, 3)), "cyclegan", RecipeError,
         "data has 3 input channels, where .* has 1"),
        (cyclegan_resnet(blocks=3, channels=(3, 1)), "cyclegan", RecipeError,
         "data has 3 target channels, where .* has 1"),
        (stargan_generator(), "stargan", RecipeError,
         "family is resnet, where .*; choose a recipe with family.name=stargan"),
        (stargan_generator(), "cyclegan", CheckpointError, "key model.1.weight"),
        (cyclegan_resnet(blocks=3), "keras", CheckpointError,
         "--from keras: not a layout; one of cyclegan, gan-compression"),
    ],
)  # fmt: skip
def test_refusals_say_what_to_do_and_leave_nothing_behind(
    net: nn.Module, layout: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, net)
    with pytest.raises(error, match=said):
        imported(toy(tmp_path), path, layout)
    assert list(tmp_path.iterdir()) == [path]


def test_stargan_is_imported_into_a_recipe_of_as_many_labels(tmp_path: Path) -> None:
    path = saved(tmp_path, stargan_generator(labels=5, blocks=6))
    names, listed = ["a", "b", "c", "d", "e"], tmp_path / "list.txt"
    save_attributes(tmp_path / "faces", listed, names, [[i % 2] * 5 for i in range(40)])
    more = ("space.widths=[8, 4]", "search={reduction: 2}", "data.crop=8", "device=cpu")
    data = f"data.attributes=[{', '.join(names)}]"
    where = (f"data.folder={tmp_path / 'faces'}", f"data.attribute_file={listed}")
    split = ("data.search_fraction=0.3", "data.test_fraction=0.3")
    recipe = load_recipe("stargan-celeba", [data, *where, *split, *more, f"run={tmp_path / 'run'}"])
    assert recipe.data.channels[0] == 8
    assert "8 to 3 channels, 6 dense residual blocks" in imported(recipe, path, "stargan")
    assert Run(tmp_path / "run").stage("teacher").is_finished()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.reduction=1000", "search.reduction: .* is below the smallest generator"),
        ("search.budget_params=10", "search.budget_params: 10 is below the smallest generator"),
        ("supernet.batch_size=3 supernet.accumulate=3 supernet.kept_answers=2",
         "supernet.kept_answers: found 2; at least a batch"),
        ("data.folder=nowhere", "nowhere: no such folder"),
    ],
)  # fmt: skip
def test_what_the_next_stage_refuses_is_refused_before_anything_is_written(
    override: str, said: str, tmp_path: Path
) -> None:
    recipe, path = toy(tmp_path, *override.split()), saved(tmp_path, cyclegan_resnet(blocks=3))
    with pytest.raises(GanCompressError, match=said) as first:
        imported(recipe, path)
    assert list(tmp_path.iterdir()) == [path]
    imported(toy(tmp_path), path)
    with pytest.raises(GanCompressError) as second:
        pipeline.run_stages(Project(recipe), ["supernet"], lambda text: None)
    assert str(first.value) == str(second.value)


def test_budgets_are_those_of_the_imported_teacher(tmp_path: Path) -> None:
    """Of width 8, where the recipe would train one of width 2: a half of that is too little."""
    recipe = toy(tmp_path, "teacher.width=2", "space={widths: [4]}")
    with pytest.raises(BudgetError):
        check_budgets(Project(recipe))
    assert "width" in imported(recipe, saved(tmp_path, cyclegan_resnet(blocks=3)))


def test_help_says_whose_files_are_read() -> None:
    code, out = call("import-teacher", "--help")
    assert code == 0 and "Example: gancompress import-teacher" in out
    shown = " ".join(out.replace("│", " ").split())
    assert all(f"{name}: " in shown for name in importing.LAYOUTS)
    about = {name: (layout.__doc__ or "").splitlines()[0] for name, layout in LAYOUTS.items()}
    assert about == {name: what for name, what in PROGRAMS.items() if name != importing.OWN}


def test_record_is_json_that_a_card_can_show(tmp_path: Path) -> None:
    recipe = toy(tmp_path)
    imported(recipe, saved(tmp_path, cyclegan_resnet(blocks=3)))
    record = json.loads((recipe.run_dir / "teacher" / "stage.json").read_text())
    assert record["extra"]["imported"]["from"] == "cyclegan"


def own_recipe(folder: Path, *more: str) -> list[str]:
    generator = Path(__file__).parents[1] / "docs" / "my_generator.py"
    return overrides(folder, f"family={{file: {generator}}}", "teacher.op=dense", *more)


def test_weights_of_a_generator_of_ones_own_are_taken_by_its_names(tmp_path: Path) -> None:
    recipe = load_recipe("edges2shoes", [*own_recipe(tmp_path), "space={widths: [4, 2], ops: "
                                         "[dense, separable]}"])  # fmt: skip
    project = Project(recipe)
    net = project.family.build(project.planned_arch)
    torch.save({"state_dict": {f"module.{n}": t for n, t in net.state_dict().items()}},
               tmp_path / "mine.pth")  # fmt: skip
    said: list[str] = []
    importing.import_teacher(project, tmp_path / "mine.pth", "own", said.append)
    assert said[0].endswith("part state_dict: weights of my_generator.py, 4_4_4")
    for name, tensor in project.teacher_net.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name])
    narrow = Project(load_recipe("edges2shoes", own_recipe(tmp_path / "x", "teacher.width=3")))
    with pytest.raises(CheckpointError, match="tensor 0.weight is .4, 3, 5, 5.; the module's is"):
        importing.import_teacher(narrow, tmp_path / "mine.pth", "own", said.append)
    other = Project(toy(tmp_path / "y"))
    with pytest.raises(RecipeError, match="family is resnet; --from own takes the weights of a"):
        importing.import_teacher(other, tmp_path / "mine.pth", "own", said.append)
