"""Brings a database to the schema of this code, or says why it cannot.

What is up to date is only looked at. A change runs in one transaction, so that a process that is killed
in the middle leaves the earlier schema, and two processes that open a new database at once agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from rewardkit.errors import StoreError
from rewardkit.store.engine import no_database, reading, refuse_other_tables
from rewardkit.store.tables import VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0002"
"""The newest migration; a constant, because asking Alembic at every start costs its import."""

# Any number that nobody else locks by: two processes that migrate one database take turns.
MIGRATION_LOCK = 7_240_114_901


def migrate(engine: Engine, where: str, *, create: bool = True) -> None:
    """Create the tables, or bring them up to date.

    Args:
        engine: The database.
        where: Its name in errors.
        create: Make the tables where there are none.

    Raises:
        NoDatabaseError: It holds no tables, and none may be made.
        StoreError: The database is newer than the code, or belongs to another program.
    """
    with reading(engine) as connection:
        version = _version(connection, where)
    if version == HEAD:
        return
    if version is None and not create:
        raise no_database(where)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        version = _version(connection, where)
        if version != HEAD:
            _upgrade(connection, version, where)


def _version(connection: Connection, where: str) -> str | None:
    names = set(sa.inspect(connection).get_table_names())
    refuse_other_tables(names, where)
    if VERSION_TABLE not in names:
        return None
    row = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).first()
    return str(row[0]) if row else None


def alembic_config() -> Config:
    """Return Alembic's configuration: the migrations of this package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _upgrade(connection: Connection, version: str | None, where: str) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise StoreError(
            f"the database was written by a newer rewardkit (schema {version})",
            where=where,
            expected=f"schema {HEAD} or older",
            fix="pip install --upgrade rewardkit",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
