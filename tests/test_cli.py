"""The command line: what it prints, and its exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gancompress.cli.commands import app
from gancompress.metrics import METRICS
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.schema import json_schema


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_list_names_every_kind() -> None:
    code, out = call("list")
    assert code == 0
    for word in ("quickstart", "resnet", "pix2pix", "separable", "kid", "channels-64-pix2pix"):
        assert word in out


COMMANDS = [str(command.name) for command in app.registered_commands]


def test_there_are_as_many_commands_as_this_test_knows() -> None:
    assert len(COMMANDS) == 19


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command: str) -> None:
    code, out = call(command, "--help")
    assert code == 0 and "Example: gancompress" in " ".join(out.split())


def test_schema_prints_the_schema_of_a_recipe() -> None:
    code, out = call("schema")
    assert code == 0 and json.loads(out) == json_schema()


def test_evaluate_lists_every_metric_and_tells_what_it_would_judge_by() -> None:
    _, out = call("evaluate", "--help")
    shown = out.replace("│", " ").split()
    assert [f"{name}," for name in METRICS if f"{name}," not in shown] == []
    code, out = call("evaluate", "quickstart", "--metrics", "swd, recall,swd", "--dry-run")
    assert code == 0 and "would evaluate teacher and winners by swd, recall on split test" in out


def test_profile_json_has_the_published_counts() -> None:
    """FACTS: 24_24_40_56_24_56_16_40 is 702 835 parameters; the dense ResNet-9 11 378 179."""
    code, out = call(
        "profile", "edges2shoes", "--arch", "24_24_40_56_24_56_16_40", "--json"
    )  # fmt: skip
    found = json.loads(out)
    assert code == 0
    assert set(found) == {"generator", "discriminator"}
    assert set(found["generator"]) == {
        "params", "macs_true", "macs_published", "macs_published_norm", "activation_bytes",
        "saved_bytes", "arch",
    }  # fmt: skip
    assert found["generator"]["params"] == 702_835
    assert found["discriminator"]["params"] == 11_040_641
    teacher = json.loads(call("profile", "edges2shoes", "--arch", "teacher", "--json")[1])
    assert teacher["generator"]["params"] == 11_378_179
    assert teacher["generator"]["macs_true"] == 49_551_507_456
    text = json.dumps(found["generator"]["arch"])
    assert json.loads(call("profile", "edges2shoes", "--arch", text, "--json")[1]) == found


def test_dry_run_prints_the_recipe_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out = call("run", "maps", "--dry-run", "teacher.steps=7")
    assert code == 0 and "steps: 7" in out and "teacher (7 steps) would run" in out
    code, out = call("run", "quickstart", "--dry-run")
    assert code == 0 and "teacher (maps-64) would run" in out
    assert list(tmp_path.iterdir()) == []


def test_formats_of_the_command_come_behind_those_of_the_recipe() -> None:
    given = ("export", "quickstart", "--dry-run")
    code, out = call(*given, "--format", "web", "--format", "onnx")
    listed = load_recipe("quickstart").export.formats
    assert code == 0 and f"formats: [{', '.join(listed)}, web]" in " ".join(out.split())
    code, out = call(*given, "--format", "tflite")
    assert code == 2 and "tflite" in out and "one of safetensors" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "quickstrat"], "quickstart"),
        (["run", "quickstart", "supernet.lrr=1", "teacher.steps=no"], "did you mean"),
        (["profile", "quickstart", "--arch", "1_2_3"], "3 widths"),
        (["profile", "quickstart", "--arch", "huge"], "not an arch"),
        (["evaluate", "quickstart", "--split", "all", "run=/nowhere"], "one of train, search"),
        (["evaluate", "quickstart", "--metrics", "fd,sdw"], 'did you mean "swd"?'),
        (["evaluate", "quickstart", "--metrics", "miou"], "the network of metrics.segmentation"),
        (["run", "quickstart", "metrics.also=[swd, iss]"], "metrics.also.1: found"),
        (["search", "quickstart", "run=/nowhere", "search.reduction=1000"], "below the smallest"),
        (["export", "edges2shoes", "data.folder=/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments: list[str], said: str) -> None:
    code, out = call(*arguments)
    assert code == 2 and said in out and "Traceback" not in out
