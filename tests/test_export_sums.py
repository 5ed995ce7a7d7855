"""A changed bit of a model that lies with its list of hashes is noticed before it is loaded."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from gancompress.errors import ExportError
from gancompress.export import load
from gancompress.export.card import Card, ExportSource
from gancompress.export.extract import write_all
from gancompress.export.formats import FORMATS, missing
from gancompress.export.opening import models_in, open_model
from gancompress.export.sums import MODEL, SUMS, check_sums, write_sums
from gancompress.nets.families import family_of

FAMILY = family_of("resnet", in_channels=3, out_channels=3, blocks=1)
ARCH = FAMILY.arch([4, 4, 4, 4, 4, 4])
CARD = Card(FAMILY.options, 3, 3, (16, 16), 4)
X = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
USABLE = [name for name in ("safetensors", "pt2", "onnx", "web") if not missing(name)]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `gancompress export` leaves it, with its list."""
    torch.manual_seed(0)
    net = FAMILY.build(ARCH).eval()
    folder = tmp_path_factory.mktemp("run") / "export"
    source = ExportSource(net, ARCH, CARD, X)
    write_all(source, formats=USABLE, folder=folder / MODEL, reference=net, inputs=[X])
    (folder / "README.md").write_text("about")
    names = write_sums(folder, ["README.md"])
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sorted(names) == sorted(str(path.relative_to(folder)) for path in files)
    return folder


def flipped(path: Path, count: int) -> list[bytes]:
    """The file's content with one bit changed, at `count` places."""
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    found = []
    for place in rng.choice(8 * len(whole), count, replace=False).tolist():
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        found.append(bytes(changed))
    return found


def test_the_list_is_what_the_usual_program_reads(export: Path) -> None:
    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("needs sha256sum")
    command = [program, "-c", "--strict", SUMS]
    said = subprocess.run(command, cwd=export, capture_output=True, text=True, check=True).stdout
    inside = {str(p.relative_to(export)) for p in export.rglob("*") if p.is_file()} - {SUMS}
    assert {line.removesuffix(": OK") for line in said.splitlines()} == inside


def test_changed_bits_are_noticed_by_all_that_open_a_model(export: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    shutil.copytree(export, root / "export")
    opened = models_in(root)
    assert list(opened) == [name for name in USABLE if name != "web"]
    for name, path in [*opened.items(), ("onnx", root / "export" / MODEL / "web" / "model.onnx")]:
        if not path.exists():
            continue
        files = [path / "model.onnx"] if path.is_dir() else [path.with_name(f) for f in
                                                            FORMATS[name].files]  # fmt: skip
        for file in files:
            whole = file.read_bytes()
            for changed in flipped(file, 5):
                file.write_bytes(changed)
                with pytest.raises(ExportError, match=f"{file.name}: changed on disk, .*--redo"):
                    open_model(path)
                if name == "safetensors":
                    with pytest.raises(ExportError, match="its SHA-256 is not the one in .*SUMS"):
                        load(path.parent)
            file.write_bytes(whole)
        assert torch.equal(open_model(path)(X), FORMATS[name].load(path)(X))


def test_every_file_of_a_page_counts(export: Path, tmp_path: Path) -> None:
    if "web" not in USABLE:
        pytest.skip("needs the onnx extra")
    shutil.copytree(export, tmp_path / "export")
    web = tmp_path / "export" / MODEL / "web"
    check_sums(web)
    (web / "page.js").unlink()
    with pytest.raises(ExportError, match=r"page\.js: changed on disk, truncated or gone"):
        check_sums(web)
    check_sums(tmp_path / "export" / MODEL / "model.pt2")  # nothing of it has changed


def test_every_bit_of_a_hash_counts_and_none_of_the_list_refuses_others(
    export: Path, tmp_path: Path
) -> None:
    shutil.copytree(export, tmp_path / "export")
    sums, model = tmp_path / "export" / SUMS, tmp_path / "export" / MODEL / "model.pt2"
    whole = sums.read_bytes()
    start = whole.index(b"model.pt2") - len("model/") - 66
    noticed: set[int] = set()
    for place in range(8 * (start - 2), 8 * (start + 90)):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        sums.write_bytes(changed)
        try:
            check_sums(model)
        except ExportError:
            noticed.add(place // 8)
    assert noticed == {*range(start, start + 64)}


def test_a_file_without_its_list_is_opened(export: Path, tmp_path: Path) -> None:
    copy = shutil.copy(export / MODEL / "model.pt2", tmp_path / "model.pt2")
    answer = open_model(export / MODEL / "model.pt2")(X)
    assert torch.equal(open_model(copy)(X), answer)
    other = tmp_path / SUMS
    other.write_bytes(b"\xff of another program\n" + b"0" * 64 + b"  notes.txt\n")
    assert torch.equal(open_model(copy)(X), answer)
