"""A run keeps its stages apart, checked, resumable, and never loses work."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gancompress.errors import CheckpointError, RunError
from gancompress.recipe.stagesections import STAGE_SECTIONS
from gancompress.storage.checkpoint import file_hash, save_state, write_text
from gancompress.storage.runs import Run
from gancompress.storage.stagedir import StageDir
from gancompress.storage.stagenames import STAGES

SECTIONS: dict[str, Any] = {"seed": 0, "teacher": {"lr": 1e-4, "steps": 5, "op": "dense"}}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "runs" / "x")


def made(run: Run, name: str = "teacher", content: str = "weights", **parents: str) -> StageDir:
    """A finished stage whose artefact holds `content`."""
    stage = run.stage(name)
    assert stage.begin(SECTIONS, list(parents)) == "new"
    write_text(stage.path / "model.txt", content)
    stage.finish("model.txt", {"l1": 0.5})
    return stage


def test_a_stage_goes_from_new_over_partial_to_done(run: Run) -> None:
    stage = run.stage("teacher")
    assert not stage.is_finished()
    assert stage.begin(SECTIONS) == "new"
    stage.release()
    save_state(stage.state, {"step": 3})
    assert stage.begin(SECTIONS) == "partial"
    assert not stage.is_finished()
    write_text(stage.path / "model.txt", "weights")
    stage.finish("model.txt", {"l1": 0.5})
    assert run.stage("teacher").begin(SECTIONS) == "done"
    assert run.stage("teacher").artefact() == run.root / "teacher" / "model.txt"
    assert run.stage("teacher").extra() == {"l1": 0.5}
    assert not stage.state.exists()


def test_the_record_tells_where_an_artefact_comes_from(run: Run) -> None:
    teacher = made(run)
    supernet = made(run, "supernet", teacher="")
    record = json.loads((supernet.path / "stage.json").read_text())
    assert record["kind"] == "supernet"
    assert record["finished"] is True
    assert record["sections"] == SECTIONS
    assert record["parents"] == {"teacher": file_hash(teacher.path / "model.txt")}
    assert record["sha256"] == file_hash(supernet.path / "model.txt") == supernet.hash()
    assert set(record["versions"]) == {"python", "gancompress", "torch"}


def test_the_stages_of_runs_and_recipes_are_the_same() -> None:
    assert list(STAGES) == list(STAGE_SECTIONS)


def test_other_sections_are_refused_with_the_keys_that_differ(run: Run) -> None:
    for _ in ("partial", "done"):
        stage = run.stage("teacher")
        stage.begin(SECTIONS)
        write_text(stage.state, "weights so far")
        stage.release()
        other = {"seed": 0, "teacher": {"lr": 1e-3, "steps": 5, "op": "dense", "ema": 0.5}}
        with pytest.raises(RunError) as caught:
            run.stage("teacher").begin(other)
        assert str(caught.value) == (
            f"{stage.path}: made with another recipe, teacher.lr (was 0.0001, now 0.001), "
            "teacher.ema (was absent, now 0.5); give another run=DIR, or --redo to set this one "
            "aside and begin again"
        )
        write_text(stage.path / "model.txt", "weights")
        stage.finish("model.txt")
    assert stage.artefact().read_text() == "weights"


def test_an_unfinished_stage_goes_on_with_another_learning_rate(run: Run) -> None:
    stage = run.stage("teacher")
    stage.begin(SECTIONS)
    save_state(stage.state, {"step": 3})
    stage.release()
    lower = {"seed": 0, "teacher": SECTIONS["teacher"] | {"lr": 1e-5}}
    again = run.stage("teacher")
    assert again.begin(lower, changeable=["teacher.lr"]) == "partial"
    assert again.changes == ("teacher.lr (was 0.0001, now 1e-05)",)
    assert again.record().sections == lower
    again.release()
    longer = {"seed": 0, "teacher": lower["teacher"] | {"steps": 9, "lr": 1e-6}}
    with pytest.raises(RunError, match="made with another recipe"):  # the steps may not change
        run.stage("teacher").begin(longer, changeable=["teacher.lr"])
    write_text(again.path / "model.txt", "weights")
    again.finish("model.txt")
    with pytest.raises(RunError, match=r"teacher\.lr \(was 1e-05, now 0\.0001\)"):
        run.stage("teacher").begin(SECTIONS, changeable=["teacher.lr"])


@pytest.mark.parametrize("is_finished", [True, False])
def test_another_number_of_steps_is_told_as_another_training(run: Run, is_finished: bool) -> None:
    stage = run.stage("teacher")
    stage.begin(SECTIONS)
    save_state(stage.state, {"step": 3})
    if is_finished:
        write_text(stage.path / "model.txt", "weights")
        stage.finish("model.txt")
    stage.release()
    more = {**SECTIONS, "teacher": {**SECTIONS["teacher"], "steps": 9}}
    what = "trained to its end" if is_finished else "in training"
    with pytest.raises(RunError) as caught:
        run.stage("teacher").begin(more)
    assert str(caught.value) == (
        f"{stage.path}: {what} with teacher.steps (was 5, now 9); its learning rate falls to 0 "
        "over all its steps, so another number of them is another training, from the first step "
        "on: teacher.steps=5 goes on with this one; for the other give another run=DIR, or "
        "--redo, which keeps this one beside it"
    )
    with run.stage("teacher") as again:  # what it says is taken
        assert again.begin(SECTIONS) == ("done" if is_finished else "partial")
    aside = run.stage("teacher").set_aside()
    assert aside is not None and aside.exists()
    with run.stage("teacher") as anew:
        assert anew.begin(more) == "new"
    other = {**more, "seed": 1}
    with pytest.raises(RunError, match="made with another recipe, seed"):
        save_state(stage.state, {"step": 3})
        run.stage("teacher").begin(other)


def test_a_stage_of_which_nothing_was_made_takes_another_recipe(run: Run) -> None:
    stage = run.stage("teacher")
    with stage:
        stage.begin(SECTIONS)
        stage.metrics.write(1, loss=1.0)
    with stage:
        assert stage.begin(SECTIONS | {"seed": 1}) == "partial"
    assert stage.record().sections["seed"] == 1
    write_text(stage.path / "study.db", "candidates")
    with pytest.raises(RunError, match=r"made with another recipe, seed \(was 1, now 0\)"):
        stage.begin(SECTIONS)


def test_many_differences_are_counted(run: Run) -> None:
    made(run)
    with pytest.raises(RunError, match=r"seed .*, a .*, b .* and 2 more; give another"):
        run.stage("teacher").begin(SECTIONS | {"seed": 1, "a": 1, "b": 1, "c": 1, "d": 1})


def test_tuples_and_lists_are_the_same_recipe(run: Run) -> None:
    run.stage("teacher").begin({"widths": (16, 8)})
    for again in ((16, 8), [16, 8]):
        assert run.stage("teacher").begin({"widths": again}) == "partial"


def test_a_stage_without_its_parent_says_which_command_makes_it(run: Run) -> None:
    with pytest.raises(RunError, match="teacher was not made yet; run `gancompress train-teacher"):
        run.stage("supernet").begin(SECTIONS, ["teacher"])
    assert not (run.root / "supernet").exists()
    run.stage("teacher").begin(SECTIONS)
    with pytest.raises(RunError, match="teacher is not finished; run `gancompress train-teacher"):
        run.stage("supernet").begin(SECTIONS, ["teacher"])


def test_another_parent_is_refused_and_an_equal_one_is_not(run: Run) -> None:
    made(run)
    made(run, "supernet", teacher="")
    run.stage("teacher").set_aside()
    made(run)  # the same bytes once more
    assert run.stage("supernet").begin(SECTIONS, ["teacher"]) == "done"
    run.stage("teacher").set_aside()
    made(run, content="other weights")
    message = (
        f"{run.root / 'supernet'}: made from another teacher than {run.root / 'teacher'} holds"
    )
    with pytest.raises(RunError, match=f"^{re.escape(message)} now; give another run=DIR, or --re"):
        run.stage("supernet").begin(SECTIONS, ["teacher"])


@pytest.mark.parametrize("damage", ["shorter", "other", "gone"])
def test_a_changed_artefact_is_never_used(run: Run, damage: str) -> None:
    stage = made(run)
    path = stage.artefact()
    if damage == "gone":
        path.unlink()
    else:
        path.write_text({"shorter": "weigh", "other": "weights!"}[damage])
    message = f"^{re.escape(str(path))}: changed on disk or truncated; delete .*teacher or give --r"
    for use in (
        stage.artefact,
        lambda: run.stage("teacher").begin(SECTIONS),
        lambda: run.stage("supernet").begin(SECTIONS, ["teacher"]),
    ):
        with pytest.raises(CheckpointError, match=message):
            use()


@pytest.mark.parametrize(
    "text", ["", '{"kind": "teacher"', "[]", "{}", '{"kind": "search", "finished": false}']
)
def test_a_damaged_record_is_refused_by_name(run: Run, text: str) -> None:
    stage = made(run)
    stage.record_path.write_text(text)
    with pytest.raises(CheckpointError, match=r"stage.json: changed on disk or truncated; delete"):
        run.stage("teacher").begin(SECTIONS)
    with pytest.raises(CheckpointError, match=r"stage.json: changed on disk or truncated; delete"):
        run.stage("teacher").artefact()


def test_the_record_of_another_stage_is_refused(run: Run) -> None:
    made(run).path.rename(run.root / "supernet")
    with pytest.raises(CheckpointError, match=r"supernet/stage.json: changed on disk"):
        run.stage("supernet").artefact()


def test_setting_aside_loses_nothing(run: Run) -> None:
    assert run.stage("teacher").set_aside() is None
    for number, content in enumerate(("first", "second"), start=1):
        made(run, content=content)
        stage = run.stage("teacher")
        assert stage.set_aside() == run.root / f"teacher.{number}"
        assert (run.root / f"teacher.{number}" / "model.txt").read_text() == content
        assert stage.begin(SECTIONS) == "new"
        stage.release()
        assert stage.set_aside() == run.root / f"teacher.{number + 1}"
        (run.root / f"teacher.{number + 1}" / "stage.json").unlink()
        (run.root / f"teacher.{number + 1}").rmdir()


def test_leftovers_of_a_killed_command_go_when_it_is_given_again(run: Run) -> None:
    stage = run.stage("teacher")
    stage.begin(SECTIONS)
    stage.release()
    (stage.path / ".tmp-1-1-state.pt").write_bytes(b"half")
    save_state(stage.state, {"step": 3})
    assert stage.begin(SECTIONS) == "partial"
    assert sorted(p.name for p in stage.path.iterdir()) == ["stage.json", "state.pt"]


def test_two_commands_cannot_work_on_the_same_stage(run: Run) -> None:
    code = (
        "import sys, time; from gancompress.storage.runs import Run\n"
        "stage = Run(sys.argv[1]).stage('teacher'); stage.begin({'seed': 0})\n"
        "print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(run.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        stage = run.stage("teacher")
        message = rf"teacher: another command \(process {other.pid}\) works on it; wait"
        with pytest.raises(RunError, match=message):
            stage.begin({"seed": 0})
        with pytest.raises(RunError, match=message):
            stage.set_aside()
        with run.stage("supernet") as elsewhere:
            assert elsewhere.begin({}) == "new"
        other.kill()
        other.wait()
    assert stage.begin({"seed": 0}) == "partial"


def test_a_refused_or_left_stage_is_free_again(run: Run) -> None:
    with run.stage("teacher") as stage:
        stage.begin(SECTIONS)
        write_text(stage.state, "weights so far")
        assert stage._lock.is_held
    assert not stage._lock.is_held
    with pytest.raises(RunError):
        stage.begin({"seed": 1})
    assert not stage._lock.is_held


def test_the_recipe_of_the_last_command_is_kept(run: Run) -> None:
    run.keep_recipe("seed: 1\n")
    run.keep_recipe("seed: 2\n")
    assert (run.root / "recipe.yaml").read_text() == "seed: 2\n"


def test_every_file_that_a_stage_names_is_checked(run: Run) -> None:
    stage = run.stage("search")
    stage.begin(SECTIONS)
    for name in ("front.txt", "all.txt", "study.db"):
        write_text(stage.path / name, name)
    stage.finish("front.txt", files=["all.txt"])
    assert stage.file("all.txt") == stage.path / "all.txt" and stage.file("study.db") is None
    write_text(stage.path / "study.db", "another")
    assert run.stage("search").begin(SECTIONS) == "done"
    write_text(stage.path / "all.txt", "al1.txt")
    stage.artefact()
    for use in (stage.check, lambda: stage.file("all.txt"), lambda: stage.begin(SECTIONS)):
        with pytest.raises(CheckpointError, match=r"search/all.txt: changed on disk .* --redo to"):
            use()


def test_what_is_done_may_lie_where_nobody_can_write(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(run)
    run.stage("supernet").begin(SECTIONS, ["teacher"])
    before = os.open

    def refusing(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return before(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refusing)
    with run.stage("teacher") as stage:
        assert stage.begin(SECTIONS) == "done"
    with pytest.raises(RunError, match="made with another recipe"):
        run.stage("teacher").begin(SECTIONS | {"seed": 1})
    with pytest.raises(CheckpointError, match=r"lock: cannot be written \(read-only file system\)"):
        run.stage("supernet").begin(SECTIONS, ["teacher"])
