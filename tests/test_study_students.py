"""scripts/study_students.py, study_mirrored.py and bench_training.py, on a toy generator."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from broughtfiles import TOY, bring

from gancompress.importers.generators import How
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.stages import pipeline
from gancompress.stages.asked import CompressOptions
from gancompress.stages.compress import compressed_project

SCRIPTS = Path(__file__).parent.parent / "scripts"
sys.path.append(str(SCRIPTS))
study_mirrored = importlib.import_module("study_mirrored")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an imported teacher, and no supernet yet."""
    folder = tmp_path_factory.mktemp("students")
    bring(folder)
    options = CompressOptions(
        f"{folder}/net.py:Generator", folder / "photos", folder / "run",
        how=How(weights=folder / "net.pth"), size=(32, 32), minutes=0.1, value_range="-1,1",
        overrides=TOY,
    )  # fmt: skip
    project = compressed_project(options, lambda text: None, is_dry=False)
    assert project is not None
    pipeline.run_stages(project, ("teacher",), lambda text: None)
    return folder / "run"


def said(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / script), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_variants_are_compared_over_seeds(run: Path) -> None:
    told = said(
        "study_students.py", str(run), "optimiser=adam lr=0.01", "optimiser=muon lr=0.01",
        "--steps", "4", "--seeds", "0", "1", "--set", "threads=1",
    )  # fmt: skip
    first, *lines = told.splitlines()
    assert first.endswith("MACs")
    assert [line.split(":")[0] for line in lines] == [
        "optimiser=adam lr=0.01", "optimiser=muon lr=0.01",
    ]  # fmt: skip
    assert all("l1 " in line and " ± " in line and line.endswith("(seeds: 2)") for line in lines)
    again = said(
        "study_students.py", str(run), "optimiser=adam lr=0.01", "--steps", "4", "--seeds", "0",
        "1", "--set", "threads=1",
    ).splitlines()[1]  # fmt: skip
    assert again.split("processor")[0] == lines[0].split("processor")[0]


def test_the_parts_of_a_step_add_up(run: Path) -> None:
    told = said("bench_training.py", str(run / "recipe.yaml"), f"run={run}", "threads=1")
    lines = told.splitlines()
    shares = [float(line.split()[-1].rstrip("%")) for line in lines[1:-2]]
    assert sum(shares) == pytest.approx(100, abs=len(shares))
    assert [line.split("  ")[0] for line in lines[1:-2]] == [
        "data", "generator, forward", "generator, backward", "generator, optimiser",
    ]  # fmt: skip
    assert "images a second, batch 8, float32, 1 threads" in lines[-2]
    assert "of a product of matrices in float32" in lines[-1]


def test_answers_to_turned_images_are_turned_back(run: Path) -> None:
    images = torch.randn(2, 3, 6, 6)
    for mirrored in (False, True):
        for quarters in range(4):
            there, back = study_mirrored.turned(quarters, mirrored=mirrored)
            assert torch.equal(back(there(images)), images)
            assert torch.equal(there(images), images) != (mirrored or quarters > 0)
    project = Project(load_recipe(f"{run}/recipe.yaml", [f"run={run}"], of_run=True), run)
    title, _, *lines = study_mirrored.study(project, "test")
    assert title.split("|")[2:5] == [" L1 ", " PSNR ", " SSIM "] and len(lines) == 7
    assert all(float(line.split("|")[2]) > 0 for line in lines)  # Its kernels have no symmetry.
