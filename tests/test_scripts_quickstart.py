"""scripts/quickstart.sh: what it hands to the two commands that it gives."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECORD = '#!/bin/sh\necho "gancompress $*"\n'
REAL = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gancompress "$@"\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The scripts and what they read, in a folder that has no environment yet."""
    root = tmp_path / "a clone"
    (root / "scripts").mkdir(parents=True)
    for name in ("scripts/quickstart.sh", "scripts/venv.sh", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    return root


def prepare(root: Path, program: str) -> None:
    """An environment that counts as installed, with `program` as its gancompress."""
    commands = root / ".venv" / "bin"
    commands.mkdir(parents=True)
    (commands / "python").symlink_to(sys.executable)
    (commands / "gancompress").write_text(program)
    (commands / "gancompress").chmod(0o755)
    stamp = 'source scripts/venv.sh; wanted_stamp >"$(stamp_of quickstart,onnx)"'
    subprocess.run(["bash", "-c", stamp], cwd=root, check=True)


def quickstart(root: Path, *arguments: str) -> list[str]:
    command = ["bash", str(root / "scripts" / "quickstart.sh"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=root.parent)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize(
    ("given", "run", "report"),
    [
        ("", "", ""),
        ("run=/tmp/a search.reduction=9", "run=/tmp/a search.reduction=9", None),
        ("--dry-run run=x", "--dry-run run=x", None),
        ("--redo", "--redo", ""),
        ("--redo run=x --dry-run", "--redo run=x --dry-run", "run=x --dry-run"),
    ],
)
def test_both_commands_get_what_they_take(
    clone: Path, given: str, run: str, report: str | None
) -> None:
    prepare(clone, RECORD)
    told = [run, run if report is None else report]
    said = [f"gancompress {name} quickstart" for name in ("run", "report")]
    wanted = [f"{command} {text}".rstrip() for command, text in zip(said, told, strict=True)]
    assert quickstart(clone, *given.split()) == wanted


def test_a_value_with_spaces_stays_one(clone: Path) -> None:
    prepare(clone, '#!/bin/sh\nshift 2\nfor one; do echo "<$one>"; done\n')
    assert quickstart(clone, "--redo", "run=a b") == ["<--redo>", "<run=a b>", "<run=a b>"]


def test_a_dry_run_does_nothing_and_needs_no_run(clone: Path) -> None:
    prepare(clone, REAL)
    before = files(clone)
    out = quickstart(clone, "--dry-run", "--redo", "run=first", "teacher.steps=7")
    assert files(clone) == before
    assert "  steps: 7" in out and any(line.startswith("teacher ") for line in out)
    assert out[-1] == "report would be written to first/report.html, once first holds a run"


def test_a_dry_run_installs_nothing(clone: Path) -> None:
    before = files(clone)
    out = " ".join(quickstart(clone, "--dry-run"))
    assert files(clone) == before and f"would make the virtual environment {clone}/.venv" in out


def test_help_says_what_it_takes_and_installs_nothing(clone: Path) -> None:
    before = files(clone)
    out = quickstart(clone, "--help")
    assert out[0].startswith("bash scripts/quickstart.sh [--dry-run] [--redo] [key=value")
    assert all(f"  {option}" in "\n".join(out) for option in ("--dry-run", "--redo", "key=value"))
    assert "set -euo" not in "\n".join(out) and files(clone) == before
