"""The comparison of discriminators, run at toy size on made digits."""

from __future__ import annotations

import gzip
import importlib.util
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from gancompress.supernet.cost import Cost

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "study_discriminators.py"
TOY = ["--steps", "3", "--images", "8", "--jobs", "1"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.append(str(SCRIPT.parent))  # where its pictures' module lies
    spec = importlib.util.spec_from_file_location("study_discriminators", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, count in (("train", 40), ("t10k", 20)):
        images = np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)
        head = bytes([0, 0, 8, 3]) + struct.pack(">3I", *images.shape)
        path = tmp_path / f"{part}-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(head + images.tobytes()))
    return tmp_path


def outcome(script, losses=(3.0, 9.0), gap=0.5, spread=1.0):
    images = spread * np.random.default_rng(0).standard_normal((8, 1, 28, 28), np.float32)
    steps = np.tile(np.float64(losses), (20, 1))
    steps[:18] = 5.0  # all but the last tenth
    return script.Outcome("plain", Cost(), 1.0, steps, np.full(20, gap), images)


def test_study_prints_rows_the_cross_and_draws(script, folder, capsys, monkeypatch):
    monkeypatch.setattr(script, "judge", lambda real: lambda images: 7.0)
    out = folder / "out"
    names = ["inception-8", "separable-inception", "separable-inception+none"]
    assert script.main([str(folder), "--out", str(out), *TOY, "--only", *names]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == names
    assert [line.split()[1] for line in lines[1:4]] == ["13857", "202193", "202193"]
    assert [line.split()[3] for line in lines[1:4]] == ["136576", "2019136", "1529536"]
    assert all(line.split()[8] == "7.0" for line in lines[1:4])
    assert lines[-2].split()[:3] == ["ordinary", "not", "run"]
    assert lines[-1].startswith("depthwise") and "not run" not in lines[-1]
    for name in ("losses", "samples"):
        with Image.open(out / f"{name}.png") as picture:
            assert min(picture.size) > 100


def test_a_run_is_the_same_twice_and_all_runs_see_the_same(script, folder):
    one, two = (script.train("inception-8", folder, 3, 1, 4) for _ in range(2))
    np.testing.assert_array_equal(one.losses, two.losses)
    np.testing.assert_array_equal(one.images, two.images)
    assert one.images.shape == (4, 1, 28, 28) and np.abs(one.images).max() <= 1
    assert (script.train("inception-8", folder, 3, 2, 4).losses != one.losses).any()


def test_the_guard_names_a_discriminator_that_calls_all_images_real(script, capsys):
    watch = script.Watch("toy", torch.randn(4, 64))
    generator, real = script.Generator(), torch.rand(4, 1, 28, 28)
    for step in range(1, 31):
        wobble = torch.arange(4.0)[:, None] / 100
        loud = torch.full((4, 1), 20.0 if step > 5 else 0.5) + wobble
        watch.see(step, (loud, loud - int(step <= 5)), generator, real)
    assert watch.named() == ("saturated from 6, at 15",)
    assert capsys.readouterr().err.startswith("toy: discriminator saturated since step 6 (")


def test_signatures_are_the_losses_of_32_images_all_judged_alike(script):
    ones = torch.ones(32, 1)
    found = {}
    for real, made, name in (
        (1.0, 1.0, "all real"),
        (0.5, 0.5, "at chance"),
        (0.0, 0.0, "all made"),
        (1.0, 0.0, "discriminator won"),
    ):
        losses = (
            script.discriminator_loss(real * ones, made * ones),
            script.generator_loss(made * ones),
        )
        found[tuple(float(loss) for loss in losses)] = name
    assert found == script.SIGNATURES


@pytest.mark.parametrize(
    ("losses", "gap", "spread", "told"),
    [
        ((16.0, 0.1), 0.0, 1.0, "collapsed (16, 0): all real"),
        ((7.9, 4.1), 0.3, 1.0, "collapsed (8, 4): at chance"),
        ((15.9, 16.0), 0.0, 1.0, "collapsed (16, 16): all made"),
        ((0.0, 16.0), 1.0, 1.0, "collapsed (0, 16): discriminator won"),
        ((3.0, 9.0), 1e-4, 1.0, "collapsed: at chance"),
        ((3.0, 9.0), 0.5, 0.01, "collapsed: one image"),
        ((3.0, 9.0), 0.5, 1.0, "healthy"),
    ],
)
def test_conclusion_reads_the_last_tenth(script, losses, gap, spread, told):
    assert script.conclusion(outcome(script, losses, gap, spread), real_distance=1.4) == told


def test_distance_is_the_mean_over_all_pairs(script):
    images = torch.randn(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    pairs = [(a - b).square().mean().sqrt() for i, a in enumerate(images) for b in images[:i]]
    assert script.distance(images) == pytest.approx(float(torch.stack(pairs).mean()), rel=1e-5)


def test_cross_takes_the_published_ones_where_they_are_so_already(script):
    table = script.cross({"inception-32": "a", "separable-inception": "d"})
    assert [line.split() for line in table.splitlines()[1:]] == [
        ["ordinary", "a", "not", "run"],
        ["depthwise", "not", "run", "d"],
    ]


def test_two_runs_at_a_time_end_in_order(folder):
    names = ["inception-8", "inception-2"]
    command = [sys.executable, str(SCRIPT), str(folder), "--out", str(folder / "out"), *TOY[:4]]
    ended = subprocess.run(
        [*command, "--jobs", "2", "--only", *names], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert [line.split()[0] for line in ended.stdout.splitlines()[1:3]] == names


def test_what_cannot_be_run_is_one_sentence_and_exit_2(script, folder, tmp_path, capsys):
    assert script.main([str(tmp_path / "none")]) == 2
    assert "none: no such file" in capsys.readouterr().err
    assert script.main([str(folder), "--only", "plane"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("discriminator plane: unknown; one of")
    with pytest.raises(SystemExit):
        script.main([str(folder), "--steps", "0"])
    assert "--steps and --jobs are 1 at least" in capsys.readouterr().err
