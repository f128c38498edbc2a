"""From a file or a URL to an SQLAlchemy engine with transactions that hold.

SQLite runs in WAL mode with synchronous=FULL, and writers begin with BEGIN IMMEDIATE: the driver's own
transactions would begin at the first write, after a decision has been read. Readers begin deferred, so
that they never wait for a writer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError

from rewardkit.errors import DataError, NoDatabaseError, OutputError, StoreError, UserError
from rewardkit.extras import require
from rewardkit.paths import looked_in
from rewardkit.runs import make_folder
from rewardkit.store.tables import VERSION_TABLE

LOCK_SECONDS = 60.0
CONNECT_SECONDS = 10
# PostgreSQL's insufficient_privilege and read_only_sql_transaction.
DENIED = ("42501", "25006")
PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA cache_size=-65536",
    # Checkpoints copy pages into the file; fewer of them write a page that many rows share less often.
    "PRAGMA wal_autocheckpoint=131072",
)

SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite appends to a database's name for the files that it keeps beside it."""


def create_engine(target: str | Path, *, create: bool) -> tuple[Engine, str]:
    """Return an engine for a file or a URL, and the name by which errors call it.

    Args:
        target: A file, or a URL (`sqlite:///FILE`, `postgresql://…`).
        create: Whether a file that does not exist is made.

    Raises:
        NoDatabaseError: The file is missing or empty, and may not be made.
        StoreError: The URL cannot be used, or the file is not a rewardkit database.
        OutputError: The folder or file cannot be written.
        MissingExtraError: The driver for PostgreSQL is not installed.
    """
    url = _url(target)
    if url.get_backend_name() == "postgresql":
        require("psycopg", "postgres")
        return _postgres(url), url.render_as_string(hide_password=True)
    path = Path(url.database or "")
    _prepare_file(path, create=create)
    return _sqlite(path), str(path)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that only reads, and waits for no writer."""
    with engine.connect().execution_options(rewardkit_begin="BEGIN") as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine, *, complete: bool = False) -> Iterator[Connection]:
    """Open a transaction that writes.

    Args:
        engine: The database.
        complete: Foreign keys are known to hold, and SQLite does not look them up.
    """
    with engine.connect().execution_options(rewardkit_checked=not complete) as connection, connection.begin():
        yield connection


@contextmanager
def classified(where: str) -> Iterator[None]:
    """Turn a database's refusal into the error that tells the user what to do.

    Raises:
        OutputError: The place is full or may not be written, or the server denies the right to it.
        DataError: A value cannot be stored, or a record names one that is not there.
        StoreError: The database cannot be reached, is locked or damaged.
    """
    try:
        yield
    except sa.exc.IntegrityError as error:
        raise DataError(
            f"a record names another that is not in the store ({_first_line(error)})",
            where=where,
            expected="prompts before responses, responses before comparisons, annotators before labels",
        ) from error
    except (sa.exc.DataError, UnicodeEncodeError) as error:
        raise DataError(
            f"a record holds text that cannot be stored ({_first_line(error)})", where=where, expected="valid Unicode"
        ) from error
    except (OperationalError, InterfaceError) as error:
        raise _refusal(error, where) from error
    except DatabaseError as error:
        if getattr(error.orig, "sqlstate", None) in DENIED:
            raise _denied(error, where) from error
        # SQLite reports damage with the base class; its subclasses are bugs of ours.
        if type(error) is not DatabaseError:
            raise
        raise StoreError(
            f"the database cannot be read ({_first_line(error)})", where=where, fix="restore the file from a backup"
        ) from error


def _url(target: str | Path) -> URL:
    text = str(target)
    if isinstance(target, Path) or "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StoreError("the database URL cannot be read", expected="postgresql://USER@HOST/NAME or a file") from error
    drivers = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    name = url.drivername.split("+")[0]
    if name not in drivers:
        raise StoreError(f"databases of the kind {name!r} are not supported", expected="a file, or postgresql://…")
    return url.set(drivername=drivers[name])


def _prepare_file(path: Path, *, create: bool) -> None:
    """Refuse what is not ours before anything is changed; make the folder for a new file."""
    if path.is_dir() or not path.name:
        raise StoreError("the database is a folder", where=str(path), expected="a file, such as rewardkit.db")
    if path.exists() and path.stat().st_size:
        _refuse_foreign(path)
    elif not create:
        raise no_database(str(path))
    else:
        make_folder(path.parent)


def no_database(where: str) -> NoDatabaseError:
    """Return the error for a place at which nothing has been stored yet."""
    looked = "" if "://" in where else looked_in(where)
    fix = f"import something first: rewardkit import, or rewardkit run where the config imports{looked}"
    return NoDatabaseError("there is no database here", where=where, fix=fix)


def _refuse_foreign(path: Path) -> None:
    # Looked at without our pragmas: switching another program's file to WAL would change it.
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError as error:
        raise OutputError(
            f"the database cannot be opened ({error})", where=str(path), fix="check who may read and write the file"
        ) from error
    except sqlite3.DatabaseError as error:
        raise _foreign(str(path), f"the file is no database ({error})") from error
    refuse_other_tables(names, str(path))


def refuse_other_tables(names: set[str], where: str) -> None:
    """Refuse a database that holds tables, and not ours.

    Raises:
        StoreError: It belongs to another program.
    """
    if names and VERSION_TABLE not in names:
        raise _foreign(where, f"the database belongs to another program (its tables: {', '.join(sorted(names)[:5])})")


def _foreign(where: str, what: str) -> StoreError:
    return StoreError(
        what,
        where=where,
        expected="a database made by rewardkit, an empty one, or a name that does not exist yet",
        fix="give another file or URL",
    )


def _sqlite(path: Path) -> Engine:
    engine = sa.create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": LOCK_SECONDS},
        json_deserializer=orjson.loads,
    )
    sa.event.listen(engine, "connect", _set_pragmas)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: Any, _: object) -> None:
    connection.isolation_level = None
    for pragma in PRAGMAS:
        connection.execute(pragma).close()


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    # Only between transactions can this be set; it is, at every begin, because connections are shared.
    connection.exec_driver_sql(f"PRAGMA foreign_keys={'ON' if options.get('rewardkit_checked', True) else 'OFF'}")
    connection.exec_driver_sql(options.get("rewardkit_begin", "BEGIN IMMEDIATE"))


def _postgres(url: URL) -> Engine:
    timeout = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
    return sa.create_engine(url, connect_args=timeout, json_deserializer=orjson.loads, pool_pre_ping=True)


def _refusal(error: DBAPIError, where: str) -> UserError:
    reason = _first_line(error)
    if any(sign in reason for sign in ("readonly", "disk is full", "unable to open", "No space left", "disk I/O")):
        return OutputError(f"the database cannot be written ({reason})", where=where, fix="choose another place")
    if "locked" in reason:
        return StoreError(
            f"another program has held the database for {LOCK_SECONDS:.0f} seconds",
            where=where,
            fix="wait for it to finish",
        )
    return StoreError(f"the database cannot be reached ({reason})", where=where, fix="check the URL and the server")


def _denied(error: DatabaseError, where: str) -> OutputError:
    return OutputError(
        f"the database denies what is needed ({_first_line(error)})",
        where=where,
        expected="a user who may create tables in the schema, and read and write them",
        fix="ask the server's administrator: GRANT USAGE, CREATE ON SCHEMA public TO the user",
    )


def _first_line(error: DBAPIError | UnicodeEncodeError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
