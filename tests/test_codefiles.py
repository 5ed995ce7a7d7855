"""The sum of a user's code changes with every file beside it that is run, and with no other."""

import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from gancompress.nets.families.ownoptions import OwnOptions
from gancompress.storage.codefiles import code_files, code_sum


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """Imports `blocks`, which imports the package `parts` inside of a function; `other` is not."""
    (tmp_path / "blocks.py").write_text("def f():\n    from parts.conv import g\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "conv.py").write_text("g = 1\n")
    (tmp_path / "other.py").write_text("1/0\n")
    path = tmp_path / "net.py"
    path.write_text("import os.path, blocks as b\nfrom torch import nn\n")
    return path


def test_files_are_those_that_are_imported_by_name(net: Path) -> None:
    names = [str(file.relative_to(net.parent)) for file in code_files(net)]
    assert names == ["net.py", "blocks.py", "parts/__init__.py", "parts/conv.py"]


def test_sum_is_of_all_of_them(net: Path) -> None:
    before = code_sum(net)
    (net.parent / "other.py").write_text("")
    assert code_sum(net) == before
    (net.parent / "parts" / "conv.py").write_text("g = 2\n")
    changed = code_sum(net)
    assert changed != before
    (net.parent / "blocks.so").write_bytes(b"\0")  # which Python would run in place of blocks.py
    assert code_sum(net) not in (before, changed)


def test_sum_of_a_file_alone_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    for content in (b"from torch import nn\n", b"\0", b"def ("):
        path.write_bytes(content)
        assert code_sum(path) == hashlib.sha256(content).hexdigest()


def test_a_generator_whose_helper_changed_is_refused(net: Path) -> None:
    before = OwnOptions.model_validate({"name": "own", "file": str(net)})
    (net.parent / "blocks.py").write_text("")
    with pytest.raises(ValidationError, match="or a file that it imports, has changed to"):
        OwnOptions.model_validate(before.model_dump())
