"""`gancompress report`: all that a run's stages left, as one page that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gancompress.durations import duration
from gancompress.errors import RunError
from gancompress.export.results import CARD
from gancompress.recipe.reading import load_recipe
from gancompress.report import sections
from gancompress.report.archplot import arch_plot
from gancompress.report.frontplot import front_plot
from gancompress.report.pictures import picture_uri
from gancompress.report.reportedrun import ReportedRun, source_of
from gancompress.report.trainings import safe, training_part
from gancompress.report.words import arch_text
from gancompress.search.results import FRONT, TRIALS, Front, SearchTrials
from gancompress.storage.checkpoint import remove_dead, write_text
from gancompress.storage.runs import Run
from gancompress.storage.stagedir import StageDir
from gancompress.storage.stagenames import STAGES
from gancompress.storage.stagetimes import times_of
from gancompress.training.precisions import AUTO, recorded_precision


def run_root(given: str, overrides: Sequence[str] = ()) -> Path:
    """The run's folder: `given` itself, or that of the recipe of this name or file.

    Raises: RecipeError, RunError.
    """
    root = _root_of(given, overrides)
    if not (root / "recipe.yaml").is_file():
        raise RunError(
            f"{root}: not a run, it has no recipe.yaml; give the folder of a run, or make one by "
            "`gancompress run …`"
        )
    return root


def _root_of(given: str, overrides: Sequence[str]) -> Path:
    if not Path(given).is_dir():
        return load_recipe(given, overrides).run_dir
    if overrides:
        raise RunError(f"{given}: a folder, and {overrides[0]}; changes go with a recipe alone")
    return Path(given)


def plan(given: str, overrides: Sequence[str] = (), out: Path | None = None) -> str:
    """What `write_report` would do; the run of a recipe need not be there yet.

    Raises: RecipeError, RunError.
    """
    if Path(given).is_dir():
        run_root(given, overrides)  # which must be a run
    root = _root_of(given, overrides)
    place = root / "report.html" if out is None else out
    later = "" if (root / "recipe.yaml").is_file() else f", once {root} holds a run"
    return f"report would be written to {place}{later}"


def write_report(root: Path, out: Path | None = None) -> Path:
    """Writes the page of the run in `root` and returns its place, `root`/report.html or `out`.

    Equal runs give equal pages. Raises: CheckpointError for a damaged file of the run or a place
    that cannot be written; RecipeError.
    """
    page = render(source_of(root))
    remove_dead(root)
    place = root / "report.html" if out is None else out
    write_text(place, page)
    return place


def render(source: ReportedRun) -> str:
    """The page's text."""
    environment = Environment(
        loader=PackageLoader("gancompress.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = {
        **_head(source),
        **_results(source),
        **_search(source),
        **training_part(source),
        **_accounts(source),
    }
    return environment.get_template("page.html.j2").render(page)


def _head(source: ReportedRun) -> dict[str, Any]:
    """What was compressed and how."""
    data, family = source.part("data"), source.part("family")
    search, teacher = source.part("search"), source.arch
    budget = search.get("budget_macs") or f"the teacher's / {search.get('reduction')}"
    facts = {
        "task": source.part("task").get("name"),
        "data": ", ".join(filter(None, (str(data.get("name", "")), sections.size_text(data)))),
        "family": family.get("name"),
        "teacher": None if teacher is None else arch_text(teacher),
        "search": f"{search.get('algorithm')}, {search.get('candidates')} candidates by "
        f"{search.get('objective')}, MACs at most {budget}",
        "device": f"{source.raw.get('device')}, threads {source.raw.get('threads') or 'all'}, "
        f"precision {_precision(source)}",
        "seed": source.raw.get("seed"),
    }
    return {
        "name": str(source.raw.get("name", source.run.root.name)),
        "facts": [(key, str(value)) for key, value in facts.items() if value not in (None, "")],
        "recipe_text": source.text,
        "is_readable": source.recipe is not None,
    }


def _precision(source: ReportedRun) -> str:
    """What the recipe asks for, and what each training found where it asks for the fastest."""
    found = {name: recorded_precision(source.run.stage(name).path) for name in STAGES}
    listed = ", ".join(f"{name} {precision}" for name, precision in found.items() if precision)
    wanted = str(source.raw.get("precision"))
    return f"{wanted} ({listed})" if wanted == AUTO and listed else wanted


def _results(source: ReportedRun) -> dict[str, Any]:
    stage = source.run.stage("export")
    rows = CARD.read(stage.artefact()).rows if stage.is_finished() else ()
    picture = (stage.file("grid.png") if rows else None) or stage.path / "grid.png"
    others = {
        one.path.name: _final_tables(one)
        for one in _variants(source.run, "export")
        if one.is_finished()
    }
    return {
        "tiles": sections.tiles(rows),
        "tables": _final_tables(stage) if rows else [],
        "other_tables": others,
        "is_stale": stage.is_finished() and not stage.is_up_to_date(),
        "picture": Markup(picture_uri(picture)) if rows and picture.is_file() else None,
        "export_command": source.command("export"),
    }


def _final_tables(stage: StageDir) -> list[sections.Table]:
    return sections.final_tables(CARD.read(stage.artefact()))


def _variants(run: Run, name: str) -> list[StageDir]:
    """The folders in which the stage was done in another way, but not those set aside."""
    found = sorted(path.parent.name for path in run.root.glob(f"{name}*/stage.json"))
    return [
        run.stage(name, folder.removeprefix(name))
        for folder in found
        if folder != name and not re.search(r"\.\d+$", folder)
    ]


def _search(source: ReportedRun) -> dict[str, Any]:
    stage = source.run.stage("search")
    front: Front | None = None
    searches: Sequence[SearchTrials] = ()
    if stage.is_finished():
        front = FRONT.read(stage.artefact())
        trials = stage.file("trials.json") or stage.path / "trials.json"
        searches = TRIALS.read(trials) if trials.is_file() else ()
    look = None if front is None else sections.first_look_scatter(front, searches)
    drawn = [] if front is None else sections.progress(front, searches)
    return {
        "front": front,
        "front_plot": None if front is None else front_plot(front, searches),
        "front_table": None if front is None else sections.front_table(front),
        "chosen": [] if front is None else sections.chosen(front, source.arch, source.units),
        "teacher_plot": source.arch and arch_plot(source.arch, None, source.units, "teacher"),
        "progress": safe(drawn),
        "first_look": None if look is None else Markup(look),
        "measured": sum(len(plan.full) for plan in searches),
        "search_command": source.command("search"),
    }


def _accounts(source: ReportedRun) -> dict[str, Any]:
    """What the stages took, and what they were made with."""
    times, lines = times_of(source.run.root), []
    versions: dict[str, list[str]] = {}
    stages = [stage for stage in map(source.run.stage, STAGES) if stage.record_path.exists()]
    for stage in [*stages, *_variants(source.run, "export")]:
        name = stage.path.name
        record, time = stage.record(), times.get(name)
        took = "not noted" if time is None else duration(time.seconds)
        commands = "" if time is None else str(time.commands)
        state = "done" if stage.is_up_to_date() else "done, of other results than the run's now"
        lines.append((name, state if record.finished else "not finished", took, commands))
        if record.versions is not None:
            text = ", ".join(f"{key} {value}" for key, value in record.versions.items())
            versions.setdefault(text, []).append(name)
    return {
        "times": sections.Table(("stage", "state", "time", "commands"), tuple(lines)),
        "versions": [(text, ", ".join(names)) for text, names in versions.items()],
        "latency": sections.latency_tables(source.run.root / "latency"),
        "latency_command": source.command("latency-table"),
    }
