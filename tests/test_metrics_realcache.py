"""Real-side statistics on disk: used when they fit, made again when they do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toymetrics import Toy, ToyFeatures, darken, evaluator

from gancompress.errors import CheckpointError


def test_real_side_is_read_from_the_cache(tmp_path: Path) -> None:
    first = evaluator(Toy(), cache_dir=tmp_path).score(darken)
    net = ToyFeatures()
    assert evaluator(Toy(), net, cache_dir=tmp_path).score(darken) == first
    assert net.seen == 30  # the generator's alone
    assert first == evaluator(Toy()).score(darken)


CHANGES: list[tuple[Callable[[], Toy], int, dict[str, Any]]] = [
    (lambda: Toy(seed=1), 0, {}),
    (Toy, 1, {}),
    (Toy, 0, {"images": 20}),
    (Toy, 0, {"batch_size": 5}),
    (Toy, 0, {"feature_precision": "bf16"}),
]


@pytest.mark.parametrize(("make", "seed", "settings"), CHANGES)
def test_cache_is_not_used_for_anything_else(
    make: Callable[[], Toy], seed: int, settings: dict[str, Any], tmp_path: Path
) -> None:
    evaluator(Toy(), cache_dir=tmp_path).score(darken)
    net = ToyFeatures(seed)
    found = evaluator(make(), net, cache_dir=tmp_path, **settings).score(darken)
    assert net.seen == 2 * found["fd"].n
    assert len(list(tmp_path.iterdir())) == 2
    assert found == evaluator(make(), ToyFeatures(seed), **settings).score(darken)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_truncate, _flip, _empty])
def test_a_damaged_cache_is_made_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    expected = evaluator(Toy(), cache_dir=tmp_path).score(darken)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    damage(path)
    assert path.read_bytes() != content
    assert evaluator(Toy(), cache_dir=tmp_path).score(darken) == expected
    assert path.read_bytes() == content


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError):
        evaluator(Toy(), cache_dir=tmp_path / "file").score(darken)
