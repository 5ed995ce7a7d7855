"""What all tests share: one thread, so that they neither fight for cores nor round differently.

And no network: files that npm or pip would fetch have stand-ins.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import ncnnfiles
import pytest
import sqlalchemy
import torch

from gancompress.export import web
from gancompress.recipe import trust as recipetrust
from gancompress.teachers import published


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def stand_in_for_the_browsers_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("runtime")
    for name in web.RUNTIME:
        (folder / name).write_text(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(web.VARIABLE, str(folder))
        yield


@pytest.fixture(autouse=True, scope="session")
def no_state_of_the_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(recipetrust.VARIABLE, str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True, scope="session")
def no_teachers_of_the_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """None is fetched either: pip has no network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(published.VARIABLE, str(tmp_path_factory.mktemp("teachers")))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.delenv("PIP_FIND_LINKS", raising=False)
        yield


@pytest.fixture(scope="module")
def toy_teachers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Published teachers are toys in a module that asks for this; the folder of their package."""
    with ncnnfiles.toy_teachers(tmp_path_factory.mktemp("published")) as folder:
        yield folder


@pytest.fixture
def no_wait_for_the_disk() -> Iterator[None]:
    """For SQLite files: processes are killed in tests, not the machine."""

    def relax(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF").close()

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", relax)
    yield
    sqlalchemy.event.remove(sqlalchemy.Engine, "connect", relax)
