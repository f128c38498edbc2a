"""The tables of the labelling page: who labels, what is to be labelled, and who has what in hand.

Labels and ratings themselves are in the store's own tables. An item says how often a set of responses is
still to be labelled in a study; a lease gives one item to one person for a while. `slots` counts the
labels that are wanted and neither given nor in somebody's hands: as a plain number, so that the open
items are an index.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Double, ForeignKey, Index, Integer, Table, Text, text

from rewardkit.store.tables import METADATA, Key

people = Table(
    "people",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("study", Key, nullable=False),
    # How they came ("prolific", "invitation", "password") and who they are there.
    Column("entry", Key, nullable=False),
    Column("external_id", Key, nullable=False),
    Column("annotator_id", Key, ForeignKey("annotators.id"), nullable=False),
    Column("role", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("details", JSON, nullable=False),
)
Index("ix_people_external", people.c.study, people.c.entry, people.c.external_id, unique=True)

items = Table(
    "items",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("study", Key, nullable=False),
    # comparison, ranking or rating, and the ids of the responses that are to be labelled, sorted.
    Column("task", Key, nullable=False),
    Column("responses", JSON, nullable=False),
    # work, gold or qualification; the last two have a right answer, and no slots to use up.
    Column("role", Key, nullable=False),
    Column("expected", Text),
    # Smaller numbers come first; within a priority the position is a random order.
    Column("priority", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("wanted", BigInteger, nullable=False),
    Column("slots", BigInteger, nullable=False),
)
Index(
    "ix_items_open",
    items.c.study,
    items.c.role,
    items.c.priority,
    items.c.position,
    sqlite_where=text("slots > 0"),
    postgresql_where=text("slots > 0"),
)

leases = Table(
    "leases",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("item_id", Key, ForeignKey("items.id"), nullable=False),
    Column("person_id", Key, ForeignKey("people.id"), nullable=False),
    Column("repeat", BigInteger, nullable=False),
    # Places of the item's responses, in the order in which they are shown: "10" shows the second one first.
    Column("order_shown", Text, nullable=False),
    Column("sampling_prob", Double, nullable=False),
    # open, done, expired or returned; times are seconds since 1970.
    Column("state", Key, nullable=False),
    Column("leased_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("closed_at", Double),
    Column("draft", JSON),
    # What was answered: as the page sent it, the choice among two, and the records that were made of it.
    Column("answer", JSON),
    Column("choice", Text),
    Column("records", JSON),
    # Whether the answer is followed by what a judge said ("review" or "blind"), and how far that is (open, done).
    Column("arm", Key),
    Column("review", Key),
)
HELD = text("state IN ('open', 'done')")
Index(
    "ix_leases_once",
    leases.c.item_id,
    leases.c.person_id,
    leases.c.repeat,
    unique=True,
    sqlite_where=HELD,
    postgresql_where=HELD,
)
Index("ix_leases_person", leases.c.person_id, leases.c.state)
OPEN = text("state = 'open'")
Index("ix_leases_open", leases.c.person_id, unique=True, sqlite_where=OPEN, postgresql_where=OPEN)
Index("ix_leases_expiry", leases.c.expires_at, sqlite_where=OPEN, postgresql_where=OPEN)

# What annotators say to models. `pending` says what is awaited under which token: a message, two replies, a choice.
conversations = Table(
    "conversations",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("study", Key, nullable=False),
    Column("person_id", Key, ForeignKey("people.id"), nullable=False),
    Column("state", Key, nullable=False),
    # Pairs of replies that were compared.
    Column("turns", BigInteger, nullable=False),
    Column("messages", JSON, nullable=False),
    Column("pending", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("closed_at", Double),
)
Index("ix_conversations_open", conversations.c.person_id, unique=True, sqlite_where=OPEN, postgresql_where=OPEN)
Index("ix_conversations_person", conversations.c.person_id, conversations.c.created_at)

# What the researchers have settled in the page; it goes before what the config says.
studies = Table(
    "studies",
    METADATA,
    Column("name", Key, primary_key=True),
    Column("settings", JSON, nullable=False),
    Column("updated_at", Double, nullable=False),
)

events = Table(
    "events",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("study", Key, nullable=False),
    Column("person_id", Key),
    Column("kind", Text, nullable=False),
    Column("details", JSON, nullable=False),
)
