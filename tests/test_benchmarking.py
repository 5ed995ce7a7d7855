"""`gancompress benchmark`: a row for every file and thread count, ratios from its own numbers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from images import save_pairs
from tqdm import tqdm
from typer.testing import CliRunner

from gancompress.archs.arch import Arch
from gancompress.benchmark.benchmark import _groups, _rows, file_bytes
from gancompress.benchmark.roofline import Rates, Work, card_work
from gancompress.benchmark.runs import subjects_of_run
from gancompress.benchmark.table import Benchmark, BenchmarkRow, as_json, table
from gancompress.benchmark.turns import FileTimes, Settings, TimedFile, time_group
from gancompress.cli.commands import app
from gancompress.export.card import Card, ExportSource, read_manifest
from gancompress.export.extract import write_all
from gancompress.export.formats import FORMATS
from gancompress.export.opening import open_model
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe, resolved_yaml
from gancompress.stages import pipeline
from gancompress.stages.exportfiles import card_of
from gancompress.storage.checkpoint import write_text

SIZE = (32, 32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a teacher of two steps, and an untrained narrow generator as its export."""
    folder = tmp_path_factory.mktemp("bench")
    save_pairs(folder / "images", 6, *SIZE)
    recipe = load_recipe(
        "edges2shoes",
        [
            f"data={{name: pairs, folder: {folder}/images, load_size: 32, crop_size: 32}}",
            "family.blocks=1", "teacher={width: 8, steps: 1, batch_size: 1}",
            "task.discriminator_width=4",
            "space={widths: [8, 4]}", "export.formats=[safetensors]", "workers=0",
            "device=cpu", "precision=float32", f"run={folder}/run",
        ],
    )  # fmt: skip
    pipeline.run_stage(Project(recipe), "teacher", lambda text: None)
    write_text(recipe.run_dir / "recipe.yaml", resolved_yaml(recipe))
    family = Project(recipe).family
    arch = family.arch([4] * 6, "separable")
    torch.manual_seed(0)
    net, card = family.build(arch).eval(), card_of(Project(recipe), arch)
    write_all(
        ExportSource(net, arch, card, torch.zeros(1, 3, *SIZE)),
        formats=["safetensors"],
        folder=recipe.run_dir / "export" / "model",
        reference=net,
        inputs=[torch.zeros(1, 3, *SIZE)],
    )
    return recipe.run_dir


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["benchmark", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def told(run: Path) -> dict:
    code, out, _ = call(run, "--threads", "1,2", "--repeats", 4, "--warmup", 1, "--json")
    assert code == 0
    found: dict = json.loads(out)
    return found


def test_there_is_a_row_for_every_file_and_number_of_threads(told, run):
    found = [(row["threads"], row["name"], row["format"]) for row in told["rows"]]
    names = ("teacher", "compressed")
    assert found == [(threads, name, "safetensors") for threads in (1, 2) for name in names]
    assert all(len(row["times_ms"]) == 4 for row in told["rows"])
    assert told["left_out"] == []
    assert json.loads((run / "benchmark.json").read_text()) == told
    assert len((run / "benchmark.md").read_text().split("\n\n")[0].splitlines()) == 2 + 4


def test_ratios_and_percentiles_follow_from_the_times_that_are_told(told):
    p50 = {(row["threads"], row["name"]): np.median(row["times_ms"]) for row in told["rows"]}
    for row in told["rows"]:
        own, teacher = p50[row["threads"], row["name"]], p50[row["threads"], "teacher"]
        assert (row["p50_ms"], row["first_ms"], row["same_format_ms"]) == (own, teacher, teacher)
        assert row["p95_ms"] == np.percentile(row["times_ms"], 95)
        assert row["images_per_s"] == pytest.approx(1000 / own)
        assert row["faster_than_first"] == row["faster_in_same_format"] == teacher / own


def test_each_row_is_compared_with_the_first_file_and_with_its_own_format():
    first = measured("teacher", "safetensors", 90.0)
    others = [measured("teacher", "pt2", 60.0), measured("compressed", "pt2", 6.0)]
    alone = measured("compressed", "onnx", 3.0)
    rows = _rows([first, *others, alone], first.subject, RATES, 1, again=False)
    assert [row.measured for row in rows] == [first, *others, alone]
    assert [row.first_ms for row in rows] == [90.0] * 4
    assert [row.same_ms for row in rows] == [90.0, 60.0, 60.0, None]
    later = _rows([first, alone], first.subject, RATES, 1, again=True)
    assert [row.measured for row in later] == [alone]


def test_memory_files_and_roofline_are_those_of_the_row(told, run):
    weights = run / "export" / "model" / "model.safetensors"
    arch, card = read_manifest(weights.with_name("arch.json").read_text(), "")
    for row in told["rows"]:
        assert 0 < row["imported_bytes"] < row["peak_bytes"] < 4e9
        rates, bound = told["rates"][str(row["threads"])], row["roofline"]
        assert rates["threads"] == row["threads"]
        for kind in ("macs", "bytes"):
            share = row["work"][kind] / row["p50_ms"] * 1e3 / rates[f"{kind}_per_s"]
            assert bound[f"{kind}_share"] == pytest.approx(share)
        shares = max(bound["macs_share"], bound["bytes_share"])
        assert bound["bound_ms"] == pytest.approx(shares * row["p50_ms"])
    own = next(r for r in told["rows"] if (r["name"], r["format"]) == ("compressed", "safetensors"))
    assert own["work"] == vars(card_work(arch, card, SIZE))
    assert own["file"] == weights.name
    assert own["file_bytes"] == sum(
        (weights.parent / f).stat().st_size for f in ("model.safetensors", "arch.json")
    )


def test_a_run_s_files_are_its_teacher_and_its_export(run, tmp_path):
    left_out: list[str] = []
    found = subjects_of_run(run, ["safetensors"], None, tmp_path / "own", left_out)
    assert [one.name for one in found] == ["teacher", "compressed"]
    assert found[1].path == run / "export" / "model" / "model.safetensors"
    recipe = load_recipe(run / "recipe.yaml")
    assert open_model(found[0].path).arch == Project(recipe).teacher_arch
    other = subjects_of_run(run, ["safetensors"], (16, 24), tmp_path / "other", left_out)
    assert all(tmp_path in one.path.parents for one in other)
    assert [open_model(one.path).card.size for one in other] == [(16, 24)] * 2
    x = torch.rand(1, 3, 16, 24)
    assert torch.equal(open_model(other[1].path)(x), open_model(found[1].path)(x))
    assert left_out == []


def test_what_cannot_be_run_is_told_and_the_rest_is_timed(run, tmp_path):
    model = run / "export" / "model"
    broken = tmp_path / "broken.pt2"
    broken.write_bytes(b"no program")
    subjects = [TimedFile("broken", broken), TimedFile("whole", model)]
    with tqdm(total=10, disable=True) as bar:
        found, refused = time_group(subjects, 1, Settings(2, 5, 0), bar)
    assert [(one.subject.name, len(one.times_ms)) for one in found] == [("whole", 5)]
    assert len(refused) == 1 and "broken.pt2: truncated" in refused[0]
    assert found[0].size == SIZE and found[0].format == "safetensors"


def test_a_process_that_ends_is_told_with_its_last_words(run):
    subjects = [TimedFile("whole", run / "export" / "model")]
    with tqdm(total=1, disable=True) as bar:  # too small for what is reflected inside
        found, refused = time_group(subjects, 1, Settings(1, 1, 1, size=(4, 4)), bar)
    assert found == []
    assert "export/model: cannot be run here (RuntimeError: " in refused[0]


def test_groups_hold_the_first_file_and_keep_formats_together():
    names, files = ["teacher", "compressed"], [f"model.{i}" for i in range(7)]
    subjects = [TimedFile(name, Path(name, file)) for name in names for file in files]
    groups = _groups(subjects)
    assert [[one.path.name[-1] for one in group] for group in groups] == [
        list("011223344"),
        list("055660"),
    ]
    assert all(group[0] is subjects[0] for group in groups)
    assert groups[1][-1].name == "compressed"
    many = [TimedFile(str(i), Path(str(i), "model.onnx")) for i in range(20)]
    assert [len(group) for group in _groups(many)] == [9, 9, 4]
    assert _groups(subjects[:1]) == [[subjects[0]]]


RATES = Rates(1, 100e9, "torch.mm 512", 40e9, 2**28)


def measured(name: str, format: str, ms: float) -> FileTimes:
    """Three calls in `ms`, `ms` and twice that."""
    return FileTimes(
        subject=TimedFile(name, Path(f"{name}.bin")),
        format=format,
        threads=1,
        arch=Arch("lost", ()),
        card=Card({}, 3, 3, SIZE, 4),
        size=SIZE,
        times_ms=(ms, ms, 2 * ms),
        imported_bytes=100_000_000,
        peak_bytes=150_000_000,
    )


def test_table_tells_all_figures_and_a_dash_for_what_is_not_known():
    first = measured("teacher", "safetensors", 100.0)
    work = Work(10**9, 10**8)
    rows = (
        BenchmarkRow(first, 2_345_678, 100.0, 100.0, work, RATES),
        BenchmarkRow(measured("small|er", "onnx", 4.0), 9, 100.0, None, None, RATES),
    )
    found = Benchmark(rows, "a processor", Settings(2, 3, 1), ("x.pte: too old",))
    lines = table(found).splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines[:4]]
    assert len({len(line) for line in lines[:4]}) == 1
    first, other = (dict(zip(cells[0], line, strict=True)) for line in cells[2:])
    assert first["than teacher in torch"] == "1.00x" and other["than teacher in torch"] == "25.0x"
    assert (first["p50 ms"], first["p95 ms"], first["images/s"]) == ("100", "190", "20")
    assert (first["peak MB"], first["of it the model"], first["file"]) == ("150", "50", "2.346 MB")
    assert (first["GMACs/s"], first["GB/s"], first["bound ms"]) == ("10.0", "1.0", "10.0")
    assert other["generator"] == "small/er"
    assert [other[key] for key in ("GMACs/s", "GB/s", "bound ms", "than teacher in same")] == [
        "-"
    ] * 4
    notes = "\n".join(lines[5:])
    for text in ("2 images of 32x32", "of 3 calls, after 1 to warm up", "left out: x.pte: too old"):
        assert text in notes
    assert as_json(found)["rows"][1]["roofline"] is None


def test_file_bytes_count_all_files_of_a_format(tmp_path):
    for i, name in enumerate(FORMATS["safetensors"].files, 1):
        (tmp_path / name).write_bytes(bytes(i * 10))
    assert file_bytes(tmp_path / "model.safetensors", "safetensors") == 30
    for name, size in (("mine.pt2", 7), ("mine.pte", 5), ("mine.pte.json", 6), ("mine.bin", 1)):
        (tmp_path / name).write_bytes(bytes(size))
    assert file_bytes(tmp_path / "mine.pt2", "pt2") == 7
    assert file_bytes(tmp_path / "mine.pte", "executorch") == 5 + 6


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["empty"], "empty: no model in it"),
        (["RUN", "--threads", "0"], "--threads 0: not counts of threads"),
        (["RUN", "--size", "x"], "--size x: not a size"),
        (["RUN", "--formats", "onxx"], "'onxx' is unknown; one of safetensors"),
        (["quickstart"], "runs/quickstart: not a run"),
        (["notes.txt"], "notes.txt: not a model file"),
        (["unfinished"], "unfinished: no model.safetensors in export/model"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, sentence, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("notes.txt").touch()
    Path("unfinished").mkdir()
    shutil.copy(run / "recipe.yaml", "unfinished")
    code, out, errors = call(*(str(run) if a == "RUN" else a for a in arguments))
    assert code == 2 and sentence in errors and errors.count("\n") == 1 and out == ""
