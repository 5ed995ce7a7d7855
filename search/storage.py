"""Where studies are kept: a SQLite file, a database server, or a journal file on a shared disk."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from gancompress.errors import CheckpointError, RecipeError
from gancompress.storage.filelock import FileLock, alone

JOURNAL = "journal:"  # Addresses that begin so name a file.
PATIENCE_SECONDS = 60  # A process waits so long for others to be done with a SQLite file.
TRIES = 5  # to open a database whose tables another worker is making
CONNECT_SECONDS = 10  # until a server counts as out of reach
_CONNECT_ARGS = {  # by SQLAlchemy's name of the driver
    "pysqlite": {"timeout": PATIENCE_SECONDS},
    "psycopg2": {"connect_timeout": CONNECT_SECONDS},
    "psycopg": {"connect_timeout": CONNECT_SECONDS},
    "pymysql": {"connect_timeout": CONNECT_SECONDS},
    "mysqldb": {"connect_timeout": CONNECT_SECONDS},
    "mysqlconnector": {"connection_timeout": CONNECT_SECONDS},
}
STORAGE_ERRORS = (
    sqlalchemy.exc.SQLAlchemyError,
    optuna.exceptions.StorageInternalError,
    ValueError,  # a line of a journal that is no JSON, a value that Optuna cannot read
    LookupError,  # a state, a parameter or an index that it does not know
)
_TABLE, _TABLE_KEY = "trial_user_attributes", "trial_user_attribute_id"  # Optuna's
_HAS_TABLE = f"SELECT 1 FROM sqlite_master WHERE name = '{_TABLE}'"
_VALUES = f"SELECT {_TABLE_KEY}, value_json FROM {_TABLE}"
_DRIVERS = {  # by the same name, what pip calls it
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "mysqldb": "mysqlclient",
    "mysqlconnector": "mysql-connector-python",
}


class Storage:
    """An opened place for studies; a context manager that closes it.

    place: the path of a SQLite file, or an address: `postgresql://…`, `mysql://…`, `sqlite:///…`,
    `journal:FILE`. `label` names it in messages, without a password.

    Raises: CheckpointError if a file is damaged or cannot be written; RecipeError if an address
    makes no sense, cannot be reached, or needs a package that is not here.
    """

    def __init__(self, place: Path | str) -> None:
        self._rdb: RDBStorage | None = None
        if isinstance(place, Path):
            self.label = str(place)
            # An URL object escapes ?, # and % in a path.
            url = sqlalchemy.URL.create("sqlite", database=str(place))
            self.optuna = self._file(place, url)
        elif place.startswith(JOURNAL):
            self.label = place
            self.optuna = _journal(Path(place.removeprefix(JOURNAL)))
        else:
            url = _parsed(place)
            self.label = url.render_as_string(hide_password=True)
            is_file = url.get_backend_name() == "sqlite"
            self.optuna = self._file(Path(url.database or ""), url) if is_file else self._rows(url)

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rdb is not None:
            self._rdb.remove_session()
            self._rdb.engine.dispose()

    def _file(self, path: Path, url: sqlalchemy.URL) -> BaseStorage:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_file(path)
        with file_errors(str(path)), alone(path.with_name(f".{path.name}.lock")):
            return self._opened(url)  # makes the tables

    def _rows(self, url: sqlalchemy.URL) -> BaseStorage:
        where = f"search.storage: {self.label}"
        try:
            for _ in range(TRIES):
                # Of workers that begin at once on an empty database, one makes the tables.
                with suppress(sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
                    return self._opened(url)
                time.sleep(1)
            return self._opened(url)
        except ImportError as error:
            package = _DRIVERS.get(url.get_dialect().driver, error.name or url.drivername)
            raise RecipeError(
                f"{where} needs a driver that is not installed; pip install {package}"
            ) from None
        except STORAGE_ERRORS as error:
            raise RecipeError(
                f"{where}: cannot be reached ({_reason(error)}); check address, user and password, "
                "and that the server runs"
            ) from None

    def _opened(self, url: sqlalchemy.URL) -> BaseStorage:
        driver = url.get_dialect().driver
        self._rdb = RDBStorage(
            url.render_as_string(hide_password=False),
            engine_kwargs={"connect_args": _CONNECT_ARGS.get(driver, {})},
        )
        return optuna.storages.get_storage(self._rdb)  # with a cache of what is finished


def _parsed(address: str) -> sqlalchemy.URL:
    try:
        url = sqlalchemy.make_url(address)
        url.get_dialect()
    except (sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError, ValueError):
        raise RecipeError(
            f"search.storage: found {address.split('@')[-1]!r}; postgresql://USER@HOST/DATABASE, "
            "mysql://USER@HOST/DATABASE or journal:FILE is allowed"
        ) from None
    except ImportError:
        pass  # the driver; said when it is opened
    return url


def _journal(path: Path) -> BaseStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _JournalLock(path.with_name(f".{path.name}.lock"))
        backend = JournalFileBackend(str(path), lock)
        with file_errors(str(path)):
            return JournalStorage(backend)
    except OSError as error:
        raise CheckpointError(
            f"{path}: {(error.strerror or str(error)).lower()}; choose another file"
        ) from None


class _JournalLock(JournalFileOpenLock):
    """Optuna's own locks outlive a killed process for half a minute; this one ends with it."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        return self._lock.acquire(wait=True) is None

    def release(self) -> None:
        self._lock.release()


def _check_file(path: Path) -> None:
    """Raises: CheckpointError if there is a file at `path` that SQLite finds damaged."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE_SECONDS)) as connection:
            connection.text_factory = bytes  # What is damaged need not be UTF-8.
            whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == b"ok"
            finding = "the file is damaged"
            if whole:
                _mend(connection)
    except sqlite3.Error as error:
        whole, finding = False, str(error)
    except UnicodeDecodeError:  # It raises what it found in the file.
        whole, finding = False, "the file is damaged"
    if not whole:
        raise CheckpointError(f"{path}: {finding}; move the file away and search again")


def _mend(connection: sqlite3.Connection) -> None:
    """Makes indices anew that do not fit their tables; deletes values that are no JSON any more.

    A trial that misses a value is measured again. Optuna reads all values at once, and one that it
    cannot read would lose them all.
    """
    if connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != b"ok":
        with connection:
            connection.execute("REINDEX")
    if not connection.execute(_HAS_TABLE).fetchone():
        return
    lost = [(key,) for key, value in connection.execute(_VALUES) if not _is_json(value)]
    if lost:
        with connection:
            connection.executemany(f"DELETE FROM {_TABLE} WHERE {_TABLE_KEY} = ?", lost)


def _is_json(value: object) -> bool:
    try:
        json.loads(value if isinstance(value, bytes) else "")
    except ValueError:  # JSON and UTF-8 errors alike
        return False
    return True


@contextmanager
def file_errors(label: str) -> Iterator[None]:
    """Turns what SQLite, servers, journals and Optuna raise into a CheckpointError."""
    try:
        yield
    except STORAGE_ERRORS as error:
        raise CheckpointError(
            f"{label}: {_reason(error)}; free some space if the disk is full, otherwise move the "
            "file away and search again"
        ) from error


def _reason(error: Exception) -> str:
    """The sentence of SQLite or of the server itself, on one line."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    text = str(getattr(cause, "orig", None) or cause).strip()
    return (text.splitlines() or [type(error).__name__])[0]
