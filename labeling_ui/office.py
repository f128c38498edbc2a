"""What the researchers' page works with: one study's desk, people and ways in."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from weakref import finalize

from labeling_ui.counted import Counts
from labeling_ui.counting import Elsewhere
from labeling_ui.desk import Desk
from labeling_ui.entrances import Entrances
from labeling_ui.judges import Judges
from labeling_ui.measuring import Measuring
from labeling_ui.people import People
from labeling_ui.sessions import Sessions
from labeling_ui.uploads import Uploads
from labeling_ui.watching import Watching
from rewardkit.store.store import Store


@dataclass
class Office:
    """One study, as researchers see it.

    Attributes:
        desk: Gives and takes items; its study is what holds now.
        people: Who takes part.
        sessions: Makes invitations.
        entrances: Makes people known under a name and a password.
        judges: What can be done with judges.
        measuring: Measures them.
        watching: Lets one be watched.
        counts: Counts what was answered, away from the annotators' requests.
        uploads: Takes files in.
        folder: Where files lie that are made for a download, until the server stops.
    """

    desk: Desk
    people: People
    sessions: Sessions
    entrances: Entrances
    judges: Judges = Judges()
    measuring: Measuring = field(init=False)
    watching: Watching = field(default_factory=Watching, init=False)
    counts: Counts = field(init=False)
    uploads: Uploads = field(init=False)
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.measuring = Measuring(self.judges.audit)
        self.counts = Elsewhere(self.desk.store.url, self.desk.study.name)
        self.folder = Path(mkdtemp(prefix="rewardkit-label-"))
        finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.uploads = Uploads(self.desk.store, self.folder)

    def open(self) -> None:
        """Get ready for the first researcher."""
        if isinstance(self.counts, Elsewhere):
            self.counts.start()

    @property
    def store(self) -> Store:
        """Where everything is."""
        return self.desk.store
