from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from images import noise, save, save_attributes, save_domains, to_bytes
from opening import domain_images
from PIL import Image

from gancompress.data.batches import batch_at
from gancompress.data.dataset import SPLITS, Batch, Split
from gancompress.data.domains import DomainImages
from gancompress.errors import DataError

MOODS = {"angry": 6, "happy": 6, "sad": 6}
NAMES = ("Blond", "Male", "Young")
LABELS = [[i >> 2 & 1, i >> 1 & 1, i & 1] for i in (*range(8), *range(8), 0, 1, 1, 5)] * 2


def _moods(folder: Path, **settings: object) -> DomainImages:
    defaults = {"size": 8, "flip": False, "domains": [*MOODS]}
    return domain_images(folder=folder, **{**defaults, **settings})


def _people(folder: Path, **settings: object) -> DomainImages:
    defaults = {
        "folder": folder / "images", "attribute_file": folder / "list.txt", "attributes": NAMES,
        "size": 8, "flip": False, "search_fraction": 0.3, "test_fraction": 0.3,
    }  # fmt: skip
    return domain_images(layout="attributes", **{**defaults, **settings})


@pytest.fixture
def moods(tmp_path: Path) -> Path:
    for split, first in (("train", 0), ("search", 50), ("test", 100)):
        save_domains(tmp_path / "moods" / split, MOODS, first)
    return tmp_path / "moods"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    save_attributes(tmp_path / "images", tmp_path / "list.txt", NAMES, LABELS)
    return tmp_path


def _numbers(images: torch.Tensor) -> list[int]:
    """Which images they are, by what `coded_image` wrote."""
    return [int(n) for n in to_bytes(images[:, :3])[:, 0, 0, 1]]


def _rows(labels: torch.Tensor) -> list[list[int]]:
    return [[int(flag) for flag in row] for row in labels.reshape(len(labels), -1)]


def _whole(data: DomainImages, split: Split, seed: int | None = None) -> Batch:
    rng = None if seed is None else np.random.default_rng(seed)
    return data.batch(split, range(data.count(split)), rng)


@pytest.mark.parametrize("seed", [None, 0])
def test_input_asks_for_the_label_of_the_target_and_labels_are_the_sources(
    moods: Path, people: Path, seed: int | None
) -> None:
    one_hot = {tuple(row): row.index(1) for row in np.eye(3, dtype=int).tolist()}
    for data in (_moods(moods), _people(people)):
        assert (data.channels, data.paired) == ((6, 3), False)
        for split in SPLITS:
            batch = _whole(data, split, seed)
            count = data.count(split)
            shapes = {key: tuple(value.shape) for key, value in batch.items()}
            wanted = {"input": (6, 8, 8), "labels": (3, 1, 1), "target": (3, 8, 8)}
            assert shapes == {key: (count, *shape) for key, shape in wanted.items()}
            assert all(value.dtype == torch.float32 for value in batch.values())
            channels = batch["input"][:, 3:]
            assert torch.equal(channels, channels[:, :, :1, :1].expand_as(channels))
            own, asked = _rows(batch["labels"]), _rows(channels[:, :, 0, 0])
            assert all(one != other for one, other in zip(own, asked, strict=True))
            sources, targets = _numbers(batch["input"]), _numbers(batch["target"])
            if data.domains == NAMES:
                assert own == [LABELS[number] for number in sources]
                assert asked == [LABELS[number] for number in targets]
            else:
                for labels, images in ((own, batch["input"]), (asked, batch["target"])):
                    domain = to_bytes(images[:, :3])[:, 0, 0, 0].tolist()
                    assert [one_hot[tuple(row)] for row in labels] == domain
            assert set(targets) <= set(sources)  # of the same split


def test_evaluation_is_the_same_whatever_else_is_asked_for(moods: Path) -> None:
    data = _moods(moods)
    whole = _whole(data, "test")
    assert data.count("test") == 18
    for chosen in ([17, 0, 3], [5], [5, 5]):
        part = _moods(moods).batch("test", chosen, None)
        assert all(torch.equal(part[key], whole[key][chosen]) for key in whole)


def test_training_batch_is_a_function_of_step_and_seed(moods: Path) -> None:
    data = _moods(moods, flip=True)
    one, two = (batch_at(data, "train", 3, 4, seed=1) for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    other = batch_at(data, "train", 3, 4, seed=2)
    assert not torch.equal(one["input"], other["input"])


def test_source_and_target_are_mirrored_independently(moods: Path) -> None:
    batch = _moods(moods, flip=True).batch("train", [0] * 200, np.random.default_rng(0))
    rises = [
        to_bytes(images[:, :3])[:, 0, 0, 2] == 0 for images in (batch["input"], batch["target"])
    ]
    both = np.histogram2d(*rises, bins=2)[0]
    assert both.min() > 25  # of 200 in four cases
    still = _moods(moods).batch("train", [0] * 50, np.random.default_rng(0))
    assert (to_bytes(still["input"][:, :3])[:, 0, 0, 2] == 0).all()


def test_split_folders_and_order_of_domains_are_taken_as_they_are(moods: Path) -> None:
    data = _moods(moods)
    assert data.domains == ("angry", "happy", "sad")
    assert [data.count(split) for split in SPLITS] == [18, 18, 18]
    assert sorted(_numbers(_whole(data, "search")["input"])) == list(range(50, 68))
    two = _moods(moods, domains=["sad", "angry"])
    assert (two.domains, two.channels, two.count("train")) == (("sad", "angry"), (5, 3), 12)
    batch = _whole(two, "test")
    own = dict(zip(_numbers(batch["input"]), _rows(batch["labels"]), strict=True))
    assert own[100] == [0, 1] and own[112] == [1, 0]  # angry, sad


def test_flat_folders_are_split_domain_by_domain(tmp_path: Path) -> None:
    save_domains(tmp_path, {"few": 3, "many": 20})
    fractions = {"search_fraction": 0.2, "test_fraction": 0.1}
    data = _moods(tmp_path, domains=["few", "many"], **fractions)
    assert [data.count(split) for split in SPLITS] == [1 + 14, 1 + 4, 1 + 2]
    found = [_numbers(_whole(data, split)["input"]) for split in SPLITS]
    assert sorted(sum(found, [])) == list(range(23))
    again = _moods(tmp_path, domains=["few", "many"], **fractions, split_seed=1)
    assert _numbers(_whole(again, "search")["input"]) != found[1]


@pytest.mark.parametrize(("crop", "box"), [(0, (5, 0, 29, 24)), (10, (12, 7, 22, 17))])
def test_the_middle_square_is_resized(
    tmp_path: Path, crop: int, box: tuple[int, int, int, int]
) -> None:
    for domain in ("a", "b"):
        for number in range(3):
            save(tmp_path / domain / f"{number}.png", noise(24, 34, seed=7))
    got = to_bytes(_whole(_moods(tmp_path, domains=["a", "b"], crop=crop), "test")["target"])[0]
    whole = Image.fromarray(noise(24, 34, seed=7)).crop(box)
    assert np.array_equal(got, np.asarray(whole.resize((8, 8), Image.Resampling.BICUBIC)))
    with pytest.raises(DataError, match=r"\d\.png: is 34x24, smaller than the crop of 25; make"):
        _whole(_moods(tmp_path, domains=["a", "b"], crop=25), "test")


@pytest.mark.parametrize(("cache_mb", "stays"), [(0.011, True), (0.010, False)])
def test_small_sets_are_kept_in_memory_and_large_ones_stream(
    moods: Path, cache_mb: float, stays: bool
) -> None:
    data = _moods(moods, cache_mb=cache_mb)  # 54 images of 8 x 8 x 3 bytes: 10.4 kB
    before = _whole(data, "train")
    shutil.rmtree(moods)
    if not stays:
        with pytest.raises(DataError, match=r"\.png: cannot be read .*No such file"):
            _whole(data, "train")
        return
    after = _whole(data, "train")
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_content_hash_follows_pixels_labels_and_settings(moods: Path, people: Path) -> None:
    before = {split: _moods(moods).content_hash(split) for split in SPLITS}
    save(moods / "test" / "sad" / "115.png", noise(8, 8))
    after = {split: _moods(moods).content_hash(split) for split in SPLITS}
    assert [before[s] == after[s] for s in SPLITS] == [True, True, False]
    for change in ({"crop": 4}, {"size": 12}, {"flip": True}, {"domains": ["sad", "happy"]}):
        assert _moods(moods, **change).content_hash("train") != before["train"]
    own = {split: _people(people).content_hash(split) for split in SPLITS}
    text = (people / "list.txt").read_text()
    (people / "list.txt").write_text(text.replace("000.png  -1", "000.png   1"))
    changed = [_people(people).content_hash(split) != own[split] for split in SPLITS]
    assert sum(changed) == 1


def test_check_finds_the_damaged_file(moods: Path) -> None:
    _moods(moods).check()
    path = moods / "search" / "sad" / "063.png"
    path.write_bytes(path.read_bytes()[:45])
    with pytest.raises(DataError, match=r"sad/063\.png: cannot be read"):
        _moods(moods).check()


@pytest.mark.parametrize(
    ("away", "settings", "message"),
    [
        ("test", {}, r"moods: has train/ search/; train/ and test/ \(or val/\) are needed"),
        (".", {}, r"moods: no such folder; give the folder with the images"),
        ("test/sad", {}, r"moods/test: no folder of the domain 'sad', which every split needs; th"),
        (None, {"domains": ["angry", "hapy"]}, r"'hapy', which every split needs; did you mean"),
    ],
)  # fmt: skip
def test_folders_that_do_not_fit_are_refused(
    moods: Path, away: str | None, settings: dict[str, object], message: str
) -> None:
    if away is not None:
        shutil.rmtree(moods / away)
    with pytest.raises(DataError, match=message):
        _moods(moods, **settings)


def test_domains_with_too_few_images_are_refused(tmp_path: Path) -> None:
    save_domains(tmp_path, {"many": 5, "two": 2})
    with pytest.raises(DataError, match="domain two: the train split is empty, 2 images are left"):
        _moods(tmp_path, domains=["many", "two"])
    shutil.rmtree(tmp_path / "two")
    (tmp_path / "two").mkdir()
    with pytest.raises(DataError, match="two: no images in it; files ending in"):
        _moods(tmp_path, domains=["many", "two"])
    shutil.rmtree(tmp_path / "two")
    with pytest.raises(DataError, match=r"no folder of the domain 'two', which every split"):
        _moods(tmp_path, domains=["many", "two"])


@pytest.mark.parametrize(("flag", "found"), [(1, "all"), (0, "none")])
def test_attribute_without_two_sides_is_refused(tmp_path: Path, flag: int, found: str) -> None:
    labels = [[*row[:2], flag] for row in LABELS]
    save_attributes(tmp_path / "images", tmp_path / "list.txt", NAMES, labels)
    with pytest.raises(DataError, match=rf"list\.txt: {found} of the 40 images have 'Young'; some"):
        _people(tmp_path)


def test_attribute_that_a_split_lacks_is_refused(tmp_path: Path) -> None:
    labels = [[i % 2, i // 2 % 2, int(i == 0)] for i in range(40)]
    save_attributes(tmp_path / "images", tmp_path / "list.txt", NAMES, labels)
    with pytest.raises(DataError, match=r"images: split \w+: none of the \d+ images have 'Young'"):
        _people(tmp_path)


def test_attributes_are_read_in_the_order_asked_for(people: Path) -> None:
    data = _people(people, attributes=["Young", "Blond"])
    assert data.channels == (5, 3)
    batch = _whole(data, "train")
    wanted: npt.NDArray[np.intp] = np.array(LABELS)[_numbers(batch["input"])][:, [2, 0]]
    assert _rows(batch["labels"]) == wanted.tolist()
