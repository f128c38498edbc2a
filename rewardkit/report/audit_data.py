"""What the page of an audit is made of; every number arrives measured, with its n and its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rewardkit.audit.judges import JudgeAudit
from rewardkit.report.data import plain


@dataclass(frozen=True, kw_only=True)
class AuditData:
    """All that stands on the page.

    Attributes:
        title: Name of the page.
        created: When it was made.
        simulated: Plain words on what is simulated; "" if nothing is.
        unit: What intervals are clustered by, in the singular.
        confidence: Level of the intervals.
        judges: The judges, by name.
        people: How many annotators each rater group has.
        settings: The resolved config.
        versions: Package and version.
    """

    title: str
    created: datetime
    simulated: str
    unit: str
    confidence: float
    judges: tuple[JudgeAudit, ...]
    people: Mapping[str, int]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: every number that the page shows, unrounded."""
        return {
            "title": self.title,
            "created": self.created.isoformat(),
            "simulated": self.simulated,
            "unit": self.unit,
            "confidence": self.confidence,
            "judges": [judge.to_json() for judge in self.judges],
            "people": plain(self.people),
            "settings": plain(self.settings),
            "versions": plain(self.versions),
        }
