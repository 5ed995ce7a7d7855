"""The page's input is the one that Python makes of the same drawing; its scripts in Node.js."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from gancompress.export.inputchannels import InputChannels, input_of
from gancompress.export.web import plan

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs node on PATH")

RUN = """
import { inputOf } from "./model.js";
let text = "";
for await (const piece of process.stdin) text += piece;
const { drawing, plan, asked } = JSON.parse(text);
console.log(JSON.stringify(Array.from(inputOf(drawing, plan, new Set(asked), 0))));
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The page's scripts, beside a runtime that only can be imported."""
    for file in resources.files("gancompress.export").joinpath("webpage").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "ort.wasm.min.mjs").write_text("export const env = {};")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


@pytest.mark.parametrize("name", ["drawing.js", "model.js", "page.js"])
def test_scripts_are_javascript(name: str, scripts: Path) -> None:
    assert NODE is not None
    done = subprocess.run([NODE, "--check", scripts / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("channels", "asked"),
    [
        (InputChannels(3, (), (), 0, 0), []),
        (InputChannels(1, (), ("sad", "happy"), 1, 0), ["happy"]),
        (InputChannels(0, ("sea", "land", "ice"), (), 2, 0), []),
    ],
    ids=["colours", "grey", "classes"],
)
def test_input_is_that_of_python(channels: InputChannels, asked: list[str], scripts: Path) -> None:
    rng = np.random.default_rng(0)
    if channels.classes:
        values = rng.integers(0, len(channels.classes), (5, 4))
        picture = channels.colours[values]
    else:
        picture = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
        values = (picture.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(-1)
    drawing = {"width": 4, "height": 5, "values": values.ravel().tolist()}
    given = json.dumps({"drawing": drawing, "plan": plan(channels, False), "asked": asked})
    assert NODE is not None
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", RUN],
        cwd=scripts, input=given, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = torch.tensor(json.loads(done.stdout), dtype=torch.float32).reshape(1, -1, 5, 4)
    torch.testing.assert_close(found, input_of(picture, channels, asked, 0), rtol=0, atol=1e-6)
