"""How commands start: what they import, what stands before torch, and Ctrl-C meanwhile."""

from __future__ import annotations

import mmap
import signal
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from typer.testing import CliRunner

from gancompress.cli.commands import app
from gancompress.interrupts import end_at_once

# Each takes a tenth of a second or more, or is taken along by one that does.
HEAVY = {
    "torch", "torchvision", "torchmetrics", "numpy", "scipy", "optuna", "sqlalchemy", "matplotlib",
    "sympy", "PIL", "onnx", "onnxruntime", "openvino", "jinja2",
}  # fmt: skip
WRONG = {
    "an unknown recipe": ["run", "quickstrat"],
    "an unknown key": ["train-teacher", "quickstart", "supernet.lrr=1"],
    "an unknown name": ["space", "quickstart", "family.name=resnets"],
    "a missing file": ["export", "nowhere/x.yaml", "--format", "web"],
    "parts that do not fit": ["evaluate", "quickstart", "data.size=66"],
}

# A child begins as from a terminal: where the suite is a job in the background, SIGINT is ignored.
BEGIN = """
import atexit, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
MODULES = (
    BEGIN
    + """
atexit.register(lambda: print("MODULES", *sys.modules))
from gancompress.__main__ import main
main()
"""
)
EVERY_HELP = (
    BEGIN
    + """
from typer.testing import CliRunner
from gancompress.cli.commands import app
names = [str(command.name) for command in app.registered_commands]
done = [CliRunner().invoke(app, [name, "--help"]).exit_code for name in names]
print(len(done), any(done))
print("MODULES", *sys.modules)
"""
)


def child(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def heavy_imports(output: str) -> set[str]:
    line = output.splitlines()[-1].split()
    assert line[0] == "MODULES" and "gancompress.cli.commands" in line
    return HEAVY & {module.partition(".")[0] for module in line}


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["schema"]], ids=str)
def test_what_asks_for_names_alone_imports_nothing_heavy(arguments: list[str]) -> None:
    done = child(MODULES, *arguments)
    assert done.returncode == 0 and heavy_imports(done.stdout) == set()


def test_the_help_of_every_command_imports_nothing_heavy() -> None:
    out = child(EVERY_HELP).stdout
    assert out.splitlines()[-2] == "19 False" and heavy_imports(out) == set()


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_a_wrong_recipe_is_refused_before_anything_heavy_is_imported(arguments: list[str]) -> None:
    done = child(MODULES, *arguments)
    assert done.returncode == 2 and done.stderr.startswith("gancompress: ")
    assert "Traceback" not in done.stderr and heavy_imports(done.stdout) == set()


def test_costs_are_counted_without_torchs_compiler() -> None:
    done = child(MODULES, "profile", "quickstart", "--bands", "0.5,0.25")
    assert done.returncode == 0 and "macs_true" in done.stdout
    slow = {"torch._dynamo", "torch._inductor", "sympy", "torchvision", "torchmetrics", "optuna"}
    assert slow & set(done.stdout.split()) == set()


# `at()` is called when the module of the first argument is looked for: a moment of the start that
# is the same on a machine of whatever speed.
HOOK = (
    BEGIN
    + """
moment = sys.argv.pop(1)
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            sys.meta_path.remove(self)
            at()
sys.meta_path.insert(0, Hook())
"""
)
MAIN = """
from gancompress.__main__ import main
main()
"""


def test_memory_and_threads_are_settled_before_torch() -> None:
    at = """
for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
    os.environ.pop(name, None)
def at():
    print("torch" in sys.modules, os.environ.get("GOMP_SPINCOUNT"), flush=True)
    os._exit(7)
"""
    done = child(HOOK + at + MAIN, "torch", "profile", "quickstart")
    assert (done.returncode, done.stdout) == (7, "False 20000\n"), done.stderr


INTERRUPT = """
def at():
    signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.parametrize(
    ("moment", "arguments"),
    [
        ("gancompress.process", ["--help"]),  # before anything else of ours
        ("typer", ["--help"]),
        ("pydantic", ["list"]),
        ("torch", ["profile", "quickstart"]),
        ("torch.nn", ["train-teacher", "quickstart"]),  # in the midst of torch
        ("gancompress.apps.sample", ["sample", "nowhere", "nowhere"]),
    ],
)
def test_ctrl_c_while_importing_ends_in_one_line(moment: str, arguments: list[str]) -> None:
    done = child(HOOK + INTERRUPT + MAIN, moment, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


def test_ctrl_c_from_outside_ends_a_start_that_hangs() -> None:
    at = """
def at():
    print("here", flush=True)
    try:
        while True:
            pass
    except KeyboardInterrupt:  # as of a library that takes it for a failure of its own
        pass
"""
    command = [sys.executable, "-c", HOOK + at + MAIN, "torch", "space", "quickstart"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as running:
        assert running.stdout is not None and running.stdout.readline() == "here\n"
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=60)[1]
    assert (running.returncode, said) == (130, "stopped\n")


def test_ctrl_c_in_a_commands_work_is_one_line_too() -> None:
    at = (
        INTERRUPT
        + """
def fail(*_, **__):
    at()
import gancompress.recipe.reading
gancompress.recipe.reading.load_recipe = fail
"""
    )
    done = child(HOOK + at + MAIN, "no module", "space", "quickstart")
    wanted = "stopped; give the same command again to go on from here\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", wanted)


WRITING = """
def fail(*_, **__):
    from pathlib import Path
    from gancompress.storage.checkpoint import atomic_path
    with atomic_path(Path(sys.argv[-1].removeprefix("run=")) / "x.json") as temporary:
        temporary.write_text("half")
        at()
import gancompress.recipe.reading
gancompress.recipe.reading.load_recipe = fail
"""


@pytest.mark.parametrize(("sign", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_in_a_commands_work_is_one_line_and_leaves_no_file(
    sign: str, code: int, tmp_path: Path
) -> None:
    at = f"""
def at():
    signal.raise_signal(signal.{sign})
"""
    done = child(HOOK + at + WRITING + MAIN, "no module", "space", "quickstart", f"run={tmp_path}")
    wanted = "stopped; give the same command again to go on from here\n"
    assert (done.returncode, done.stdout, done.stderr) == (code, "", wanted)
    assert list(tmp_path.iterdir()) == []


def test_sigterm_while_importing_ends_in_one_line() -> None:
    at = """
def at():
    signal.raise_signal(signal.SIGTERM)
"""
    done = child(HOOK + at + MAIN, "torch", "profile", "quickstart")
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "stopped\n")


def test_sigterm_ends_a_forked_process_as_if_nothing_stood_there() -> None:
    """Data loaders' processes are ended so: their parent goes on."""
    at = """
def at():
    pass
def fail(*_, **__):
    if (process := os.fork()) == 0:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
    raise RecipeError("x")
from gancompress.errors import RecipeError
import gancompress.recipe.reading
gancompress.recipe.reading.load_recipe = fail
"""
    done = child(HOOK + at + MAIN, "no module", "space", "quickstart")
    assert (done.returncode, done.stdout, done.stderr) == (2, "143\n", "gancompress: x\n")


SAID = "; smaller images or batch sizes, fewer workers or other programs closed leave more of it; "


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("torch.empty(2**50)", ", 4503599.6 GB more were needed at once"),
        ("bytearray(2**62)", ""),
        ("numpy.empty(2**59)", ""),
        ("mmap.mmap(-1, 2**60)", ""),
    ],
)
def test_too_little_memory_is_one_sentence(
    asked: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {"torch": torch, "numpy": numpy, "mmap": mmap}

    def profile(*_: object) -> None:
        eval(asked, modules)

    monkeypatch.setattr("gancompress.cli.describe.profile", profile)
    done = CliRunner().invoke(app, ["profile", "quickstart"])
    assert (done.exit_code, done.output) == (
        2,
        f"gancompress: too little memory{found}{SAID}then give the same command again\n",
    )


def test_other_errors_keep_their_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def profile(*_: object) -> None:
        torch.ones(2) @ torch.ones(3)

    monkeypatch.setattr("gancompress.cli.describe.profile", profile)
    assert isinstance(CliRunner().invoke(app, ["profile", "quickstart"]).exception, RuntimeError)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        end_at_once()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
