"""Files of other projects: what is read from them, and that nothing in them is executed."""

import os
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from foreignnets import read_tensors
from safetensors.torch import save_file
from torch import Tensor, nn

from gancompress.errors import CheckpointError
from gancompress.importers.folding import folded
from gancompress.importers.reading import networks_in

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.steps": torch.tensor(7)}


class Evil:
    """Makes a folder where it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.made),)


def saved(tmp_path: Path, held: object, name: str = "net.pth", **options: Any) -> Path:
    path = tmp_path / name
    torch.save(held, path, **options)
    return path


def assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert list(found) == list(wanted)
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch_are_read_in_both_formats(zipped: bool, tmp_path: Path) -> None:
    path = saved(tmp_path, OrderedDict(STATE), _use_new_zipfile_serialization=zipped)
    assert_equal(read_tensors(path), STATE)
    half = {"w": torch.ones(2, dtype=torch.float16)}
    assert read_tensors(saved(tmp_path, half))["w"].dtype == torch.float32


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "net.safetensors")
    found = read_tensors(tmp_path / "net.safetensors")
    assert_equal(found, dict(sorted(STATE.items())))


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_single_nested_network_is_found(key: str, tmp_path: Path) -> None:
    optimiser = torch.optim.Adam([nn.Parameter(torch.ones(2))]).state_dict()
    path = saved(tmp_path, {"epoch": 3, key: STATE, "optimizer": optimiser})
    assert_equal(read_tensors(path), STATE)


def test_of_several_networks_one_is_chosen_by_its_key(tmp_path: Path) -> None:
    path = saved(tmp_path, {"a": STATE, "b": {"w": torch.ones(1)}})
    assert_equal(read_tensors(path, "a"), STATE)
    assert list(networks_in(path)) == ["a", "b"]
    with pytest.raises(CheckpointError, match="no part 'c'; it has a, b"):
        read_tensors(path, "c")
    with pytest.raises(CheckpointError, match="no part 'c'; it has no parts"):
        read_tensors(saved(tmp_path, STATE), "c")


def test_nested_networks_are_found_by_their_place(tmp_path: Path) -> None:
    optimiser = torch.optim.Adam([weight := nn.Parameter(torch.ones(2))])
    weight.grad = torch.ones(2)
    optimiser.step()
    sharded = {"state": {"a.weight": {"exp_avg": torch.ones(2), "step": torch.tensor(1.0)}}}
    path = saved(
        tmp_path,
        {"epoch": 3, "nets": {"G": STATE, "both": [STATE, {"w": torch.ones(1)}]},
         "optimisers": [optimiser.state_dict(), sharded], "ema": {"decay": 0.9, "shadow": STATE}},
    )  # fmt: skip
    assert list(networks_in(path)) == ["nets.G", "nets.both.0", "nets.both.1", "ema.shadow"]
    for part in ("nets.G", "G", "ema.shadow", "both.0", "nets.both.0"):
        assert_equal(read_tensors(path, part), STATE)
    inner = {"weight": STATE["a.weight"], "steps": STATE["a.steps"]}
    for part in ("nets.G.a", "ema.shadow.a"):  # what the keys of a network begin with
        assert_equal(read_tensors(path, part), inner)
    with pytest.raises(CheckpointError, match="no part 'a'; it has several, nets.G.a, nets.both"):
        networks_in(path, "a")
    assert list(networks_in(saved(tmp_path, STATE), "a")["a"]) == ["weight", "steps"]


def test_what_holds_itself_comes_to_an_end(tmp_path: Path) -> None:
    held: dict[str, Any] = {"state": STATE}
    held["again"] = held
    assert_equal(networks_in(saved(tmp_path, held))["state"], STATE)


def test_prefixes_of_wrappers_go_where_all_keys_have_them(tmp_path: Path) -> None:
    prefixed = {f"module.{key}": value for key, value in STATE.items()}
    assert_equal(read_tensors(saved(tmp_path, prefixed)), STATE)
    both = {f"_orig_mod.module.{key}": value for key, value in STATE.items()}
    assert_equal(read_tensors(saved(tmp_path, both)), STATE)
    inner = {"a._orig_mod.weight": STATE["a.weight"], "a.steps": STATE["a.steps"]}
    assert_equal(read_tensors(saved(tmp_path, inner)), STATE)
    mixed = {**STATE, "module.w": torch.ones(1)}
    assert_equal(read_tensors(saved(tmp_path, mixed)), mixed)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_code_in_a_file_is_refused_and_not_run(zipped: bool, nested: bool, tmp_path: Path) -> None:
    made = tmp_path / "made"
    held = {**STATE, "b": Evil(made)} if nested else Evil(made)
    path = saved(tmp_path, held, _use_new_zipfile_serialization=zipped)
    said = r"net.pth: holds objects other than tensors \((posix|nt|builtins|os)?\.?mkdir\), which"
    with pytest.raises(CheckpointError, match=said):
        read_tensors(path)
    assert not made.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_plain_pickle_is_refused_and_not_run(protocol: int, tmp_path: Path) -> None:
    made, path = tmp_path / "made", tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps(Evil(made), protocol=protocol))
    with pytest.raises(CheckpointError, match="never loaded"):
        read_tensors(path)
    assert not made.exists()
    steps = {step.name: value for step, value, _ in pickletools.genops(path.read_bytes())}
    assert "REDUCE" in steps, "the file would have called a function"


def test_a_whole_network_is_refused_by_its_class(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"\(torch.nn.modules.linear.Linear\).*state_dict"):
        read_tensors(saved(tmp_path, nn.Linear(2, 2)))


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_files_are_refused_wherever_they_end(zipped: bool, tmp_path: Path) -> None:
    path = saved(tmp_path, STATE, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in range(13, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="net.pth: (truncated|holds objects)"):
            read_tensors(path)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ([torch.ones(1)], "holds a list; a state_dict"),
        (torch.ones(1), "holds a Tensor; a state_dict"),
        ({}, "holds nothing where tensors alone"),
        ({"w": torch.ones(1), "epoch": 3}, "holds 'epoch', a int, where tensors alone"),
        ({3: torch.ones(1)}, "holds 3, a Tensor, where tensors alone"),
        ({"w": torch.ones(3).to_sparse()}, "key w is torch.sparse_coo"),
        ({"w": torch.ones(1, dtype=torch.complex64)}, "key w is torch.complex64"),
        ({"w": torch.ones(1).expand(2**40)}, "key w is .* fewer bytes than it has"),
        ({"w": torch.ones(2, device="meta")}, "key w is .* on meta"),
        ({"w": torch.tensor([1.0, torch.nan])}, "key w holds values that are not finite"),
    ],
)
def test_other_content_is_refused(held: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"net.pth: .*{said}"):
        read_tensors(saved(tmp_path, held))


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_tensors(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="a folder; give the file"):
        read_tensors(tmp_path)
    (tmp_path / "net.pth").write_bytes(b"\x80\x02\x8a\xff\x00")
    with pytest.raises(CheckpointError, match="truncated, or holds more than tensors"):
        read_tensors(tmp_path / "net.pth")


def module_of(kind: str) -> nn.Module:
    shape: dict[str, nn.Module] = {
        "conv": nn.Conv2d(3, 5, 3), "square": nn.Conv2d(4, 4, 1), "up": nn.ConvTranspose2d(6, 4, 3),
        "square up": nn.ConvTranspose2d(4, 4, 3), "linear": nn.Linear(4, 3),
    }  # fmt: skip
    return shape[kind]


@pytest.mark.parametrize("kind", ["conv", "square", "up", "square up", "linear"])
@pytest.mark.parametrize(
    "normed", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm]
)
def test_spectral_norm_is_folded_as_torch_evaluates_it(
    normed: Callable[[nn.Module], nn.Module], kind: str
) -> None:
    module = normed(module_of(kind)).train()
    x = torch.rand(2, 4 if kind in ("linear", "square", "square up") else 6 if kind == "up" else 3,
                   *([] if kind == "linear" else [5, 5]))  # fmt: skip
    for _ in range(4):
        module(x)
    module.eval()
    module(x)
    found = folded(module.state_dict(), "net.pth")
    assert sorted(found) == ["bias", "weight"]
    torch.testing.assert_close(found["weight"], module.weight, rtol=1e-6, atol=1e-7)


def test_spectral_norm_of_old_files_takes_the_weight_or_works_v_out() -> None:
    module = nn.utils.spectral_norm(nn.Conv2d(3, 5, 3))
    for _ in range(50):  # until u and v are the singular vectors
        module(torch.rand(1, 3, 5, 5))
    module.eval()
    module(torch.rand(1, 3, 5, 5))
    old = {k: v for k, v in module.state_dict().items() if k != "weight_v"}
    found = folded(old, "net.pth")["weight"]
    torch.testing.assert_close(found, module.weight, rtol=1e-4, atol=1e-5)
    stored = folded({**old, "weight": torch.ones(5, 3, 3, 3)}, "net.pth")
    assert sorted(stored) == ["bias", "weight"] and bool((stored["weight"] == 1).all())


def test_weight_norm_is_folded_as_torch_evaluates_it() -> None:
    module = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 5, 3))
    state = module.state_dict()
    state["parametrizations.weight.original0"] *= 2
    found = folded(state, "net.pth")
    assert sorted(found) == ["bias", "weight"]
    torch.testing.assert_close(found["weight"], module.weight)
    base = "parametrizations.weight.original"
    by_hooks = {"net.weight_g": state[f"{base}0"], "net.weight_v": state[f"{base}1"]}
    assert torch.equal(folded(by_hooks, "net.pth")["net.weight"], found["weight"])


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"a.weight_orig": torch.ones(2, 3)}, "key a.weight_u is missing beside a.weight_orig"),
        ({"a.weight_orig": torch.ones(2, 3), "a.weight_u": torch.ones(5)}, "keys a.weight_orig, "),
        ({"a.weight_orig": torch.ones(2, 3), "a.weight_u": torch.ones(2),
          "a.weight_v": torch.ones(4)}, r"are \(2, 3\), \(2,\), \(4,\)"),
        ({"a.weight_g": torch.ones(2, 1)}, "key a.weight_v is missing beside a.weight_g"),
    ],
)  # fmt: skip
def test_factors_that_do_not_fit_are_named(tensors: dict[str, Tensor], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        folded(tensors, "net.pth")
