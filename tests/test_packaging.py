"""What is installed is what lies in the tree: an editable installation would not show a gap."""

import configparser
from pathlib import Path

from typer.testing import CliRunner

import gancompress
from gancompress.cli.commands import app

ROOT = Path(__file__).parents[1]


def test_every_file_of_a_package_is_packed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    places = dict(
        line.split(" = ") for line in setup["options"]["package_dir"].strip().splitlines()
    )
    data = setup["options.package_data"]
    packages = setup["options"]["packages"].split()
    folders = {}
    for package in packages:
        top = max((p for p in places if f"{package}.".startswith(f"{p}.")), key=len)
        folders[package] = ROOT / places[top] / package[len(top) + 1 :].replace(".", "/")
    packed = {file for package, at in folders.items() for file in at.glob("*.py")}
    for package, globs in data.items():
        packed |= {file for glob in globs.split() for file in folders[package].glob(glob)}
    there = {
        file
        for name in ("gancompress", "search", "distill", "export")
        for file in (ROOT / name).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc"
    }
    assert there - packed == set()


def test_the_version_stands_in_one_place():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["version"] == "attr: gancompress.__version__"
    told = CliRunner().invoke(app, ["--version"])
    assert (told.exit_code, told.stdout) == (0, f"gancompress {gancompress.__version__}\n")
