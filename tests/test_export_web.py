"""The web folder: what lies in it, and where the browser's runtime comes from."""

import json
import os
import stat
import tarfile
from pathlib import Path

import pytest
from webmodels import source

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from gancompress.errors import ExportError
from gancompress.export import web
from gancompress.export.card import manifest_text, read_manifest
from gancompress.export.extract import write_all
from gancompress.export.formats import FORMATS


@pytest.fixture
def fake_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "package"
    (folder / "dist").mkdir(parents=True)
    for name in web.RUNTIME:
        (folder / "dist" / name).write_text(f"content of {name}")
    monkeypatch.setenv(web.VARIABLE, str(folder))
    return folder


def test_folder_holds_page_model_manifest_example_and_runtime(
    fake_runtime: Path, tmp_path: Path
) -> None:
    given = source("image")
    (done,) = write_all(
        given,
        formats=["web"],
        folder=tmp_path / "model",
        reference=given.net,
        inputs=[given.example],
    )
    folder = tmp_path / "model" / "web"
    names = {path.name for path in folder.iterdir()}
    assert done.path == folder and done.difference <= 1e-4
    assert done.bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert names >= {
        "index.html",
        "page.js",
        "page.css",
        "model.onnx",
        "manifest.json",
        *web.RUNTIME,
    }
    assert "onnxruntime-LICENSE.txt" in names
    arch, card = read_manifest((folder / "manifest.json").read_text(), "web")
    model = FORMATS["web"].load(folder)
    assert (arch, card) == (model.arch, model.card) == (given.arch, given.card)
    x = given.example
    assert (FORMATS["web"].load(folder / "model.onnx")(x) - given.net(x)).abs().max() <= 1e-4


def test_second_export_replaces_the_folder(fake_runtime: Path, tmp_path: Path) -> None:
    given = source("image")
    inside = {"reference": given.net, "inputs": [given.example], "folder": tmp_path / "model"}
    write_all(given, formats=["web"], **inside)
    (tmp_path / "model" / "notes.txt").write_text("mine")
    write_all(given, formats=["safetensors"], **inside)
    assert sorted(os.listdir(tmp_path / "model")) == ["arch.json", "model.safetensors", "notes.txt"]


def test_page_names_no_other_place() -> None:
    own = Path(web.__file__).parent / "webpage"
    texts = {path.name: path.read_text() for path in own.iterdir() if path.is_file()}
    assert len(texts) == 6
    for name, text in texts.items():
        assert "https:" not in text and text.count("http:") == (name == "index.html"), name


def test_named_folder_without_the_runtime_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(web.VARIABLE, str(tmp_path))
    with pytest.raises(ExportError, match=r"GANCOMPRESS_ORT_WEB: .* lacks ort\.wasm\.min\.mjs"):
        web.runtime_folder()
    assert list(tmp_path.iterdir()) == []


def npm_that(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for npm, alone on PATH; the cache is empty."""
    place = tmp_path / "bin"
    place.mkdir()
    if script:
        npm = place / "npm"
        npm.write_text(f"#!/bin/sh\n{script}\n")
        npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.delenv(web.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(place))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("", "there is no npm on this machine"),
        ("echo npm error code ENOTFOUND >&2; exit 1", "npm error code ENOTFOUND"),
        ("echo x > $4/o.tgz", "not a gzip file|could not be opened"),
        (": ", "not enough values"),
    ],
    ids=["no npm", "no network", "damaged", "nothing"],
)
def test_without_npm_or_network_both_ways_out_are_told(
    script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm_that(script, tmp_path, monkeypatch)
    with pytest.raises(ExportError, match=f"({reason}).*install npm.*{web.VARIABLE}"):
        web.write(source("image"), tmp_path / "model")
    assert not (tmp_path / "cache").exists() and not (tmp_path / "model").exists()


def test_runtime_comes_from_npm_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in web.RUNTIME:
        place = tmp_path / "package" / "dist" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    with tarfile.open(tmp_path / "ort.tgz", "w:gz") as archive:
        archive.add(tmp_path / "package", "package")
    npm_that(f"/bin/cp {tmp_path}/ort.tgz $4/", tmp_path, monkeypatch)
    folder = web.runtime_folder()
    assert folder.parent == tmp_path / "cache" / "gancompress"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {n: n for n in web.RUNTIME}
    (tmp_path / "bin" / "npm").unlink()
    assert web.runtime_folder() == folder


def test_manifest_is_that_of_the_model(fake_runtime: Path, tmp_path: Path) -> None:
    given = source("grey")
    written = web.write(given, tmp_path)
    assert written.is_static
    about = json.loads((tmp_path / "web" / "manifest.json").read_text())
    assert about == json.loads(manifest_text(given.arch, given.card))
