"""The error study of M-OctConv, run at toy size on made digits."""

from __future__ import annotations

import gzip
import importlib.util
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "study_moctconv.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study_moctconv", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Bars at the height that their label says: 40 to learn from, 20 to test on."""
    for part, count in (("train", 40), ("t10k", 20)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label : 2 * label + 4] = 255
        packed = gzip.compress(idx(images))
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(packed)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


def test_study_prints_the_table_and_a_conclusion(script, folder, capsys):
    assert script.main([str(folder), "--epochs", "2"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.strip().splitlines()]
    table = {row[0]: row[1:] for row in rows[1:5]}
    assert [row[:2] for row in table.values()] == [["4320", "41630"]] + 3 * [["3888", "41198"]]
    assert [row[4] for row in table.values()] == ["96.75", "96.70", "96.44", "94.19"]
    assert float(table["ordinary"][-1]) == 0
    assert all(float(table[name][-1]) > 0 for name in ("v1", "v2", "v3"))
    assert [row[0] for row in rows[5:]] == ["relative", "order", "gaps"]


def test_study_of_one_seed_is_the_same_twice(script, folder):
    digits = script.read_digits(folder, "train")
    one, other = (script.study(digits, 1, seed=3) for _ in range(2))
    for name, net in one.items():
        assert torch.equal(script.answers(net, digits), script.answers(other[name], digits))


def test_learning_by_paths_leaves_no_gradient_between_convolutions(script, folder):
    net, teacher = script.counted("M-Oct"), script.counted("ordinary")
    images, labels = script.read_digits(folder, "train").batch(torch.arange(4))
    script.by_paths(net, teacher)(images, labels).backward()
    before = [p.grad.clone() for p in net.convs[2].parameters()]
    net.zero_grad()
    with torch.no_grad():
        for p in (*net.convs[1].parameters(), *net.convs[3].parameters()):
            p.add_(1)
    script.by_paths(net, teacher)(images, labels).backward()
    after = [p.grad for p in net.convs[2].parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.grad is None for p in (*teacher.parameters(), *net.head.parameters()))


@pytest.mark.parametrize(
    ("percent", "order", "gaps"),
    [
        ((96.75, 96.70, 96.44, 94.19), "holds", "holds"),
        ((96.75, 96.90, 96.44, 94.19), "holds", "holds"),  # a tie
        ((96.75, 96.70, 94.19, 96.44), "DOES NOT HOLD", "DOES NOT HOLD"),
        ((96.75, 96.70, 94.44, 92.19), "holds", "DOES NOT HOLD"),
    ],
)
def test_conclusion_tells_order_and_gaps(script, percent, order, gaps):
    found = script.conclusion(dict(zip(script.PAPER, percent, strict=True)), 10_000)
    assert [line.split(": ")[1] for line in found.splitlines()] == [order, gaps]


def test_missing_folder_is_one_sentence_and_exit_2(script, tmp_path, capsys):
    assert script.main([str(tmp_path / "none")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "none: holds no train-images-idx3-ubyte[.gz]" in captured.err


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("t10k-labels-idx1-ubyte", np.zeros(3, np.uint8), "t10k images (20, 28, 28), labels (3,)"),
        ("t10k-images-idx3-ubyte", np.zeros((20, 8, 8), np.uint8), "images (20, 8, 8)"),
        ("train-labels-idx1-ubyte", np.full(40, 10, np.uint8), "label 10; only 0 to 9 are"),
    ],
)
def test_files_that_do_not_fit_are_refused(script, folder, capsys, name, array, message):
    (folder / name).write_bytes(idx(array))
    assert script.main([str(folder)]) == 2
    assert message in capsys.readouterr().err


def test_damaged_file_is_refused(script, folder, capsys):
    path = folder / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    assert script.main([str(folder)]) == 2
    assert "39 values for 40 = 40; the file is damaged" in capsys.readouterr().err


def test_epochs_below_1_are_refused(script, folder, capsys):
    with pytest.raises(SystemExit) as caught:
        script.main([str(folder), "--epochs", "0"])
    assert caught.value.code == 2
    assert "--epochs and --threads are 1 at least" in capsys.readouterr().err
