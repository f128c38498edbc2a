"""A database that is not ours, or cannot be used, is refused with one error and left as it was."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from rewardkit.errors import OutputError, StoreError
from rewardkit.store import labelling_tables  # noqa: F401 - adds its tables to METADATA
from rewardkit.store.schema import HEAD, alembic_config
from rewardkit.store.store import Store
from rewardkit.store.tables import METADATA, VERSION_TABLE
from rewardkit.types import Prompt


def test_the_migrations_build_the_tables(database_url: str) -> None:
    with Store.open(database_url) as store, store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []


def test_the_newest_migration_is_the_head() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == HEAD


def test_sqlite_is_durable(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store, store.writing() as connection:
        pragma = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}
    assert pragma == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_writers_take_the_lock_before_they_read(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store, store.writing():
        with closing(sqlite3.connect(tmp_path / "a.db", timeout=0, isolation_level=None)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")


def test_a_newer_database_is_refused(database_url: str) -> None:
    with Store.open(database_url) as store, store.writing() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer rewardkit") as caught:
        Store.open(database_url)
    assert "9999" in str(caught.value) and "pip install" in caught.value.fix


def test_a_database_of_another_program_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program.*recipes"):
        Store.open(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.postgres
def test_a_server_database_of_another_program_is_refused(postgres: Any) -> None:
    with postgres.database() as url:
        engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE recipes (name TEXT)"))
        engine.dispose()
        with pytest.raises(StoreError, match="another program.*recipes"):
            Store.open(url)


def test_a_file_that_is_no_database_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("buy milk, and write the report " * 100)
    with pytest.raises(StoreError, match="no database"):
        Store.open(path)
    assert path.read_text() == "buy milk, and write the report " * 100


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    Store.open(path).close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises((StoreError, OutputError)):
        with Store.open(path) as store:
            list(store.prompts())


@pytest.mark.parametrize("empty", [True, False])
def test_a_missing_database_is_made_only_where_it_may_be(tmp_path: Path, empty: bool) -> None:
    path = tmp_path / "folder" / "a.db"
    if empty:
        path.parent.mkdir()
        path.touch()
    with pytest.raises(StoreError, match="no database here"):
        Store.open(path, create=False)
    assert path.exists() == empty
    Store.open(path).close()
    Store.open(path, create=False).close()


def test_an_empty_database_is_filled_only_where_it_may_be(database_url: str) -> None:
    if "://" not in database_url:
        # What a process leaves that is killed before the tables are there: a file, and no table in it.
        with closing(sqlite3.connect(database_url)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA user_version=1")
        assert Path(database_url).stat().st_size
    for _ in range(2):
        with pytest.raises(StoreError, match="no database here") as caught:
            Store.open(database_url, create=False)
        assert "rewardkit import" in caught.value.fix
    Store.open(database_url).close()
    Store.open(database_url, create=False).close()


@pytest.fixture
def member(postgres: Any) -> Iterator[tuple[Any, str]]:
    """A connection of the administrator, and the URL of a user with no rights but to connect."""
    import psycopg

    with postgres.database() as url:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            admin.execute("CREATE ROLE member LOGIN")
            yield admin, url.replace("postgres@", "member@")
            admin.execute("DROP OWNED BY member")
            admin.execute("DROP ROLE member")


@pytest.mark.postgres
def test_a_server_that_denies_the_tables_is_an_output_error(member: tuple[Any, str]) -> None:
    admin, url = member
    with pytest.raises(OutputError, match="permission denied for schema public") as caught:
        Store.open(url)
    assert "member@" in caught.value.where and "GRANT" in caught.value.fix
    admin.execute("GRANT CREATE ON SCHEMA public TO member")
    Store.open(url).close()


@pytest.mark.postgres
def test_a_server_that_denies_rows_is_an_output_error(member: tuple[Any, str]) -> None:
    admin, url = member
    Store.open(url.replace("member@", "postgres@")).close()
    with pytest.raises(OutputError, match="permission denied for table"):
        Store.open(url)
    admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO member")
    with Store.open(url, create=False) as store:
        assert list(store.prompts()) == []
        with pytest.raises(OutputError, match="permission denied for table prompts"):
            store.add([Prompt.of(())])
    admin.execute("GRANT INSERT ON ALL TABLES IN SCHEMA public TO member")
    admin.execute("ALTER ROLE member SET default_transaction_read_only = on")
    with Store.open(url) as store, pytest.raises(OutputError, match="read-only transaction"):
        store.add([Prompt.of(())])


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="folder"):
        Store.open(tmp_path)


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        Store.open(tmp_path / "file" / "a.db")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write: /proc")
def test_a_folder_that_refuses_files_is_an_output_error() -> None:
    with pytest.raises(OutputError):
        Store.open("/proc/self/rewardkit.db")


def test_an_unreachable_server_is_a_store_error_without_the_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        Store.open("postgresql://ann:secret@127.0.0.1:9/none")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://localhost/x", "postgresql://host:notaport/x"])
def test_a_url_that_cannot_be_used_is_a_store_error(url: str) -> None:
    with pytest.raises(StoreError):
        Store.open(url)


def test_a_missing_driver_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from rewardkit.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match="psycopg"):
        Store.open("postgresql://localhost/x")


def test_a_url_of_a_file_is_that_file(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path}/a.db").close()
    assert (tmp_path / "a.db").stat().st_size
    shutil.copy(tmp_path / "a.db", tmp_path / "b.db")
    Store.open(tmp_path / "b.db", create=False).close()
