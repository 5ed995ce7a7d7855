"""`python -m gancompress` in a clone that is not what is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("gancompress", "search", "distill", "export")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The four folders alone."""
    left_out = shutil.ignore_patterns("__pycache__", "*.safetensors")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tmp_path / "clone" / name, ignore=left_out)
    return tmp_path / "clone"


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in `folder`, with the packages that are installed, and no editable installation.

    `-S` leaves out the files that make such installations known.
    """
    packages = os.pathsep.join(path for path in sys.path if path.endswith("-packages"))
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": packages},
        capture_output=True,
        text=True,
    )


def test_a_clone_finds_its_four_folders(clone: Path) -> None:
    code = (
        "import gancompress.distill.draws, gancompress.search.front, gancompress.export as e\n"
        "print(e.__file__)"
    )
    done = python(clone, "-c", code)
    assert done.stdout.strip() == str(clone / "export" / "__init__.py"), done.stderr
    told = python(clone, "-m", "gancompress", "list")
    assert told.returncode == 0 and "safetensors" in told.stdout, told.stderr


def test_an_installed_package_looks_nowhere_else(clone: Path) -> None:
    installed = clone / "gancompress"
    for name in FOLDERS[1:]:
        shutil.move(clone / name, installed / name)
        (clone / name).mkdir()
        (clone / name / "__init__.py").write_text("raise SystemExit('another package')")
    code = "import gancompress as g, gancompress.export as e\nprint(e.__file__, len(g.__path__))"
    done = python(clone, "-c", code)
    assert done.stdout.split() == [str(installed / "export" / "__init__.py"), "1"], done.stderr
