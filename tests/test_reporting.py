"""The report shows what a run holds, whatever of it is there, and needs nothing but itself."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from images import noise, save
from typer.testing import CliRunner

from gancompress.archs.arch import Arch
from gancompress.cli.commands import app
from gancompress.distill.results import FINETUNING
from gancompress.errors import GanCompressError
from gancompress.export.filetable import file_table
from gancompress.export.report import table
from gancompress.export.results import CARD
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.report import reporting
from gancompress.report.frontplot import front_plot
from gancompress.report.words import arch_text
from gancompress.search.results import FRONT, TRIALS
from gancompress.stages import pipeline
from gancompress.storage.checkpoint import file_hash, write_record
from gancompress.storage.metricslog import MetricsLog
from gancompress.storage.stagetimes import times_of

pytest.importorskip("efficientnet_lite_pytorch")

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page as a browser would; `wrong` tells of tags that do not close in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A run of all stages at toy size: two rows, few images first, two generators fine-tuned."""
    folder = tmp_path_factory.mktemp("report")
    for number in range(24):
        half = noise(40, 40, seed=number)
        save(folder / "pairs" / f"{number:02}.png", np.hstack([half, half[..., ::-1]]))
    split = "search_fraction: 0.3, test_fraction: 0.3"
    recipe = load_recipe(
        "edges2shoes",
        [
            f"data={{name: pairs, folder: {folder}/pairs, load_size: 36, crop_size: 32, {split}}}",
            "family.blocks=1", "task.discriminator_width=4", "task.discriminator_layers=1",
            "teacher={width: 4, steps: 6, batch_size: 2}", "supernet.batch_size=2",
            "space={widths: [4, 2], ops: [dense, separable], bands: [[0, 0], [0.5, 0]]}",
            "supernet.steps=6",
            "metrics.features=effnet-lite0", "metrics.images=4",
            "search={reduction: 2, more_reductions: [2.2], candidates: 8, population: 4, "
            "images: 6, first_images: 4, survivors: 0.5}",
            "finetune={steps: 2, batch_size: 2, archs: 3, finalists: 2}",
            "export={formats: [safetensors], images: 2, latency_repeats: 1}",
            "workers=0", "device=cpu", "precision=float32", f"run={folder}/run",
        ],
    )  # fmt: skip
    project = Project(recipe)
    for stage in pipeline.stages_of(project):
        pipeline.run_stage(project, stage, lambda text: None)
    return recipe


@pytest.fixture(scope="module")
def page(done: Recipe) -> Page:
    return Page(reporting.write_report(done.run_dir).read_text(encoding="utf-8"))


def copied(done: Recipe, to: Path) -> Path:
    shutil.copytree(done.run_dir, to)
    return to


def test_a_finished_run_is_shown_without_a_gap(page: Page, done: Recipe) -> None:
    missing = re.findall(r"[A-Z][a-z ]+: gancompress [a-z-]+", page.text)
    assert missing == ["No latency table yet: gancompress latency-table"]  # no stage
    assert page.wrong == [] and page.open == []
    images = [str(attributes["src"]) for tag, attributes in page.tags if tag == "img"]
    trained = list((done.run_dir / "finetune").rglob("previews"))
    assert len(images) == 2 + len(trained)  # the closing picture, and previews
    assert all(image.startswith("data:image/png;base64,") for image in images)


def test_the_page_holds_the_final_table_cell_by_cell(page: Page, done: Recipe) -> None:
    lines = (done.run_dir / "export" / "table.md").read_text().splitlines()
    cells = [cell.strip() for line in lines if line.startswith("|") for cell in line.split("|")]
    wanted = {cell for cell in cells if cell and not set(cell) <= set("-:")}
    words = {" ".join(word.split()) for word in page.words}
    assert len(wanted) > 20 and wanted <= words


def test_the_page_names_every_point_of_the_front(page: Page, done: Recipe) -> None:
    front = FRONT.read(done.run_dir / "search" / "front.json")
    focusable = [a for tag, a in page.tags if tag == "g" and a.get("tabindex") == "0"]
    assert len(focusable) == len(front.points) + len(front.winners)
    for point in front.points:
        assert arch_text(point.arch) in page.text
        assert f"{point.scores[front.objective]:.4g}" in page.text


def test_the_page_shows_how_finalists_ranked(page: Page, done: Recipe) -> None:
    halvings = FINETUNING.read(done.run_dir / "finetune" / "finetune.json").halvings
    assert halvings
    for halving in halvings:
        assert f"Finalists: {halving.row}" in page.text
        for one in halving.rungs[1].ranked:
            assert f"{one.score:.4g}" in page.text and arch_text(one.arch) in page.text


def test_what_the_page_tells_its_script_is_what_was_measured(done: Recipe) -> None:
    search = done.run_dir / "search"
    front, searches = FRONT.read(search / "front.json"), TRIALS.read(search / "trials.json")
    plot = front_plot(front, searches)
    assert plot is not None
    archs = {p.arch for plan in searches for p in plan.full} | {p.arch for p in front.points}
    slots = plot.data["slots"]
    told = {Arch.of(front.points[0].arch.family, dict(zip(slots, values, strict=True)))
            for _, _, values in plot.data["points"]}  # fmt: skip
    assert told <= archs
    assert {p.arch for p in front.points} | {w.arch for w in front.winners} <= told
    assert len(told) == len(archs) or plot.hidden


def test_the_page_needs_nothing_from_elsewhere(done: Recipe, page: Page) -> None:
    text = (done.run_dir / "report.html").read_text(encoding="utf-8")
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object")
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action"):
                assert str(value).startswith(("data:", "#")), (tag, name, value)
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(text) < 3_000_000


def test_equal_runs_give_equal_pages(done: Recipe, tmp_path: Path) -> None:
    first, second = (reporting.write_report(done.run_dir, tmp_path / n) for n in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("kept", [(), ("teacher",), ("teacher", "supernet"),
                                  ("teacher", "supernet", "search")])  # fmt: skip
def test_a_run_that_is_not_finished_says_what_makes_the_rest(
    done: Recipe, tmp_path: Path, kept: tuple[str, ...]
) -> None:
    root = copied(done, tmp_path / "my run")
    stages = ("teacher", "supernet", "search", "finetune", "export")
    for stage in stages:
        if stage not in kept:
            shutil.rmtree(root / stage)
    found = Page(reporting.write_report(root).read_text(encoding="utf-8"))
    assert found.wrong == [] and found.open == []
    commands = dict(zip(stages, ("train-teacher", "train-supernet", "search", "finetune",
                                 "export"), strict=True))  # fmt: skip
    for stage, command in commands.items():
        is_told = f"gancompress {command} '{root}/recipe.yaml' 'run={root}'" in found.text
        can_be_told = stage != "finetune" or "search" in kept
        assert is_told == (stage not in kept and can_be_told), stage


def test_exports_of_other_budgets_are_shown_and_those_set_aside_are_not(
    done: Recipe, tmp_path: Path
) -> None:
    root = copied(done, tmp_path / "run")
    for folder in ("export-half", "export.1", "export-half.1"):
        shutil.copytree(root / "export", root / folder)
    found = Page(reporting.write_report(root).read_text(encoding="utf-8"))
    assert "export-half" in found.words
    assert not {"export.1", "export-half.1"} & set(found.words)


def test_a_table_of_an_earlier_search_is_told_to_be_one(done: Recipe, tmp_path: Path) -> None:
    root = copied(done, tmp_path / "run")
    assert "earlier result" not in Page(reporting.render(reporting.source_of(root))).text
    front, record = root / "search" / "front.json", root / "search" / "stage.json"
    front.write_text(front.read_text() + " ")
    content = json.loads(record.read_text())
    write_record(record, {**content, "sha256": file_hash(front)})
    page = Page(reporting.render(reporting.source_of(root)))
    assert "of an earlier result than the rest of the page: gancompress export" in page.text
    assert page.text.count("done, of other results") == 2  # fine-tuning and export


def test_names_from_files_stay_words(done: Recipe, tmp_path: Path) -> None:
    root = copied(done, tmp_path / "run")
    evil = "</script><script>alert(1)</script>$x_{$"
    for path in (root / "search" / "trials.json", root / "recipe.yaml"):
        path.write_text(path.read_text().replace("compressed", evil).replace("edges2shoes", evil))
    front = json.loads((root / "search" / "front.json").read_text())
    front["winners"][0]["row"] = front["cost"] = evil
    for one in [*front["winners"], *front["points"]]:
        one["costs"][evil] = one["costs"]["macs"]
    (root / "search" / "front.json").write_text(json.dumps(front))
    refresh(root / "search", "front.json")
    text = reporting.write_report(root).read_text(encoding="utf-8")
    assert "<script>alert" not in text and text.count("</script>") == 2
    assert evil in Page(text).text


def refresh(stage: Path, artefact: str) -> None:
    """Makes the record's hashes those of the files as they are now."""
    record = json.loads((stage / "stage.json").read_text())
    files = {name: file_hash(stage / name) for name in record["files"]}
    write_record(
        stage / "stage.json", {**record, "sha256": file_hash(stage / artefact), "files": files}
    )


def test_warnings_of_trainings_are_listed(done: Recipe, page: Page, tmp_path: Path) -> None:
    assert "Warnings" not in page.words
    root = copied(done, tmp_path / "run")
    row = {"since": 11, "is_over": False, "where": "discriminator", "what": "dead", "found": "<it>"}
    for log in (root / "teacher", next((root / "finetune").glob("*/metrics.jsonl")).parent):
        MetricsLog(log / "health.jsonl").write(20, **row)
    found = Page(reporting.write_report(root).read_text(encoding="utf-8"))
    assert "Warnings" in found.words and found.words.count("discriminator dead") == 2
    assert found.wrong == [] and "<it>" in found.words


def test_a_recipe_of_another_version_still_gives_a_report(done: Recipe, tmp_path: Path) -> None:
    root = copied(done, tmp_path / "run")
    path = root / "recipe.yaml"
    path.write_text(path.read_text() + "invented_later: 3\n")
    text = Page(reporting.write_report(root).read_text(encoding="utf-8")).text
    assert "does not read the recipe" in text and "invented_later: 3" in text
    assert "Widths of each stage" in text and "Channels of each stage" not in text


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("search/front.json", "{", "front.json: changed on disk or truncated"),
        ("search/trials.json", "[{}]", "trials.json: changed on disk"),
        ("search/trials.json", "[", "trials.json: changed on disk"),
        ("teacher/stage.json", "[]", "stage.json: changed on disk"),
        ("teacher/model.safetensors", "x", "model.safetensors: changed on disk"),
        ("finetune/finetune.json", "3", "finetune.json: changed on disk"),
        ("export/grid.png", "no picture", "grid.png: changed on disk"),
        ("latency/torch-cpu.json", "{}", "torch-cpu.json: not a latency table"),
        ("recipe.yaml", "a: [", "recipe.yaml: line"),
        ("recipe.yaml", "- 3", "recipe.yaml: not a recipe"),
    ],
)
def test_damaged_files_are_told_in_a_sentence_and_nothing_is_written(
    done: Recipe, tmp_path: Path, file: str, content: str, told: str
) -> None:
    root = copied(done, tmp_path / "run")
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_text(content)
    (root / "report.html").unlink(missing_ok=True)
    result = CliRunner().invoke(app, ["report", str(root)])
    assert result.exit_code == 2, result.output
    assert told in result.output and result.output.count("\n") == 1
    assert not (root / "report.html").exists() and not list(root.glob(".tmp-*"))


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for words, told in (
        ([str(tmp_path)], "not a run, it has no recipe.yaml"),
        (["quickstart", f"run={tmp_path}/none"], "not a run, it has no recipe.yaml"),
        ([str(tmp_path), "seed=1"], "changes go with a recipe alone"),
        (["quickstarted"], 'did you mean "quickstart"'),
    ):
        result = CliRunner().invoke(app, ["report", *words])
        assert result.exit_code == 2 and told in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_names_its_run_and_out_the_place(done: Recipe, tmp_path: Path) -> None:
    recipe, out = done.run_dir / "recipe.yaml", tmp_path / "deep" / "page.html"
    result = CliRunner().invoke(app, ["report", str(recipe), "--out", str(out)])
    assert result.exit_code == 0 and result.output == f"report: {out}\n"
    assert out.read_bytes() == (done.run_dir / "report.html").read_bytes()
    (tmp_path / "file").write_text("")
    with pytest.raises(GanCompressError, match="cannot be written"):
        reporting.write_report(done.run_dir, tmp_path / "file" / "page.html")


def test_rows_of_the_card_make_the_table_of_export(done: Recipe) -> None:
    path = done.run_dir / "export" / "card.json"
    text = (done.run_dir / "export" / "table.md").read_text()
    card = CARD.read(path)
    files = file_table(card.files, card.teacher_latency)
    assert f"{table(card.rows)}\n\n{files}\n" == text
    assert json.loads(path.read_text())["rows"] == json.loads(
        json.dumps([asdict(row) for row in card.rows])
    )


def test_every_stage_of_a_run_notes_its_time_once(done: Recipe) -> None:
    found = times_of(done.run_dir)
    assert {name: t.commands for name, t in found.items()} == dict.fromkeys(
        ("teacher", "supernet", "search", "finetune", "export"), 1
    )
    pipeline.run_stage(Project(done), "teacher", lambda text: None)  # done already: no time
    assert times_of(done.run_dir) == found


def test_the_channels_are_those_of_the_recipes_family(done: Recipe) -> None:
    source = reporting.source_of(done.run_dir)
    assert source.arch == Project(done).planned_arch
    assert source.units["down.1.width"] == 4
