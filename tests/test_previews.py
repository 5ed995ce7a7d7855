"""Previews of a training: when they come, what they say, and that nothing depends on them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from images import save_pairs
from PIL import Image

from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.report.reporting import write_report
from gancompress.stages import pipeline, previews
from gancompress.storage.checkpoint import load_tensors
from gancompress.storage.metricslog import MetricsLog

pytest.importorskip("efficientnet_lite_pytorch")


def recipe_of(data: Path, run: Path, *more: str) -> Recipe:
    sizes = "load_size: 32, crop_size: 32, search_fraction: 0.3, test_fraction: 0.3"
    return load_recipe("edges2shoes", [
        f"data={{name: pairs, folder: {data}, {sizes}}}", "teacher={width: 4, steps: 2}",
        "space={widths: [4, 2]}", "family.blocks=1", "supernet.steps=4", "supernet.init=teacher",
        "task={name: pix2pix, discriminator_width: 4, discriminator_layers: 1}",
        "metrics.features=effnet-lite0", "teacher.batch_size=2", "supernet.batch_size=2",
        "workers=0", "device=cpu", "threads=1", "precision=float32", f"run={run}", *more,
    ])  # fmt: skip


def trained(recipe: Recipe) -> None:
    pipeline.run_stages(Project(recipe), ("teacher", "supernet"), lambda text: None)


def test_they_come_ever_more_seldom_and_at_the_end() -> None:
    assert [n for n in range(1, 901) if previews.is_due(n, 900)] == [50, 100, 200, 400, 800, 900]
    assert [n for n in range(1, 8) if previews.is_due(n, 7)] == [7]


def test_values_tell_lost_colours_and_blur() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 16, 16, generator=random) * 2 - 1
    same = previews.values_beside(images, images)
    assert same == {"l1": 0, "saturation": pytest.approx(1), "sharpness": pytest.approx(1)}
    grey = previews.values_beside(images.mean(1, keepdim=True).expand_as(images), images)
    assert grey["saturation"] == pytest.approx(0, abs=1e-6)
    faint = previews.values_beside(images / 2, images)
    assert faint["saturation"] == pytest.approx(0.5) and faint["sharpness"] == pytest.approx(0.5)
    blurred = torch.nn.functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    assert previews.values_beside(blurred, images)["sharpness"] < 0.5
    assert "saturation" not in previews.values_beside(images[:, :1], images[:, :1])
    flat = torch.zeros(1, 3, 4, 4)
    assert previews.values_beside(flat, flat)["sharpness"] == 0


def test_a_training_leaves_pictures_and_values_and_is_the_same_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(previews, "FIRST", 2)
    save_pairs(tmp_path / "data", 16, 32, 32)
    trained(recipe_of(tmp_path / "data", tmp_path / "run"))
    folder = tmp_path / "run" / "supernet" / "previews"
    assert sorted(path.name for path in folder.iterdir()) == [
        "000002.png", "000004.png", "previews.jsonl",
    ]  # fmt: skip
    with Image.open(folder / "000004.png") as picture:
        assert picture.width > 4 * 192  # input, teacher, largest and smallest
    rows = MetricsLog(folder / "previews.jsonl").rows()
    assert [row["step"] for row in rows] == [2, 4]
    assert set(rows[0]) == {"step", "largest", "smallest"}
    assert set(rows[0]["largest"]) == {"l1", "saturation", "sharpness"}
    assert re.search(r"supernet, step 4: largest l1 [\d.]+, satur", capsys.readouterr().err)
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "What supernet shows" in page and "smallest, sharpness" in page

    monkeypatch.setattr(previews.Previews, "__call__", lambda *_: None)
    trained(recipe_of(tmp_path / "data", tmp_path / "without"))
    ours, theirs = (
        load_tensors(tmp_path / run / "supernet" / "shared_weights.safetensors")[0]
        for run in ("run", "without")
    )
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_batch_norms_of_a_supernet_have_no_preview(tmp_path: Path) -> None:
    save_pairs(tmp_path / "data", 16, 32, 32)
    normed = "family={name: resnet, blocks: 1, norm: batch}"
    trained(recipe_of(tmp_path / "data", tmp_path / "run", normed))
    assert not (tmp_path / "run" / "supernet" / "previews").exists()
