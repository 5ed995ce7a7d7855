"""The demo: a picture in, the answers of teacher and files out; the page serves just these."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from images import noise, png_head, save
from test_cli import call

from gancompress.apps import demo, demopage
from gancompress.apps.demo import Demo, DemoGenerator, demo_of, fitted
from gancompress.archs.arch import Arch
from gancompress.errors import ExportError, RunError
from gancompress.export.card import Card, ExportSource, Model
from gancompress.export.facts import Facts
from gancompress.export.formats import FORMATS
from gancompress.export.inputchannels import classes_of, input_channels_of, input_of, pixels_of
from gancompress.export.opening import open_model
from gancompress.nets.families import family_of
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.stages import pipeline


def write_model(folder: Path, channels: int = 3) -> Path:
    family = family_of("resnet", in_channels=channels, blocks=1)
    arch = family.uniform(4)
    torch.manual_seed(0)
    net = family.build(arch).eval()
    card = Card(family.options, channels, 3, (16, 24), 4, facts=Facts(recipe="toy"))
    folder.mkdir(exist_ok=True)
    x = torch.zeros(1, channels, 16, 24)
    return FORMATS["safetensors"].write(ExportSource(net, arch, card, x), folder).path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of pairs at toy size."""
    pytest.importorskip("efficientnet_lite_pytorch")
    folder = tmp_path_factory.mktemp("demo")
    for number in range(18):
        save(folder / "pairs" / f"{number:02}.png", noise(32, 64, seed=number))
    recipe = load_recipe(
        "edges2shoes",
        [
            f"data={{name: pairs, folder: {folder}/pairs, load_size: 32, crop_size: 32, "
            "flip: false, search_fraction: 0.3, test_fraction: 0.3}",
            "task.discriminator_width=4", "family.blocks=1",
            "teacher={width: 4, steps: 2, batch_size: 2}", "space={widths: [4, 2]}",
            "supernet.steps=2", "supernet.batch_size=2", "metrics.features=effnet-lite0",
            "metrics.images=4", "search={reduction: 2, candidates: 2, population: 2, images: 4}",
            "export={formats: [safetensors, pt2], images: 2, latency_repeats: 1}",
            "workers=0", "device=cpu", "precision=float32", f"run={folder}/run",
        ],
    )  # fmt: skip
    project = Project(recipe)
    for stage in pipeline.stages_of(project):
        pipeline.run_stage(project, stage, lambda text: None)
    return folder / "run"


def test_run_answers_as_its_networks_do(run: Path) -> None:
    shown = demo_of(str(run))
    recipe = load_recipe(run / "recipe.yaml")
    teacher, model = Project(recipe).teacher_net, open_model(run / "export" / "model")
    assert list(shown.files) == ["safetensors", "pt2"] and len(shown.examples) >= 4
    picture = shown.examples[1]
    given, answers = shown.answers(picture)
    assert np.array_equal(given, picture)
    x = input_of(picture, shown.channels, (), 0)
    with torch.inference_mode():
        expected = [pixels_of(teacher(x)), pixels_of(model(x))]
    assert [one.title for one in answers] == ["teacher (torch)", "compressed (safetensors)"]
    assert all(np.array_equal(a.picture, e) for a, e in zip(answers, expected, strict=True))
    assert all(one.ms > 0 for one in answers)
    assert answers[0].cost == Project(recipe).cost(Project(recipe).planned_arch)
    assert answers[1].cost == Project(recipe).cost(model.arch)
    _, others = shown.answers(picture, name="pt2")
    assert np.abs(others[1].picture.astype(int) - expected[1]).max() <= 1
    table = demopage.figures(answers)
    fewer = answers[0].cost.macs_true / answers[1].cost.macs_true
    assert f"{fewer:.1f}× fewer MACs" in table and table.count("\n") == 5


def test_run_without_its_data_has_no_examples(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def gone(project: object) -> None:
        raise demo.DataError("pairs: no such folder")

    monkeypatch.setattr(Project, "dataset", property(gone))
    shown = demo_of(str(run), say=said.append)
    assert shown.examples == [] and said == ["no examples: pairs: no such folder"]
    assert len(shown.answers(np.zeros((5, 90, 3), np.uint8))[1]) == 2


def test_model_file_answers_alone(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model")
    picture = noise(16, 24, seed=1)
    for place in (path, path.parent):
        shown = demo_of(str(place))
        _, (only,) = shown.answers(picture)
        x = input_of(picture, shown.channels, (), 0)
        assert np.array_equal(only.picture, pixels_of(open_model(path)(x)))
        assert shown.name == "toy" and only.cost is None
        assert "fewer" not in demopage.figures([only])


@pytest.mark.parametrize(
    ("shape", "is_static", "size"),
    [((16, 24), False, (16, 24)), ((480, 960), False, (12, 24)), ((50, 50), True, (16, 24))],
)
def test_picture_gets_the_trained_size_and_keeps_its_proportions(shape, is_static, size) -> None:
    card = Card({}, 3, 3, (16, 24), 4, is_static)
    assert fitted(noise(*shape, seed=2), card).shape == (*size, 3)


def test_label_picture_keeps_to_its_classes_when_resized() -> None:
    card = Card({}, 3, 3, (16, 24), 4, facts=Facts(classes=("a", "b", "c")))
    colours = input_channels_of(card).colours
    small = fitted(np.repeat(colours[[0, 2, 1, 0]], 50, 0)[None].repeat(100, 0), card)
    assert small.shape == (12, 24, 3)
    assert np.array_equal(np.unique(small.reshape(-1, 3), axis=0), np.unique(colours, axis=0))
    assert classes_of(small, colours)[0, [0, 8, 16, 23]].tolist() == [0, 2, 1, 0]


def test_times_are_the_median_of_the_last_runs_at_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0, 9, *[v for i in range(20) for v in (100 * i, 100 * i + i)]])
    monkeypatch.setattr(demo.time, "perf_counter", lambda: next(clock) / 1.0)
    side = DemoGenerator("x", lambda x: x)
    x = torch.zeros(1, 3, 4, 4)
    told = [side.answer(x).ms / 1e3 for _ in range(7)]  # the run of 9 s is not counted
    assert told == [0, 0.5, 1, 1.5, 2, 3, 4]


@pytest.mark.parametrize(
    "facts", [Facts(domains=("day", "night")), Facts(style_planes="the last 2")]
)
def test_domains_and_seeds_change_what_goes_in(facts: Facts, tmp_path: Path) -> None:
    card = Card({"style": 2}, 5, 3, (16, 24), 4, facts=facts)
    seen: list[torch.Tensor] = []

    def run(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x[:, :3]

    shown = Demo("x", card, {"m": tmp_path})
    shown._opened["m"] = DemoGenerator("m", Model(run, Arch.of("x", {}), card, "m"))
    picture = noise(16, 24, seed=1)
    shown.answers(picture, ["day"], 1)
    shown.answers(picture, ["night"], 2)
    assert torch.equal(seen[0][:, :3], seen[-1][:, :3])
    assert not torch.equal(seen[0][:, 3:], seen[-1][:, 3:])


def test_editor_layers_lie_on_white_or_the_first_class(tmp_path: Path) -> None:
    drawn = np.zeros((4, 4, 4), np.uint8)
    drawn[0, 0] = (10, 20, 30, 255)
    for facts, ground in ((Facts(), [255] * 3), (Facts(classes=("a", "b", "c")), None)):
        shown = Demo("x", Card({}, 3, 3, (16, 24), 4, facts=facts), {"m": tmp_path})
        flat = demopage.flattened({"composite": drawn}, shown)
        assert flat[0, 0].tolist() == [10, 20, 30]
        assert flat[1, 1].tolist() == (ground or shown.channels.colours[0].tolist())
    with pytest.raises(ExportError, match="nothing is drawn"):
        demopage.flattened(None, shown)


def test_missing_gradio_names_the_pip_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    code, said = call("demo", str(write_model(tmp_path / "model")))
    assert code == 2 and "pip install 'gancompress[demo]'" in said


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: f / "nowhere", "nowhere"),
        (lambda f: f, "no model in it"),
        (lambda f: (f / "recipe.yaml").write_text("name: x") and f, "recipe.yaml"),
    ],
    ids=["no such", "empty folder", "no recipe"],
)
def test_bad_targets_are_one_sentence(make, said: str, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    code, out = call("demo", str(make(tmp_path)))
    assert code == 2 and said in out and "Traceback" not in out


def test_run_without_export_says_what_to_give(run: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text((run / "recipe.yaml").read_text())
    with pytest.raises(RunError, match="export is not finished; give `gancompress export"):
        demo_of(str(tmp_path))
    with pytest.raises(RunError, match="changes go with a recipe alone"):
        demo_of(str(write_model(tmp_path / "m")), ["seed=1"])


# Gradio warns in its own threads and leaves event loops open: in a process of its own, as users
# have it, none of this is an error.
SERVED = """
import json, sys, tempfile
import numpy as np
from PIL import Image
from gradio_client import Client, handle_file
from gancompress.apps import demopage
from gancompress.apps.demo import demo_of
target, picture, large, name = sys.argv[1:]
said = []
demo = demo_of(target)
page = demopage.serve(demo, "127.0.0.1", None, said.append, is_blocking=False)
try:
    demopage.serve(demo, "127.0.0.1", page.server_port, said.append, is_blocking=False)
except Exception as error:
    said.append(f"{type(error).__name__}: {error}")
answered = tempfile.mkdtemp()  # the client keeps answers where uploads are, unless told otherwise
client = Client(page.local_url, verbose=False, analytics_enabled=False, download_files=answered)
file = handle_file(picture)
drawn = {"background": file, "layers": [], "composite": file}
table, *pictures = client.predict(drawn, [], 0, name, api_name="/answer")
file = handle_file(large)
try:
    drawn = {"background": file, "layers": [], "composite": file}
    client.predict(drawn, [], 0, name, api_name="/answer")
except Exception as error:
    said.append(str(error))
shown = [one["value"] if isinstance(one, dict) else one for one in pictures]
shown = [one["path"] if isinstance(one, dict) else one for one in shown]
page.close(verbose=False)
print(json.dumps([said, table, [np.asarray(Image.open(one)).tolist() for one in shown]]))
"""


def test_served_page_answers_as_the_function_does(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    shown = demo_of(str(run))
    save(tmp_path / "in.png", shown.examples[0])
    (tmp_path / "large.png").write_bytes(png_head(20_000, 10_000))
    pictures = [str(tmp_path / name) for name in ("in.png", "large.png")]
    command = [sys.executable, "-c", SERVED, str(run), *pictures, "safetensors"]
    (tmp_path / "uploads").mkdir()
    place = {"GRADIO_TEMP_DIR": str(tmp_path / "uploads"), "TMPDIR": str(tmp_path)}
    place = {**os.environ, **place}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=place)
    assert done.returncode == 0, done.stderr
    said, table, pictures = json.loads(done.stdout.splitlines()[-1])
    _, answers = shown.answers(shown.examples[0])
    assert said[0].startswith("open http://127.0.0.1:") and "another --port" in said[1]
    assert said[1].startswith("ExportError: demo: 127.0.0.1:")
    assert said[2] == "the picture: has more than 33,554,432 pixels; give a smaller one"
    left = [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()]
    assert left == []  # what was uploaded is gone at the end
    assert "teacher (torch)" in table and "fewer MACs" in table
    for got, one in zip(pictures, answers, strict=True):
        assert np.array_equal(np.array(got)[..., :3], demopage.enlarged(one.picture))
