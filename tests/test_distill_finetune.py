"""One generator of a supernet, trained alone: where it begins, what teaches it, how it resumes.

What only the slow tests prove: that supernets of one operator and one split begin so too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import toytraining as toy
from torch import Tensor, nn

import conformance
from gancompress.archs.arch import Arch
from gancompress.distill.finetune import narrowed_adapters, supernet_of_one, train_alone
from gancompress.distill.hooks import adapters
from gancompress.distill.supernet import Teacher
from gancompress.errors import ArchError, CheckpointError
from gancompress.nets.families import family_of
from gancompress.storage.metricslog import MetricsLog
from gancompress.supernet.supernet import Supernet, named_tensors
from gancompress.training.steps import Optimisation, Training

FAMILY = family_of("resnet", blocks=1)


@pytest.mark.parametrize("case", [conformance.marked(case) for case in conformance.cases()])
def test_a_supernet_of_one_arch_answers_as_the_large_one_to_the_last_bit(
    case: conformance.Case,
) -> None:
    x = case.images()
    for arch in case.archs(3, seed=5):
        large = case.supernet().eval()
        alone = supernet_of_one(large, case.build, arch)
        assert alone.space.size == 1
        with torch.no_grad():
            assert torch.equal(alone.eval()(arch, x), large(arch, x)), arch.key
        kept = dict(named_tensors(large.extract(arch)))
        for name, tensor in named_tensors(alone.extract(arch)):
            assert torch.equal(tensor, kept[name]), name
        with torch.no_grad():
            assert torch.equal(alone.train()(arch, x), large.train()(arch, x)), arch.key


def test_an_arch_that_the_supernet_does_not_hold_is_refused() -> None:
    supernet = toy.distillation_nets()["generator"]
    assert isinstance(supernet, Supernet)
    with pytest.raises(ArchError, match="stem.width=7 is not allowed"):
        supernet_of_one(supernet, FAMILY.build, FAMILY.uniform(7))


def test_narrowed_adapters_map_narrow_features_as_the_trained_ones() -> None:
    trained = adapters([12, 9], [10, 20])
    for parameter in trained.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    narrow = narrowed_adapters(dict(named_tensors(trained)), [8, 9])
    assert [tuple(p.shape) for p in narrow.parameters()] == [(10, 8), (20, 9)]
    for channels, ours, theirs in zip((8, 9), narrow, trained, strict=True):
        x = torch.randn(2, channels, 3, 3)
        assert torch.equal(ours(x), theirs(x))


class Toys:
    """A trained supernet of widths 2..4, its teacher, discriminator and adapters."""

    def __init__(self) -> None:
        nets = toy.distillation_nets()
        supernet, teacher = nets["generator"], nets["teacher"]
        assert isinstance(supernet, Supernet)
        self.supernet = supernet
        named = {n: t.detach().clone() for n, t in named_tensors(teacher)}
        self.teacher = Teacher(FAMILY.uniform(5), {"generator": named})
        self.trained = {n: dict(named_tensors(nets[n])) for n in ("discriminator", "adapters")}

    @property
    def arch(self) -> Arch:
        return self.supernet.space.smallest.replace({"stem.width": 3})

    def train(
        self,
        folder: Path,
        *,
        steps: int,
        feed: Any = toy.batches,
        losses: Mapping[str, float] | None = None,
        lr: float = 2e-3,
    ) -> nn.Module:
        how = Training(
            steps=steps,
            optimisation=Optimisation(lr=lr, ema=0.5),
            seed=7,
            device=torch.device("cpu"),
            precision="float32",
            state_path=folder / "state.pt",
            log=MetricsLog(folder / "metrics.jsonl"),
            log_every=5,
            save_seconds=0.0,
        )
        return train_alone(
            toy.TASK,
            self.supernet,
            self.arch,
            FAMILY.build,
            self.teacher,
            trained=self.trained,
            batches=feed,
            how=how,
            losses=losses or toy.LOSSES,
            reference="both",
            layers=FAMILY.distilled_layers(),
            input_shape=(3, 16, 16),
        )


def tensors(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in named_tensors(net)}


def assert_same(ours: nn.Module, theirs: nn.Module) -> None:
    found, wanted = tensors(ours), tensors(theirs)
    assert found.keys() == wanted.keys()
    assert [name for name, t in found.items() if not torch.equal(t, wanted[name])] == []


def test_without_a_step_it_is_the_subnet(tmp_path: Path) -> None:
    toys = Toys()
    assert_same(toys.train(tmp_path, steps=0), toys.supernet.eval().extract(toys.arch))


def test_training_moves_the_copy_alone(tmp_path: Path) -> None:
    toys = Toys()
    before = {n: t.clone() for n, t in toys.supernet.shared.items()}
    beside = {f"{n}.{k}": t.clone() for n, ts in toys.trained.items() for k, t in ts.items()}
    net = toys.train(tmp_path, steps=2)
    start = tensors(toys.supernet.extract(toys.arch))
    moved = [name for name, tensor in tensors(net).items() if not torch.equal(tensor, start[name])]
    assert len(moved) > 0.9 * len(start)
    assert all(torch.equal(t, before[n]) for n, t in toys.supernet.shared.items())
    for name, found in toys.trained.items():
        assert all(torch.equal(tensor, beside[f"{name}.{k}"]) for k, tensor in found.items())
    assert not net.training


def test_discriminators_go_on_from_those_of_the_supernet(tmp_path: Path) -> None:
    """Another discriminator shows in the adversarial loss of the very first step."""
    rows = []
    for name, offset in (("one", 0.0), ("other", 0.1)):
        toys = Toys()
        for tensor in toys.trained["discriminator"].values():
            tensor.data.add_(offset)
        toys.train(tmp_path / name, steps=1)
        rows.append(MetricsLog(tmp_path / name / "metrics.jsonl").rows()[0])
    assert rows[0]["gan"] != rows[1]["gan"] and rows[0]["discriminator"] != rows[1]["discriminator"]
    assert rows[0]["l1"] == rows[1]["l1"]


def test_a_discriminator_of_another_shape_is_refused(tmp_path: Path) -> None:
    toys = Toys()
    name = next(iter(toys.trained["discriminator"]))
    toys.trained["discriminator"][name] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=f"^discriminator: tensor {name} is"):
        toys.train(tmp_path, steps=1)


def test_thirty_steps_lower_the_loss(tmp_path: Path) -> None:
    Toys().train(tmp_path, steps=30, losses={"features": 1.0, "l1": 1.0}, lr=2e-2)
    rows = MetricsLog(tmp_path / "metrics.jsonl").rows()
    assert rows[-1]["features"] < 0.8 * rows[0]["features"]
    assert rows[-1]["l1"] < rows[0]["l1"]


def test_a_stopped_training_ends_with_the_bytes_of_an_unstopped_one(tmp_path: Path) -> None:
    whole = Toys().train(tmp_path / "whole", steps=6)
    with pytest.raises(KeyboardInterrupt):
        Toys().train(tmp_path / "cut", steps=6, feed=toy.Interrupting(3))
    assert (tmp_path / "cut" / "state.pt").exists()
    assert_same(Toys().train(tmp_path / "cut", steps=6), whole)
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut")]
    assert logs[0] == logs[1]
