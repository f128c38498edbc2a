"""Alembic's entry: run the migrations on the connection that the store hands over."""

from alembic import context

from rewardkit.store import labelling_tables  # noqa: F401 - adds its tables to METADATA
from rewardkit.store.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
context.run_migrations()
