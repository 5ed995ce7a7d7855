"""What all tests share: one thread, so that they neither fight for cores nor round differently.

And no network: files that npm would fetch have stand-ins.
"""

import sqlite3
from collections.abc import Iterator

import pytest
import sqlalchemy
import torch

from gancompress.export import web
from gancompress.recipe import trust as recipetrust


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


@pytest.fixture
def no_wait_for_the_disk() -> Iterator[None]:
    """For SQLite files: processes are killed in tests, not the machine."""

    def relax(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF").close()

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", relax)
    yield
    sqlalchemy.event.remove(sqlalchemy.Engine, "connect", relax)
