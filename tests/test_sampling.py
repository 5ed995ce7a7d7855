"""`gancompress sample`: images of random vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gancompress.apps.sample import sample
from gancompress.archs.arch import Arch
from gancompress.errors import ExportError
from gancompress.export.card import Card, Model
from gancompress.export.facts import Facts

ARCH = Arch.of("lsgan", {})


def made(z: Tensor) -> Tensor:
    """Gray images of 4x4 whose pixels are the vector's first numbers."""
    return torch.tanh(z[:, :1]).expand(-1, -1, 4, 4).clone()


def model(run: Callable[[Tensor], Tensor] = made) -> Model:
    return Model(run, ARCH, Card({}, 6, 1, (1, 1), 1, True, Facts(latent=6)), "m")


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def pixels(folder: Path, count: int) -> list[np.ndarray]:
    return [np.asarray(Image.open(folder / f"{i:06d}.png")) for i in range(count)]


def test_images_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    said: list[str] = []
    sample(model(), tmp_path / "a", 5, said.append, batch=2)
    sample(model(), tmp_path / "b", 7, said.append, batch=16)
    sample(model(), tmp_path / "c", 5, said.append, seed=1)
    one, other, seeded = (
        pixels(tmp_path / "a", 5),
        pixels(tmp_path / "b", 7),
        pixels(tmp_path / "c", 5),
    )
    assert all(np.array_equal(x, y) for x, y in zip(one, other, strict=False))
    assert len({int(x[0, 0]) for x in other}) == 7
    assert not any(np.array_equal(x, y) for x, y in zip(one, seeded, strict=True))
    assert f"{tmp_path / 'a'}: 5 written" in said
    with Image.open(tmp_path / "b" / "grid.png") as picture:
        assert picture.width > 7 * 192


def test_what_is_there_is_kept_and_the_rest_added(tmp_path: Path) -> None:
    sample(model(), tmp_path, 3, lambda _: None)
    (tmp_path / "000001.png").write_bytes(b"mine")
    said: list[str] = []
    drawn = sample(model(), tmp_path, 4, said.append)
    assert (drawn.written, drawn.present) == (1, 3)
    assert (tmp_path / "000001.png").read_bytes() == b"mine"
    assert said[-1] == f"{tmp_path}: 1 written, 3 there already (--redo makes them anew)"
    sample(model(), tmp_path, 4, said.append, redo=True)
    assert (tmp_path / "000001.png").read_bytes() != b"mine"


def test_a_second_generator_enlarges(tmp_path: Path) -> None:
    up = Model(doubled, ARCH, Card({}, 1, 1, (4, 4), 1), "up")
    sample(model(), tmp_path / "small", 2, lambda _: None)
    sample(model(), tmp_path / "large", 2, lambda _: None, upscale=up)
    for small, large in zip(
        pixels(tmp_path / "small", 2), pixels(tmp_path / "large", 2), strict=True
    ):
        assert np.array_equal(large, small.repeat(2, 0).repeat(2, 1))


def test_generators_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    takes_images = Model(doubled, ARCH, Card({}, 3, 3, (4, 4), 4), "pix.onnx")
    with pytest.raises(ExportError, match=r"pix.onnx: takes images, no random vectors; `gancomp"):
        sample(takes_images, tmp_path, 1)
    with pytest.raises(ExportError, match=r"pix.onnx: takes 3 channels; --upscale needs .* of 1 "):
        sample(model(), tmp_path, 1, upscale=takes_images)
    with pytest.raises(ExportError, match="m: takes random vectors; --upscale needs"):
        sample(model(), tmp_path, 1, upscale=model())
    broken = model(lambda z: made(z) * float("nan"))
    with pytest.raises(ExportError, match="not finite"):
        sample(broken, tmp_path, 1)
    assert not list(tmp_path.iterdir())
