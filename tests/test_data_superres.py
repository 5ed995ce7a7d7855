"""Small images and the large ones that they were made of: sizes, filters, splits, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from images import noise, save, save_coded_worlds, to_bytes
from opening import superres_folder, superres_maps
from PIL import Image
from pydantic import ValidationError

from gancompress.data.dataset import SPLITS
from gancompress.data.images import to_tensor
from gancompress.data.superres import FILTERS, shrunk
from gancompress.errors import DataError
from gancompress.nets.bicubic import Bicubic


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    save_coded_worlds(folder, 1200)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten images of different sizes."""
    for i in range(10):
        save(tmp_path / "photos" / f"{i}.png", noise(40 + i, 52 - i, seed=i))
    return tmp_path / "photos"


def by_hand(image: np.ndarray, scale: int, filter: str) -> np.ndarray:
    """The mean or the nearest of each square of pixels, for the filters that are just that."""
    height, width = image.shape[:2]
    squares = image.reshape(height // scale, scale, width // scale, scale, 3)
    if filter == "nearest":
        return squares[:, scale // 2, :, scale // 2]
    return np.floor(squares.mean((1, 3)) + 0.5).astype(np.uint8)


@pytest.mark.parametrize("filter", ["nearest", "box"])
@pytest.mark.parametrize("scale", [2, 4])
def test_simple_filters_equal_their_definition(scale: int, filter: str) -> None:
    image = noise(24, 32)
    found, wanted = (f(image, scale, filter).astype(int) for f in (shrunk, by_hand))
    # Pillow filters columns and rows one after the other, and rounds in between.
    assert np.abs(found - wanted).max() <= (filter == "box")


def test_the_six_filters_are_pillows_and_differ() -> None:
    image = noise(32, 32)
    small = {name: shrunk(image, 4, name) for name in FILTERS}
    for name, found in small.items():
        wanted = Image.fromarray(image).resize((8, 8), getattr(Image.Resampling, name.upper()))
        assert np.array_equal(found, np.asarray(wanted))
    assert len(small) == 6 == len({found.tobytes() for found in small.values()})


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("filter", FILTERS)
def test_inputs_are_the_targets_made_small(photos: Path, scale: int, filter: str) -> None:
    data = superres_folder(folder=photos, crop_size=32, scale=scale, filter=filter)
    for rng in (None, np.random.default_rng(0)):
        batch = data.batch("train", [0, 3], rng)
        assert batch["target"].shape == (2, 3, 32, 32)
        assert batch["input"].shape == (2, 3, 32 // scale, 32 // scale)
        for small, large in zip(batch["input"], to_bytes(batch["target"]), strict=True):
            assert torch.equal(small, to_tensor(shrunk(large, scale, filter)[None])[0])


def test_judged_images_are_middles_of_another_size(photos: Path) -> None:
    data = superres_folder(folder=photos, crop_size=16, test_size=36)
    path = data._pairs["test"][0][0]
    whole = np.asarray(Image.open(path))
    top, left = (whole.shape[0] - 36) // 2, (whole.shape[1] - 36) // 2
    found = to_bytes(data.batch("test", [0], None)["target"])[0]
    assert np.array_equal(found, whole[top : top + 36, left : left + 36])
    assert data.batch("train", [0], np.random.default_rng(0))["target"].shape[-1] == 16


def test_training_crops_are_pieces_of_the_image_mirrored_half_of_the_time(photos: Path) -> None:
    data, rng = superres_folder(folder=photos, crop_size=16), np.random.default_rng(1)
    whole = np.asarray(Image.open(data._pairs["train"][0][0]))
    pieces = {
        whole[y : y + 16, x : x + 16][:, ::step].tobytes(): step
        for y in range(whole.shape[0] - 15)
        for x in range(whole.shape[1] - 15)
        for step in (1, -1)
    }
    crops = to_bytes(data.batch("train", [0] * 60, rng)["target"])
    steps = [pieces[crop.tobytes()] for crop in crops]
    assert 15 < steps.count(-1) < 45 and len({crop.tobytes() for crop in crops}) > 50
    still = superres_folder(folder=photos, crop_size=16, flip=False)
    crops = to_bytes(still.batch("train", [0] * 20, rng)["target"])
    assert {pieces[crop.tobytes()] for crop in crops} == {1}


def test_load_size_is_the_shorter_side_and_keeps_proportions(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.png", noise(20, 30, seed=i))
    data = superres_folder(folder=tmp_path, crop_size=40, load_size=40)
    image = data._image(data._pairs["train"][0][0])
    assert image.shape == (40, 60, 3)
    assert data.batch("train", [0], None)["target"].shape[-2:] == (40, 40)


def test_images_are_kept_up_to_the_limit_and_the_same_without(photos: Path) -> None:
    kept = superres_folder(folder=photos, crop_size=16)
    few = superres_folder(folder=photos, crop_size=16, cache_mb=0.02)  # three of them
    for data in (kept, few):
        data.check()
        data.batch("train", range(data.count("train")), None)
    assert len(kept._files._kept) == kept.count("train") and 0 < len(few._files._kept) < 4
    a, b = (d.batch("train", [0, 5], np.random.default_rng(3)) for d in (kept, few))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_splits_are_apart_and_hashes_know_every_setting(photos: Path) -> None:
    data = superres_folder(folder=photos, crop_size=16)
    files = [path for split in SPLITS for (path,) in data._pairs[split]]
    assert sorted(files) == sorted(photos.iterdir()) and len(files) == 10
    assert [data.count(split) for split in SPLITS] == [8, 1, 1]
    settings = ({"scale": 2}, {"filter": "box"}, {"crop_size": 20}, {"test_size": 32},
                {"load_size": 48}, {"flip": False})  # fmt: skip
    hashes = {data.content_hash("test")}
    for more in settings:
        other = superres_folder(**({"folder": photos, "crop_size": 16} | more))
        hashes.add(other.content_hash("test"))
    assert len(hashes) == 1 + len(settings)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"crop_size": 30}, "crop_size: found 30; multiples of the scale, 4, are allowed"),
        ({"test_size": 34}, "test_size: found 34; multiples of the scale, 4, are allowed"),
        ({"crop_size": 44}, r"0.png: is 52x40; at least the crop, 44x44, is needed; take it away"),
        ({"load_size": 8}, "load_size: found 8; at least 16, the crop, or 0"),
    ],
)
def test_what_cannot_be_is_refused_at_once(photos: Path, more: dict, text: str) -> None:
    with pytest.raises((DataError, ValidationError), match=text):
        superres_folder(**({"folder": photos, "crop_size": 16} | more))


def test_damaged_and_small_arrays_are_refused_by_name(photos: Path) -> None:
    np.save(photos / "a.npy", noise(8, 60))
    with pytest.raises(DataError, match=r"a.npy: is 60x8; at least the crop, 16x16"):
        superres_folder(folder=photos, crop_size=16).check()
    (photos / "a.npy").unlink()
    (photos / "b.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"b.png: not an image"):
        superres_folder(folder=photos, crop_size=16).check()


def test_maps_are_the_photograph_and_itself_made_small(worlds: Path) -> None:
    data = superres_maps(size=32, scale=4, filter="box", min_land=0, folder=worlds)
    for split in SPLITS:
        batch = data.batch(split, [0, 1], np.random.default_rng(0))
        assert batch["input"].shape == (2, 3, 8, 8) and batch["target"].shape == (2, 3, 32, 32)
        for small, large in zip(to_bytes(batch["input"]), to_bytes(batch["target"]), strict=True):
            assert np.array_equal(small, shrunk(large, 4, "box"))
            assert (large[..., 0] >> 6 == 2).all()  # of bmng, the third map
    other = superres_maps(size=32, scale=2, filter="box", min_land=0, folder=worlds)
    assert other.content_hash("test") != data.content_hash("test")
    assert torch.equal(data.shown(batch["input"]), batch["input"])


def test_bicubic_enlarging_is_pillows() -> None:
    image = noise(12, 16) // 2 + 64  # Pillow cuts off between its passes what leaves 0 to 255
    found = to_bytes(Bicubic(4)(to_tensor(image[None])))[0].astype(int)
    wanted = np.asarray(Image.fromarray(image).resize((64, 48), Image.Resampling.BICUBIC))
    assert np.abs(found - wanted).max() <= 1  # and rounds there


def test_a_user_s_own_small_images_are_cut_where_the_large_ones_are(tmp_path: Path) -> None:
    for i in range(8):
        small = noise(20 + i, 31 - i, seed=i)
        save(tmp_path / "small" / f"{i}.png", small)
        save(tmp_path / "large" / f"{i}.png", small.repeat(2, 0).repeat(2, 1))
    folders = {"folder": tmp_path / "large", "small_folder": tmp_path / "small"}
    data = superres_folder(**folders, crop_size=16, test_size=20, scale=2)
    data.check()
    assert len(data.origin.files) == 16
    for step in range(12):
        batch = data.batch("train", range(4), np.random.default_rng(step) if step else None)
        side = 16 if step else 20
        assert batch["target"].shape == (4, 3, side, side)
        assert torch.equal(batch["input"], batch["target"][..., ::2, ::2])
        assert torch.equal(batch["input"], batch["target"][..., 1::2, 1::2])
    save(tmp_path / "small" / "3.png", noise(23, 27))
    with pytest.raises(DataError, match=r"small/3\.png: is 27x23 and its partner .*large/3"):
        superres_folder(**folders, crop_size=16, scale=2).check()
    with pytest.raises(ValidationError, match="load_size: found 64; with small_folder, 0 is all"):
        superres_folder(**folders, crop_size=16, scale=2, load_size=64)
