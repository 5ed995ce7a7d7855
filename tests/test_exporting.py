"""The last stage for images with labels: table, picture and cards say what such a user needs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from images import noise, save
from PIL import Image

from gancompress.export.card import ExportSource
from gancompress.export.extract import Exported, write_format
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.stages import export as exporting
from gancompress.stages import exportfiles, pipeline

pytest.importorskip("efficientnet_lite_pytorch")


def toy(folder: Path) -> Recipe:
    """Twelve noise images for each of three moods, and the smallest StarGAN."""
    for number in range(36):
        mood = ("angry", "happy", "sad")[number // 12]
        save(folder / "images" / mood / f"{number:02}.png", noise(36, 40, seed=number))
    return load_recipe(
        "edges2shoes",
        [
            f"data={{name: domains, folder: {folder}/images, domains: [sad, angry, happy], "
            "size: 32, flip: false, search_fraction: 0.3, test_fraction: 0.3}",
            "task={name: stargan, discriminator_width: 4, discriminator_layers: 5}",
            "family.blocks=1",
            "teacher={width: 4, steps: 2, batch_size: 2}", "space={widths: [4, 2]}",
            "supernet.steps=2", "supernet.batch_size=2", "metrics.features=effnet-lite0",
            "metrics.images=4", "search={reduction: 2, candidates: 2, population: 2, images: 4}",
            "export={formats: [safetensors], images: 2, latency_repeats: 1}",
            "workers=0", "device=cpu", "precision=float32", f"run={folder}/run",
        ],
    )  # fmt: skip


def test_unpaired_domains_go_all_the_way_and_the_card_names_the_channels(tmp_path: Path) -> None:
    recipe, said = toy(tmp_path), list[str]()
    project = Project(recipe)
    for stage in pipeline.stages_of(project):
        pipeline.run_stage(project, stage, said.append)
    assert any("differs by at most 0 computed in float32, " in text for text in said)
    export = tmp_path / "run" / "export"
    title = (export / "table.md").read_text().splitlines()[0]
    assert "FD-EffNetLite0" in title and "L1" not in title
    front = json.loads((tmp_path / "run" / "search" / "front.json").read_text())
    assert {name for point in front["points"] for name in point["scores"]} == {"fd", "kid"}
    manifest = json.loads((export / "model" / "arch.json").read_text())
    assert manifest["input"]["channels"] == 6
    for facts in (manifest["facts"], json.loads((export / "card.json").read_text())):
        assert facts["domains"] == ["sad", "angry", "happy"]
        assert "channel 3 + i is 1 throughout where domains[i]" in facts["label_planes"]
    card = (export / "README.md").read_text()
    assert "\nChannels: input channels 0 to 2 are the image; channel 3 + i is 1" in card
    page = np.asarray(Image.open(export / "grid.png"))
    tile = page[48 : 48 + 192 : 6, 16 : 16 + 192 : 6]  # the first input, enlarged six times
    wanted = [
        Image.fromarray(noise(36, 40, seed=seed)[:, 2:38]).resize(
            (32, 32), Image.Resampling.BICUBIC
        )
        for seed in range(36)
    ]
    assert any(np.array_equal(tile, np.asarray(image)) for image in wanted)


def test_generators_of_one_arch_are_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[int] = []
    real = exporting.paired_latency

    def counted(runs, repeats):
        timed.append(len(runs))
        return real(runs, repeats)

    monkeypatch.setattr(exporting, "paired_latency", counted)
    project = Project(
        load_recipe("maps", ["data.size=32", "family.blocks=1", "device=cpu", "run=unused"])
    )
    wide, narrow = project.family.uniform(4), project.family.uniform(2)
    nets = {
        name: (project.family.build(arch).eval(), arch)
        for name, arch in {"teacher": wide, "after": narrow, "before": narrow}.items()
    }
    found = exporting.measure(project, nets, torch.zeros(1, 3, 32, 32))
    assert timed == [2] and list(found) == ["teacher", "after", "before"]
    assert found["before"] == found["after"] != found["teacher"]


def test_files_are_timed_on_as_many_threads_as_the_table_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runtime's session keeps the number of threads that it was opened with."""
    runtime = pytest.importorskip("onnxruntime")
    project = Project(
        load_recipe("maps", ["data.size=32", "family.blocks=1", "device=cpu", "run=unused"])
    )
    arch, example = project.family.uniform(2), torch.zeros(1, 3, 32, 32)
    net = project.family.build(arch).eval()
    source = ExportSource(net, arch, exportfiles.card_of(project, arch), example)
    path = write_format(source, "onnx", tmp_path).path
    opened: list[int] = []
    real_session, real_times = runtime.InferenceSession, exportfiles.paired_latency

    def session(model, options, **settings):
        opened.append(options.intra_op_num_threads)
        return real_session(model, options, **settings)

    def timed(runs, repeats, *, is_warm):
        assert opened[-1] == torch.get_num_threads() == project.recipe.export.latency_threads == 1
        return real_times(runs, repeats, is_warm=is_warm)

    monkeypatch.setattr(runtime, "InferenceSession", session)
    monkeypatch.setattr(exportfiles, "paired_latency", timed)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        one = Exported("onnx", path, path.stat().st_size, 0.0)
        (row,), _ = exportfiles.file_rows(project, [one], net, None, ())  # type: ignore[arg-type]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert row.latency is not None and row.latency.threads == 1
