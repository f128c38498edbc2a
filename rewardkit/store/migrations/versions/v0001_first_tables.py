"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    _texts()
    _annotators()
    _comparisons()
    _labels()
    _ratings()
    _external_ids()


def _texts() -> None:
    op.create_table(
        "prompts",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("messages", sa.JSON, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
    )
    op.create_table(
        "responses",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("prompt_id", KEY, sa.ForeignKey("prompts.id"), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("generation", sa.JSON, nullable=False),
        sa.Column("edited_from", KEY),
        sa.Column("metadata", sa.JSON, nullable=False),
    )


def _annotators() -> None:
    op.create_table(
        "annotators",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("rater_group", sa.Text, nullable=False),
        sa.Column("simulated", sa.Boolean, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("revision", sa.Text),
        sa.Column("protocol", sa.Text),
        sa.Column("prompt_hash", sa.Text),
        sa.Column("settings", sa.JSON, nullable=False),
    )


def _comparisons() -> None:
    op.create_table(
        "comparisons",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("prompt_id", KEY, sa.ForeignKey("prompts.id"), nullable=False),
        sa.Column("response_a", KEY, sa.ForeignKey("responses.id"), nullable=False),
        sa.Column("response_b", KEY, sa.ForeignKey("responses.id"), nullable=False),
        sa.Column("split", sa.Text),
        sa.Column("group", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
    )


def _labels() -> None:
    op.create_table(
        "labels",
        sa.Column("id", KEY, nullable=False),
        sa.Column("comparison_id", KEY, sa.ForeignKey("comparisons.id"), nullable=False),
        sa.Column("annotator_id", KEY, sa.ForeignKey("annotators.id"), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("choice", sa.Text),
        sa.Column("strength", sa.Double),
        sa.Column("p_a", sa.Double),
        sa.Column("criteria", sa.JSON, nullable=False),
        sa.Column("spans", sa.JSON, nullable=False),
        sa.Column("rationale", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("order_shown", sa.Text),
        sa.Column("repeat", sa.BigInteger, nullable=False),
        sa.Column("sampling_prob", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double),
        sa.Column("guideline_version", sa.Text),
        sa.Column("tokens", sa.BigInteger),
        sa.Column("cost", sa.Double),
        sa.Column("created_at", sa.Text),
        sa.Column("supersedes", KEY),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("comparison_id", "id"),
    )
    superseding = sa.text("supersedes IS NOT NULL")
    op.create_index(
        "ix_labels_supersedes", "labels", ["supersedes"], sqlite_where=superseding, postgresql_where=superseding
    )


def _ratings() -> None:
    op.create_table(
        "ratings",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("response_id", KEY, sa.ForeignKey("responses.id"), nullable=False),
        sa.Column("annotator_id", KEY, sa.ForeignKey("annotators.id"), nullable=False),
        sa.Column("criterion", sa.Text, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("scale", sa.JSON, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("rubric_version", sa.Text, nullable=False),
        sa.Column("repeat", sa.BigInteger, nullable=False),
        sa.Column("rationale", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text),
    )


def _external_ids() -> None:
    op.create_table(
        "external_ids",
        sa.Column("source", KEY, primary_key=True),
        sa.Column("kind", KEY, primary_key=True),
        sa.Column("external_id", KEY, primary_key=True),
        sa.Column("record_id", KEY, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for name in ("external_ids", "ratings", "labels", "comparisons", "annotators", "responses", "prompts"):
        op.drop_table(name)
