"""The training loop: the same weights however often it is stopped, and as a plain loop makes."""

import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
import toytraining as toy
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import CheckpointError, DivergedError, GanCompressError
from gancompress.interrupts import Terminated
from gancompress.storage.checkpoint import load_state
from gancompress.storage.metricslog import MetricsLog
from gancompress.tasks.base import Batch, Phase, Step, Task
from gancompress.tasks.options import Pix2PixOptions
from gancompress.tasks.pix2pix import Pix2Pix
from gancompress.training.steps import Optimisation, step_rng

STEPS = 7


def rows(folder: Path) -> list[dict[str, float]]:
    return MetricsLog(folder / "metrics.jsonl").rows()


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


KINDS = {
    "pix2pix": (lambda: toy.TASK, lambda: toy.pix2pix_nets(dropout=0.5)),
    "distillation": (lambda: toy.distillation("sandwich", "both"), toy.distillation_nets),
}


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_training_resumes_to_the_same_bytes_and_rows(
    kind: str, sign: signal.Signals, tmp_path: Path
) -> None:
    make_task, make_nets = KINDS[kind]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = make_nets()
    toy.train(make_task(), expected, whole, steps=STEPS)
    for stop in (2, 5):  # the second in the middle of a logged window
        with pytest.raises(KeyboardInterrupt) as stopped:
            feed = toy.Interrupting(stop, sign)
            toy.train(make_task(), make_nets(), parts, steps=STEPS, feed=feed, save_seconds=1e9)
        assert isinstance(stopped.value, Terminated) == (sign == signal.SIGTERM)
        assert load_state(parts / "state.pt")["step"] == stop + 1  # the step was finished
    nets = make_nets()
    toy.train(make_task(), nets, parts, steps=STEPS)
    assert_same(toy.weights(nets), toy.weights(expected))
    assert rows(parts) == rows(whole)


def test_killed_training_resumes_to_the_same_bytes_and_rows(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = toy.pix2pix_nets()
    toy.train(toy.TASK, expected, whole, steps=STEPS)
    dead = subprocess.run([sys.executable, toy.__file__, str(parts)], capture_output=True)
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    assert load_state(parts / "state.pt")["step"] == 4
    nets = toy.pix2pix_nets()
    toy.train(toy.TASK, nets, parts, steps=STEPS)
    assert_same(toy.weights(nets), toy.weights(expected))
    assert rows(parts) == rows(whole)


def test_signals_mean_what_they_meant_before_training(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    toy.train(toy.TASK, toy.pix2pix_nets(), tmp_path, steps=1)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_training_runs_outside_the_main_thread(tmp_path: Path) -> None:
    threaded, plain = toy.pix2pix_nets(), toy.pix2pix_nets()
    work = threading.Thread(
        target=toy.train, args=(toy.TASK, threaded, tmp_path / "a"), kwargs={"steps": 2}
    )
    work.start()
    work.join()
    toy.train(toy.TASK, plain, tmp_path / "b", steps=2)
    assert_same(toy.weights(threaded), toy.weights(plain))


def plain_loop(steps: int, rates: list[float], ema: float) -> dict[str, nn.Module]:
    """Pix2pix written out: the loop that `fit` must equal (Isola et al. 2017)."""
    nets = toy.pix2pix_nets()
    g, d = nets["generator"], nets["discriminator"]
    opt_g = torch.optim.Adam(g.parameters(), betas=(0.4, 0.99), foreach=False)
    opt_d = torch.optim.Adam(d.parameters(), betas=(0.4, 0.99), foreach=False)
    averaged = [p.detach().clone() for p in g.parameters()]
    for step in range(steps):
        a, b = toy.batch_at(step).values()
        opt_g.param_groups[0]["lr"], opt_d.param_groups[0]["lr"] = rates[step], rates[step] / 2
        fake = g(a)
        opt_g.zero_grad()
        (100 * (fake - b).abs().mean() - d(torch.cat((a, fake), 1)).mean()).backward()
        opt_g.step()
        opt_d.zero_grad()
        real_loss = F.relu(1 - d(torch.cat((a, b), 1))).mean()
        fake_loss = F.relu(1 + d(torch.cat((a, fake.detach()), 1))).mean()
        (real_loss / 2 + fake_loss / 2).backward()
        opt_d.step()
        pairs = zip(averaged, g.parameters(), strict=True)
        averaged = [ema * m + (1 - ema) * p.detach() for m, p in pairs]
    if ema:
        for parameter, mean in zip(g.parameters(), averaged, strict=True):
            parameter.data.copy_(mean)
    return nets


@pytest.mark.parametrize("ema", [0.0, 0.75])
def test_fit_equals_a_plain_loop(ema: float, tmp_path: Path) -> None:
    nets = toy.pix2pix_nets()
    how = Optimisation(
        lr=4e-3, lr_discriminator=2e-3, beta1=0.4, beta2=0.99, decay_from=0.5, ema=ema
    )
    toy.train(toy.TASK, nets, tmp_path, steps=4, optimisation=how)
    # constant for two of the four steps, then falling linearly to zero at the end
    expected = plain_loop(4, [4e-3, 4e-3, 4e-3, 2e-3], ema)
    found, begun = toy.weights(nets), toy.weights(toy.pix2pix_nets())
    compared = [n for n, t in found.items() if t.dim() > 1 or n == "generator.head.bias"]
    assert len(compared) == 12  # not the biases before a norm: Adam blows up their rounding errors
    for name in compared:
        torch.testing.assert_close(found[name], toy.weights(expected)[name], rtol=0, atol=1e-6)
        assert (found[name] - begun[name]).abs().max() > 1e-3


def test_learning_rate_rises_is_constant_then_falls_linearly_to_zero() -> None:
    how = Optimisation(lr=8.0, lr_discriminator=4.0, decay_from=0.6)
    rates = [how.rate("generator", step, 10) for step in range(11)]
    assert rates == pytest.approx([8, 8, 8, 8, 8, 8, 8, 6, 4, 2, 0])
    assert how.rate("discriminator", 8, 10) == pytest.approx(2)
    rising = Optimisation(lr=8.0, decay_from=0.6, warmup=0.4)
    rates = [rising.rate("generator", step, 10) for step in range(11)]
    assert rates == pytest.approx([2, 4, 6, 8, 8, 8, 8, 6, 4, 2, 0])
    assert Optimisation(lr=8.0).rate("discriminator", 0, 10) == 8
    assert Optimisation(lr=8.0, decay_from=0.0).rate("generator", 5, 10) == pytest.approx(4)
    assert Optimisation(lr=8.0, decay_from=1.0).rate("generator", 9, 10) == 8


class Recording(Task):
    """Pix2pix that keeps, for every call of `losses`, who is trained and all weights just then."""

    target = "generator"
    phases: tuple[Phase, ...] = ()

    def __init__(self, every: int = 1) -> None:
        self.phases = (
            Phase("generator", ("generator",)),
            Phase("discriminator", ("discriminator",), every),
        )
        self.calls: list[tuple[int, str, set[str], dict[str, Tensor]]] = []

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        trained = {n for n in nets for p in nets[n].parameters() if p.requires_grad}
        self.calls.append((step.index, phase, trained, toy.weights(nets)))
        return toy.TASK.losses(nets, batch, phase, step)


def test_a_phase_trains_its_networks_alone(tmp_path: Path) -> None:
    task = Recording()
    toy.train(task, toy.pix2pix_nets(), tmp_path, steps=3)
    phases = "generator", "discriminator"
    assert [call[:2] for call in task.calls] == [(i, p) for i in range(3) for p in phases]
    for (_, phase, trained, before), (*_, after) in itertools.pairwise(task.calls):
        moved = {n.split(".")[0] for n, t in before.items() if not torch.equal(t, after[n])}
        assert trained == moved == {phase}


def test_a_phase_runs_every_so_many_steps_and_logs_the_mean_of_its_runs(tmp_path: Path) -> None:
    task = Recording(every=3)
    toy.train(task, toy.pix2pix_nets(), tmp_path / "a", steps=6, log_every=6)
    assert [call[0] for call in task.calls if call[1] == "discriminator"] == [0, 3]
    toy.train(Recording(), toy.pix2pix_nets(), tmp_path / "b", steps=1, log_every=1)
    (row,), (first,) = rows(tmp_path / "a"), rows(tmp_path / "b")
    assert row["discriminator"] == pytest.approx(
        first["discriminator"], rel=0.5
    )  # not a third of it


def test_metrics_rows_are_means_over_their_steps(tmp_path: Path) -> None:
    toy.train(toy.TASK, toy.pix2pix_nets(), tmp_path / "one", steps=5, log_every=1)
    toy.train(toy.TASK, toy.pix2pix_nets(), tmp_path / "two", steps=5, log_every=2)
    single, paired = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert [row["step"] for row in paired] == [2, 4, 5]
    for name in ("l1", "gan", "discriminator"):
        means = [(single[0][name] + single[1][name]) / 2, (single[2][name] + single[3][name]) / 2]
        assert [row[name] for row in paired] == pytest.approx([*means, single[4][name]], rel=1e-5)


def spoiled(step: int) -> object:
    def feed(start: int) -> Iterator[dict[str, Tensor]]:
        for index, batch in enumerate(toy.batches(start), start):
            if index == step:
                batch["target"][0, 0, 0, 0] = float("nan")
            yield batch

    return feed


def test_nan_in_a_batch_stops_and_keeps_the_state_from_before(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = toy.pix2pix_nets()
    toy.train(toy.TASK, expected, whole, steps=STEPS)
    with pytest.raises(DivergedError) as caught:
        toy.train(toy.TASK, toy.pix2pix_nets(), parts, steps=STEPS, feed=spoiled(3))
    assert str(caught.value).startswith("step 3, generator: the loss is not finite (gan ")
    assert str(caught.value).endswith(
        "l1 nan); give the same command again with a lower test.lr (now 0.002) and "
        "test.lr_discriminator "
        "(now 0.001); if it ends so again, what was saved is too far gone: begin anew with that, "
        "gancompress test … --redo"
    )
    assert load_state(parts / "state.pt")["step"] == 3
    nets = toy.pix2pix_nets()
    toy.train(toy.TASK, nets, parts, steps=STEPS)
    assert_same(toy.weights(nets), toy.weights(expected))


def test_rows_after_the_saved_state_are_written_anew(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    toy.train(toy.TASK, toy.pix2pix_nets(), whole, steps=STEPS)
    with pytest.raises(KeyboardInterrupt):
        toy.train(toy.TASK, toy.pix2pix_nets(), parts, steps=STEPS, feed=toy.Interrupting(1))
    with pytest.raises(DivergedError):
        feed = spoiled(5)
        toy.train(toy.TASK, toy.pix2pix_nets(), parts, steps=STEPS, feed=feed, save_seconds=1e9)
    assert [row["step"] for row in rows(parts)] == [2, 4]
    assert load_state(parts / "state.pt")["step"] == 2
    toy.train(toy.TASK, toy.pix2pix_nets(), parts, steps=STEPS)
    assert rows(parts) == rows(whole)


class Alone(Task):
    """One network, one phase; `power` 0.5 has an infinite slope where its base is 0."""

    target = "net"
    phases = (Phase("turn", ("net",)),)

    def __init__(self, power: float = 2.0) -> None:
        self.power = power

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        base = nets["net"](batch["input"]).abs().mean() * (0.0 if self.power < 1 else 1.0)
        return {"loss": base.pow(self.power)}


def test_a_gradient_that_is_not_finite_stops_before_it_is_applied(tmp_path: Path) -> None:
    nets = {"net": nn.Conv2d(3, 1, 1)}
    before = toy.weights(nets)
    with pytest.raises(DivergedError, match="^step 0, turn: a gradient is not finite; give the "):
        toy.train(Alone(0.5), nets, tmp_path, steps=2)
    assert_same(toy.weights(nets), before)


def test_averaged_weights_keep_no_history_when_the_target_trains_last(tmp_path: Path) -> None:
    nets = {"net": nn.Conv2d(3, 1, 1)}
    toy.train(Alone(), nets, tmp_path, steps=3, optimisation=Optimisation(ema=0.5))
    assert not any(t.requires_grad for t in load_state(tmp_path / "state.pt")["averaged"])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains_close_to_float32(precision: str, tmp_path: Path) -> None:
    plain, mixed = toy.pix2pix_nets(), toy.pix2pix_nets()
    toy.train(toy.TASK, plain, tmp_path / "a", steps=3)
    toy.train(toy.TASK, mixed, tmp_path / "b", steps=3, precision=precision)
    assert {p.dtype for net in mixed.values() for p in net.parameters()} == {torch.float32}
    first, second = rows(tmp_path / "a")[-1], rows(tmp_path / "b")[-1]
    assert second["l1"] == pytest.approx(first["l1"], rel=0.05) and second != first


def test_state_of_another_training_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        toy.train(toy.TASK, toy.pix2pix_nets(), tmp_path, steps=5, feed=toy.Interrupting(1))
    wider = Pix2Pix(Pix2PixOptions(discriminator_width=3, discriminator_layers=1))
    with pytest.raises(CheckpointError) as caught:
        toy.train(wider, toy.pix2pix_nets(task=wider), tmp_path, steps=5)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'state.pt'}: does not fit this training (")
    assert text.endswith("); delete it to begin this stage anew") and "\n" not in text


def test_too_few_batches_are_not_taken_for_a_finished_training(tmp_path: Path) -> None:
    with pytest.raises((AssertionError, GanCompressError)):
        toy.train(
            toy.TASK, toy.pix2pix_nets(), tmp_path, steps=5,
            feed=lambda start: [toy.batch_at(i) for i in range(start, 3)],
        )  # fmt: skip


def test_step_rng_depends_on_seed_and_step_alone() -> None:
    draw = step_rng(3, 5).random()
    assert draw == step_rng(3, 5).random()
    assert len({draw, step_rng(3, 6).random(), step_rng(4, 5).random()}) == 3
