"""The monitor in real trainings: it finds those that lead nowhere, and changes none."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import toylsgan as blobs
import toytraining as toy
from torch import Tensor

from gancompress.errors import DivergedError, UnhealthyError
from gancompress.storage.checkpoint import load_state
from gancompress.storage.metricslog import MetricsLog
from gancompress.tasks.base import Step
from gancompress.training import loop
from gancompress.training.health import HealthMonitor, variety
from gancompress.training.steps import Optimisation, step_rng

FAST = Optimisation(lr=0.1, decay_from=1.0)
CALM = Optimisation(lr=1e-3, decay_from=1.0)


def findings(folder: Path, **settings: Any) -> list[dict[str, Any]]:
    """What is found in a training of blobs."""
    how = {"feed": blobs.batches, "steps": 50, "is_healthy": None, "save_seconds": 1e9}
    made = settings.pop("nets")
    toy.train(blobs.Blobs(), made, folder, **(how | settings))
    return MetricsLog(folder / "health.jsonl").rows()


# The signatures of FACTS section 15: losses of discriminator and generator, and what they are
# called.
STUCK: dict[str, tuple[dict[str, Any], tuple[float, float], str]] = {
    "all called real": ({"bias": 25.0}, (16, 0), "saturated"),
    "all called made": ({"bias": -25.0}, (16, 16), "saturated"),
    "dead": ({"dead": True}, (8, 4), "dead"),
}


@pytest.mark.parametrize("name", STUCK)
def test_a_stuck_training_is_found_within_fifty_steps(name: str, tmp_path: Path) -> None:
    settings, losses, what = STUCK[name]
    (row,) = findings(tmp_path, nets=blobs.nets(**settings), optimisation=CALM, log_every=50)
    assert (row["where"], row["what"], row["since"]) == ("discriminator", what, 1)
    (means,) = MetricsLog(tmp_path / "metrics.jsonl").rows()
    assert (means["discriminator"], means["gan"]) == pytest.approx(losses, abs=0.05)


@pytest.mark.parametrize("norm", [False, True])
def test_a_training_that_goes_astray_is_found_within_fifty_steps(
    norm: bool, tmp_path: Path
) -> None:
    """A rate a hundred times too high, without norm or with a live one that sees real and made
    images apart. Whether and to which end it comes depends on the last bits: some seed does."""
    for seed in range(4):
        folder = tmp_path / str(seed)
        rows = findings(folder, nets=blobs.nets(norm=norm, seed=seed), optimisation=FAST)
        if rows:
            break
    assert rows[0]["what"] in {"saturated", "dead", "collapsed"}


def test_a_healthy_training_is_left_alone(tmp_path: Path) -> None:
    made = blobs.nets()
    assert findings(tmp_path, nets=made, optimisation=CALM, steps=320, is_healthy=True) == []
    pictures = blobs.Blobs().pictures(made, blobs.batch_at(0), Step(0, step_rng(0, 0)))
    share = variety(*pictures)
    assert share is not None and share > 0.3  # it did learn


def test_a_watched_training_has_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, plain = toy.pix2pix_nets(dropout=0.5), toy.pix2pix_nets(dropout=0.5)
    toy.train(toy.TASK, watched, tmp_path / "a", steps=12)
    monkeypatch.setattr(HealthMonitor, "see", lambda *_: None)
    monkeypatch.setattr(loop, "is_look_due", lambda _: False)
    toy.train(toy.TASK, plain, tmp_path / "b", steps=12)
    for name, tensor in toy.weights(plain).items():
        assert torch.equal(tensor, toy.weights(watched)[name]), name


def interrupted(at: int) -> Any:
    """Batches that stop the training at `at`, and would break it five steps later."""

    def feed(start: int) -> Iterator[dict[str, Tensor]]:
        for step, batch in enumerate(blobs.batches(start), start):
            if step == at:
                signal.raise_signal(signal.SIGINT)
            if step == at + 5:
                batch["target"][0, 0, 0, 0] = float("nan")
            yield batch

    return feed


def test_findings_after_the_saved_state_are_found_anew(tmp_path: Path) -> None:
    how = {"optimisation": CALM, "steps": 15}
    rows = findings(tmp_path / "whole", nets=blobs.nets(bias=25.0), **how)
    assert [row["step"] for row in rows] == [10]
    for error in (KeyboardInterrupt, DivergedError):  # saved after 7 steps, found after 10
        with pytest.raises(error):
            feed = interrupted(6)
            findings(tmp_path / "parts", nets=blobs.nets(bias=25.0), feed=feed, **how)
    assert MetricsLog(tmp_path / "parts" / "health.jsonl").rows() == rows
    assert findings(tmp_path / "parts", nets=blobs.nets(bias=25.0), **how) == rows


def test_on_request_an_ill_training_stops_saved_and_goes_on_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = {"optimisation": CALM, "steps": 30}
    whole = blobs.nets(bias=25.0)
    rows = findings(tmp_path / "whole", nets=whole, **how)
    assert capsys.readouterr().err.count("test: discriminator saturated since step 1 (") == 1
    for stopped_at in (10, 11):  # and again, while nothing is done about it
        with pytest.raises(UnhealthyError) as caught:
            findings(tmp_path / "parts", nets=blobs.nets(bias=25.0), stops_unhealthy=True, **how)
        text = str(caught.value)
        assert text.startswith(
            f"step {stopped_at}, discriminator: saturated since step 1 (100% of its "
        )
        assert text.endswith("; on_unhealthy=warn goes on from here") and "\n" not in text
        assert load_state(tmp_path / "parts" / "state.pt")["step"] == stopped_at
    parts = blobs.nets(bias=25.0)
    assert findings(tmp_path / "parts", nets=parts, **how) == rows
    for name, tensor in toy.weights(parts).items():
        assert torch.equal(tensor, toy.weights(whole)[name]), name


def test_an_ill_training_that_stopped_has_time_to_recover_at_other_rates(tmp_path: Path) -> None:
    how: dict[str, Any] = {"steps": 30, "stops_unhealthy": True}
    for lr, stopped_at in ((1e-3, 10), (1e-4, 20), (1e-4, 21)):
        calm = Optimisation(lr=lr, decay_from=1.0)
        with pytest.raises(UnhealthyError, match=f"^step {stopped_at}, discriminator: saturated"):
            findings(tmp_path, nets=blobs.nets(bias=25.0), optimisation=calm, **how)


def test_values_that_are_not_finite_are_of_the_same_kind() -> None:
    assert issubclass(DivergedError, UnhealthyError)
