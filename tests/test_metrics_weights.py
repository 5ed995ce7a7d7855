"""Files of feature networks' weights: found, refused by name, and never executed."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn
from toymetrics import random_inception_file

from gancompress.errors import MetricError
from gancompress.metrics.features import Inception, load_features
from gancompress.metrics.weights import INCEPTION_VARIABLE


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_inception_file(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def inception(inception_file: Path) -> Inception:
    return Inception(inception_file)


class _Offender:
    """Runs `touch` when unpickled without restraint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def _truncated(good: Path, bad: Path) -> None:
    bad.write_bytes(good.read_bytes()[:100_000])


def _empty(_good: Path, bad: Path) -> None:
    bad.write_bytes(b"")


def _garbage(_good: Path, bad: Path) -> None:
    bad.write_bytes(np.random.default_rng(0).bytes(5000))


def _page(_good: Path, bad: Path) -> None:
    bad.write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>")


def _code(_good: Path, bad: Path) -> None:
    bad.write_bytes(pickle.dumps(_Offender(bad.with_name("executed")), protocol=2))


def _code_in_zip(_good: Path, bad: Path) -> None:
    torch.save({"weight": _Offender(bad.with_name("executed"))}, bad)


def _list(_good: Path, bad: Path) -> None:
    torch.save([torch.zeros(3)], bad)


def _numbers(_good: Path, bad: Path) -> None:
    torch.save({"weight": 3.0}, bad)


def _other_net(_good: Path, bad: Path) -> None:
    torch.save(nn.Linear(3, 4).state_dict(), bad)


DAMAGES = [_truncated, _empty, _garbage, _page, _code, _code_in_zip, _list, _numbers, _other_net]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_weights_file_is_refused_by_name_and_never_executed(
    damage: Callable[[Path, Path], None], inception_file: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.pth"
    damage(inception_file, bad)
    with pytest.raises(MetricError, match=r"bad\.pth: (truncated|holds no named|not the weights)"):
        load_features("inception", {"inception": str(bad)})
    assert not (tmp_path / "executed").exists()


def test_a_missing_weights_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match=r"nowhere\.pth: no such file"):
        Inception(tmp_path / "nowhere.pth")


def test_the_environment_names_the_weights_unless_the_caller_does(
    inception: Inception, inception_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INCEPTION_VARIABLE, str(inception_file))
    assert load_features("inception", {}).identity == inception.identity
    with pytest.raises(MetricError, match=r"asked\.pth: no such file"):
        load_features("inception", {"inception": str(tmp_path / "asked.pth")})


def test_without_network_the_three_ways_to_the_weights_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_settings: object) -> None:
        raise URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.delenv(INCEPTION_VARIABLE, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(MetricError) as caught:
        load_features("inception", {"inception": None})
    message = str(caught.value)
    assert "pt_inception-2015-12-05-6726825d.pth cannot be fetched" in message
    assert "connect to the network once" in message
    assert "metrics.inception_weights" in message
    assert INCEPTION_VARIABLE in message
    assert "\n" not in message


def test_the_download_is_checked_and_kept(
    inception: Inception,
    inception_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str | None]] = []

    def fetch(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
        asked.append((url, hash_prefix))
        Path(dst).write_bytes(inception_file.read_bytes())

    monkeypatch.delenv(INCEPTION_VARIABLE, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    for _ in range(2):
        assert Inception().identity == inception.identity
    assert [prefix for _, prefix in asked] == ["6726825d"]
    assert asked[0][0].endswith("/pt_inception-2015-12-05-6726825d.pth")
