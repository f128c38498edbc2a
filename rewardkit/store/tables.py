"""The tables, one per kind of record. The migrations build them; a test holds the two together.

Ids are content hashes and sort bytewise on every database, so that all of them iterate in one order.
Labels and ratings are only ever appended.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

METADATA = MetaData()
VERSION_TABLE = "rewardkit_schema"

# Bytewise order also where the server's locale sorts otherwise.
Key = Text().with_variant(Text(collation="C"), "postgresql")

prompts = Table(
    "prompts",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("messages", JSON, nullable=False),
    Column("task", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
)

responses = Table(
    "responses",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("prompt_id", Key, ForeignKey("prompts.id"), nullable=False),
    Column("text", Text, nullable=False),
    Column("model", Text),
    Column("generation", JSON, nullable=False),
    Column("edited_from", Key),
    Column("metadata", JSON, nullable=False),
)

annotators = Table(
    "annotators",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("rater_group", Text, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("model", Text),
    Column("revision", Text),
    Column("protocol", Text),
    Column("prompt_hash", Text),
    Column("settings", JSON, nullable=False),
)

comparisons = Table(
    "comparisons",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("prompt_id", Key, ForeignKey("prompts.id"), nullable=False),
    Column("response_a", Key, ForeignKey("responses.id"), nullable=False),
    Column("response_b", Key, ForeignKey("responses.id"), nullable=False),
    Column("split", Text),
    Column("group", Text),
    Column("source", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
)

labels = Table(
    "labels",
    METADATA,
    Column("id", Key, nullable=False),
    Column("comparison_id", Key, ForeignKey("comparisons.id"), nullable=False),
    Column("annotator_id", Key, ForeignKey("annotators.id"), nullable=False),
    Column("status", Text, nullable=False),
    Column("choice", Text),
    Column("strength", Double),
    Column("p_a", Double),
    Column("criteria", JSON, nullable=False),
    Column("spans", JSON, nullable=False),
    Column("rationale", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("order_shown", Text),
    Column("repeat", BigInteger, nullable=False),
    Column("sampling_prob", Double, nullable=False),
    Column("seconds", Double),
    Column("guideline_version", Text),
    Column("tokens", BigInteger),
    Column("cost", Double),
    # ISO 8601 text: SQLite's own type would drop the offset.
    Column("created_at", Text),
    Column("supersedes", Key),
    Column("metadata", JSON, nullable=False),
    # The id covers the comparison; with it in front, one index keeps labels unique and finds a comparison's.
    PrimaryKeyConstraint("comparison_id", "id"),
)
Index(
    "ix_labels_supersedes",
    labels.c.supersedes,
    sqlite_where=text("supersedes IS NOT NULL"),
    postgresql_where=text("supersedes IS NOT NULL"),
)

ratings = Table(
    "ratings",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("response_id", Key, ForeignKey("responses.id"), nullable=False),
    Column("annotator_id", Key, ForeignKey("annotators.id"), nullable=False),
    Column("criterion", Text, nullable=False),
    Column("value", Double),
    Column("scale", JSON, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("rubric_version", Text, nullable=False),
    Column("repeat", BigInteger, nullable=False),
    Column("rationale", Text, nullable=False),
    Column("created_at", Text),
    Column("sampling_prob", Double, nullable=False, server_default=text("1.0")),
    Column("seconds", Double),
    Column("guideline_version", Text),
    Column("supersedes", Key),
    Column("metadata", JSON, nullable=False, server_default=text("'{}'")),
)

external_ids = Table(
    "external_ids",
    METADATA,
    Column("source", Key, primary_key=True),
    Column("kind", Key, primary_key=True),
    Column("external_id", Key, primary_key=True),
    Column("record_id", Key, nullable=False),
    sqlite_with_rowid=False,
)
