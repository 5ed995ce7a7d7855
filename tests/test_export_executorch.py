"""ExecuTorch's program and the manifest beside it; loading and lowering say nothing."""

import json
import os
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest
import torch

from gancompress.errors import ExportError
from gancompress.export import executorch_file
from gancompress.export.card import Card, ExportSource
from gancompress.nets.families import family_of

pytest.importorskip("executorch")

FAMILY = family_of("resnet", blocks=1)
ARCH = FAMILY.uniform(4, "separable")
IMAGES = torch.rand((3, 3, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1


def source():
    torch.manual_seed(0)
    net = FAMILY.build(ARCH).eval().requires_grad_(False)
    return ExportSource(net, ARCH, Card(FAMILY.options, 3, 3, (16, 16), 4), IMAGES[:1])


@contextmanager
def heard(file):
    """All that the process prints meanwhile, be it Python or not, goes into `file`."""
    kept = {number: os.dup(number) for number in (1, 2)}
    with file.open("w") as to, redirect_stdout(to), redirect_stderr(to):
        for number in kept:
            os.dup2(to.fileno(), number)
        try:
            yield
        finally:
            for number, before in kept.items():
                os.dup2(before, number)
                os.close(before)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The one program of this file: lowering takes ten seconds."""
    folder = tmp_path_factory.mktemp("executorch")
    with heard(folder / "heard.txt"):
        return executorch_file.write(source(), folder)


def copied(written, folder):
    for file in written.files:
        (folder / file.name).write_bytes(file.read_bytes())
    return folder / "model.pte"


def test_program_of_one_size_takes_any_batch_and_agrees(written):
    assert written.is_static and written.note.startswith("size fixed at 16x16")
    run = executorch_file.load_run(written.path)
    for x in (IMAGES[:1], IMAGES, IMAGES.transpose(2, 3)):
        assert (run(x) - source().net(x)).abs().max() <= 1e-4
    with pytest.raises(ExportError, match="with height 16 and width 16"):
        run(torch.zeros(1, 3, 32, 32))


def test_program_outlives_the_call_that_loaded_it(written):
    runs = [executorch_file.load_run(written.path) for _ in range(3)]
    answers = [run(IMAGES) for run in runs]
    assert all(torch.equal(answer, answers[0]) for answer in answers)


def test_program_and_manifest_must_be_one_pair(written, tmp_path):
    path = copied(written, tmp_path)
    about = json.loads((tmp_path / "model.pte.json").read_text())
    (tmp_path / "model.pte.json").write_text(json.dumps(about | {"sha256": "0" * 64}))
    with pytest.raises(ExportError, match="truncated, or not the program of .*model.pte.json"):
        executorch_file.load_run(path)
    (tmp_path / "model.pte.json").unlink()
    with pytest.raises(ExportError, match="manifest that was written with model.pte"):
        executorch_file.load_run(path)


def test_nothing_is_printed_and_streams_work_afterwards(written, capfd):
    assert (written.path.parent / "heard.txt").read_text() == ""
    executorch_file.load_run(written.path)(IMAGES)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ZeroDivisionError), executorch_file._quiet():
        _ = 1 / 0
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"
