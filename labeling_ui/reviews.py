"""The reviews of one study: who has one open, and what its judge said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.leases import select_leases
from labeling_ui.reviewing import LiveJudge, Opinion, Point, opinion_of, points_of
from labeling_ui.subjects import load_subject
from rewardkit.label_config import ReviewConfig
from rewardkit.store.labelling_tables import leases


@dataclass(frozen=True)
class Reviews:
    """Assisted review, where a study has it.

    Attributes:
        config: None where it has not.
        live: The judge that is asked while annotators wait; None where what it said is in the store already.
    """

    config: ReviewConfig | None
    live: LiveJudge | None = None

    @property
    def judge(self) -> str:
        """The judge's name as an annotator; empty where nothing is reviewed."""
        if self.config is None:
            return ""
        return self.live.annotator.name if self.live else self.config.judge or ""

    def begins(self, connection: Connection, lease: Row[Any]) -> bool:
        """Tell whether a review follows an answer that was just given."""
        if lease.arm != "review" or not self.judge:
            return False
        return self.live is not None or self.opinion(connection, lease) is not None

    def open_of(self, connection: Connection, person_id: str) -> Row[Any] | None:
        """Return the lease whose answer somebody is to review now; None where there is none."""
        if not self.judge:
            return None
        mine = sa.and_(leases.c.person_id == person_id, leases.c.state == "done", leases.c.review == "open")
        return connection.execute(select_leases(mine)).first()

    def opinion(self, connection: Connection, lease: Row[Any]) -> Opinion | None:
        """Return what the judge said of what a lease is about; None where it has said nothing yet."""
        opinion = opinion_of(connection, self.judge, load_subject(connection, lease.responses))
        # A judge that is asked live has answered when there is a verdict.
        return None if self.live and opinion and not opinion.labels else opinion

    def points(self, connection: Connection, lease: Row[Any]) -> list[Point] | None:
        """Return that as an annotator reads it; None where it has said nothing yet."""
        opinion = self.opinion(connection, lease)
        return self.points_of(connection, lease, opinion) if opinion else None

    def points_of(self, connection: Connection, lease: Row[Any], opinion: Opinion) -> list[Point]:
        """Return what the judge said as the annotator of a lease reads it."""
        return points_of(opinion, load_subject(connection, lease.responses), tuple(map(int, lease.order_shown)))
