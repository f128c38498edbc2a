"""The tables of the labelling page, and what ratings have since people give them too."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _people()
    _items()
    _leases()
    _conversations()
    for column in _of_ratings():
        op.add_column("ratings", column)
    op.create_table(
        "studies",
        sa.Column("name", KEY, primary_key=True),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("study", KEY, nullable=False),
        sa.Column("person_id", KEY),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
    )


def _people() -> None:
    op.create_table(
        "people",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("study", KEY, nullable=False),
        sa.Column("entry", KEY, nullable=False),
        sa.Column("external_id", KEY, nullable=False),
        sa.Column("annotator_id", KEY, sa.ForeignKey("annotators.id"), nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
    )
    op.create_index("ix_people_external", "people", ["study", "entry", "external_id"], unique=True)


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("study", KEY, nullable=False),
        sa.Column("task", KEY, nullable=False),
        sa.Column("responses", sa.JSON, nullable=False),
        sa.Column("role", KEY, nullable=False),
        sa.Column("expected", sa.Text),
        sa.Column("priority", sa.BigInteger, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("wanted", sa.BigInteger, nullable=False),
        sa.Column("slots", sa.BigInteger, nullable=False),
    )
    _partial("ix_items_open", "items", ["study", "role", "priority", "position"], "slots > 0")


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("item_id", KEY, sa.ForeignKey("items.id"), nullable=False),
        sa.Column("person_id", KEY, sa.ForeignKey("people.id"), nullable=False),
        sa.Column("repeat", sa.BigInteger, nullable=False),
        sa.Column("order_shown", sa.Text, nullable=False),
        sa.Column("sampling_prob", sa.Double, nullable=False),
        sa.Column("state", KEY, nullable=False),
        sa.Column("leased_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("closed_at", sa.Double),
        sa.Column("draft", sa.JSON),
        sa.Column("answer", sa.JSON),
        sa.Column("choice", sa.Text),
        sa.Column("records", sa.JSON),
        sa.Column("arm", KEY),
        sa.Column("review", KEY),
    )
    _partial("ix_leases_once", "leases", ["item_id", "person_id", "repeat"], "state IN ('open', 'done')", unique=True)
    op.create_index("ix_leases_person", "leases", ["person_id", "state"])
    _partial("ix_leases_open", "leases", ["person_id"], "state = 'open'", unique=True)
    _partial("ix_leases_expiry", "leases", ["expires_at"], "state = 'open'")


def _conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("study", KEY, nullable=False),
        sa.Column("person_id", KEY, sa.ForeignKey("people.id"), nullable=False),
        sa.Column("state", KEY, nullable=False),
        sa.Column("turns", sa.BigInteger, nullable=False),
        sa.Column("messages", sa.JSON, nullable=False),
        sa.Column("pending", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("closed_at", sa.Double),
    )
    _partial("ix_conversations_open", "conversations", ["person_id"], "state = 'open'", unique=True)
    op.create_index("ix_conversations_person", "conversations", ["person_id", "created_at"])


def _of_ratings() -> list[sa.Column[Any]]:
    """Return what ratings have since people give them too."""
    return [
        sa.Column("sampling_prob", sa.Double, nullable=False, server_default=sa.text("1.0")),
        sa.Column("seconds", sa.Double),
        sa.Column("guideline_version", sa.Text),
        sa.Column("supersedes", KEY),
        sa.Column("metadata", sa.JSON, nullable=False, server_default=sa.text("'{}'")),
    ]


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    for name in ("events", "studies", "conversations", "leases", "items", "people"):
        op.drop_table(name)
    for column in _of_ratings():
        op.drop_column("ratings", column.name)
