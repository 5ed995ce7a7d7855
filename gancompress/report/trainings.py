"""The report's part on trainings: curves, previews, warnings, what fine-tuning changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from gancompress.distill.results import FINETUNING
from gancompress.report import sections
from gancompress.report.pictures import MOST_PREVIEW_BYTES, picture_uri
from gancompress.report.reportedrun import ReportedRun
from gancompress.storage.metricslog import MetricsLog
from gancompress.storage.stagenames import PREVIEWS, PREVIEWS_LOG, STAGES
from gancompress.teachers.files import NONE


def training_part(source: ReportedRun) -> dict[str, Any]:
    """Curves by stage, or the command that makes what they show."""
    found, missing = [], []
    trained = ("supernet",) if _is_absent(source) else ("teacher", "supernet")
    for name in trained:
        stage = source.run.stage(name)
        drawn = sections.curves_of({name: stage.metrics.path}, name)
        if drawn:
            note = "" if stage.is_finished() else f"not finished: {source.command(STAGES[name])}"
            found.append((name, safe(drawn), note))
        elif not stage.is_finished():
            missing.append((f"No {name} yet", source.command(STAGES[name])))
    tuned = source.run.stage("finetune")
    paths = sorted(tuned.path.rglob("metrics.jsonl"))
    logs = {path.parent.relative_to(tuned.path).as_posix(): path for path in paths}
    drawn = sections.curves_of(logs, "finetune")
    if drawn:
        found.append(("fine-tuning", safe(drawn), ""))
    folders = {name: source.run.stage(name).path for name in trained}
    folders |= {f"finetune {name}": log.parent for name, log in logs.items()}
    health = {name: folder / "health.jsonl" for name, folder in folders.items()}
    newest = {name: _preview(name, folder) for name, folder in folders.items()}
    result = FINETUNING.read(tuned.artefact()) if tuned.is_finished() else None
    steps = () if source.part("finetune").get("steps") else ("finetune.steps=500",)
    return {
        "curves": found,
        "previews": [(name, *one) for name, one in newest.items() if one is not None],
        "missing_training": missing,
        "findings": sections.findings_table(health),
        "tuned": None if result is None else sections.finetuning_table(result),
        "halvings": [sections.halving_table(one) for one in result.halvings] if result else [],
        "finetune_command": source.command("finetune", *steps),
    }


def _preview(name: str, folder: Path) -> tuple[Markup, sections.Table] | None:
    """The newest preview of a training and the values of all; None where there is none."""
    rows = MetricsLog(folder / PREVIEWS / PREVIEWS_LOG).rows()
    picture = folder / PREVIEWS / f"{rows[-1]['step']:06}.png" if rows else None
    if picture is None or not picture.is_file():
        return None
    uri = picture_uri(picture, STAGES[name.split(" ")[0]], MOST_PREVIEW_BYTES)
    return Markup(uri), sections.preview_table(rows)


def _is_absent(source: ReportedRun) -> bool:
    """Whether the supernet learns without a teacher."""
    return source.part("teacher").get("from") == NONE


def safe(drawings: Sequence[str]) -> list[Markup]:
    """What matplotlib wrote, which has escaped all names in it."""
    return [Markup(drawing) for drawing in drawings]
