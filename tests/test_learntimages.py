"""How much better a generator does on what it learnt from: by hand, and only where that tells."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from toyrecipes import of_pairs, save_toy_pairs

from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.stages.learntimages import LearntImages, apart


def project(folder: Path, objective: str) -> Project:
    data = of_pairs(save_toy_pairs(folder / "pairs"))
    given = [*data, "device=cpu", f"search.objective={objective}", f"run={folder / 'run'}"]
    return Project(load_recipe("edges2shoes", [*given, "metrics.features=effnet-lite0"]))


def test_it_is_the_mean_over_training_images_as_they_are(tmp_path: Path) -> None:
    toy = project(tmp_path, "psnr")
    found = LearntImages(toy, 3).score(nn.Identity())
    count = toy.dataset.count("train")
    batch = toy.dataset.batch("train", [0, count // 3, 2 * count // 3], None)
    errors = (batch["input"] - batch["target"]).square().mean((1, 2, 3))
    assert found == {"psnr": pytest.approx(float((10 * torch.log10(4 / errors)).mean()), abs=1e-4)}


def test_a_wide_gap_is_told(tmp_path: Path) -> None:
    learnt = LearntImages(project(tmp_path, "psnr"), 3)
    assert learnt.told({"psnr": 26.0}, 25.5) == "; 26 on images that it learnt from"
    assert learnt.told({"psnr": 29.81}, 25.38) == (
        "; 29.81 on images that it learnt from: more training images would help most"
    )


def test_distances_between_sets_do_not_tell(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    learnt = LearntImages(project(tmp_path, "fd"), 3)
    assert learnt.score(nn.Identity()) == {} and learnt.told({}, 3.0) == ""


def test_errors_apart_by_hand() -> None:
    assert apart("psnr", 20.0, 26.0206) == pytest.approx(2.0, abs=1e-4)
    assert apart("ssim", 0.8, 0.9) == pytest.approx(2.0)
    assert apart("l1", 0.12, 0.1) == pytest.approx(1.2)
    assert apart("lpips", 0.1, 0.0) == 1.0
