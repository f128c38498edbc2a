"""What the researchers' page works with: one study's desk, people and ways in."""

from __future__ import annotations

from dataclasses import dataclass, field

from labeling_ui.answered import AnswerReader
from labeling_ui.desk import Desk
from labeling_ui.entrances import Entrances
from labeling_ui.people import People
from labeling_ui.sessions import Sessions
from rewardkit.store.store import Store


@dataclass
class Office:
    """One study, as researchers see it.

    Attributes:
        desk: Gives and takes items; its study is what holds now.
        people: Who takes part.
        sessions: Makes invitations.
        entrances: Makes people known under a name and a password.
    """

    desk: Desk
    people: People
    sessions: Sessions
    entrances: Entrances
    reader: AnswerReader = field(init=False)

    def __post_init__(self) -> None:
        self.reader = AnswerReader(self.desk.store, self.desk.study.name)

    @property
    def store(self) -> Store:
        """Where everything is."""
        return self.desk.store
