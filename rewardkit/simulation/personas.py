"""How a simulated annotator comes to an answer: by the same rules in the stage, in the page and in a planned study.

Every draw is a hash of the seed, of what is labelled and of the annotator's name, so that neither the order in
which items come nor the other annotators change what one of them says. Who tires is the exception by intent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from rewardkit.simulate_config import SimulatedAnnotatorConfig
from rewardkit.types import Choice, Order, content_id

# |logit| from which a preference is clear (strength 2) and strong (strength 3).
STRENGTH_STEPS = (1.0, 2.5)
TIRED_AFTER = 100.0
TYPICAL_SECONDS = 30.0
"""Median time for an answer where a persona states none."""


@dataclass(frozen=True)
class Persona:
    """Somebody who does not exist.

    Attributes:
        settings: What they are like.
        name: Two of the same settings and different names say different things.
        seed: Of all draws.
    """

    settings: SimulatedAnnotatorConfig
    name: str
    seed: int

    def uniform(self, subject: str, what: str) -> float:
        """Draw from [0, 1).

        Args:
            subject: Id of what is labelled.
            what: What the draw is for.
        """
        digest = content_id("simulation", str(self.seed), subject, self.name, what)
        return int(digest[:13], 16) / 2**52

    def reliability(self, answered: int) -> float:
        """Return the logits per level after so many answers."""
        left = 1.0 - self.settings.fatigue * answered / TIRED_AFTER
        return self.settings.reliability * max(0.0, left)

    def logit(self, gap: float, doublings: float, order: Order, answered: int = 0) -> float:
        """Return the log odds of A.

        Args:
            gap: Level of A less level of B.
            doublings: How many times the length of A doubles that of B (log2 of characters).
            order: Which of them is shown first.
            answered: How many answers they have given before.
        """
        if self.settings.spam != "none":
            return 0.0
        first = 1.0 if order == "ab" else -1.0
        bias = self.settings.position_bias * first + self.settings.length_bias * doublings
        return self.reliability(answered) * gap + bias

    def choose(self, subject: str, order: Order, logit: float) -> Choice:
        """Return what they say of a comparison whose log odds of A are given."""
        at = self.uniform(subject, f"answer {order}")
        spam = self.settings.spam
        if spam in ("first", "second"):
            return "a" if (spam == "first") == (order == "ab") else "b"
        if spam == "random" or self.lapses(subject, order):
            return "a" if at < 0.5 else "b"
        if abs(logit) < self.settings.tie_width:
            return "tie"
        return "a" if at < 0.5 * (1 + math.tanh(0.5 * logit)) else "b"

    def lapses(self, subject: str, order: Order = "ab") -> bool:
        """Tell whether an answer is given at random."""
        return self.uniform(subject, f"lapse {order}") < self.settings.lapse

    def seconds(self, subject: str, order: Order = "ab") -> float:
        """Return how long an answer takes: a log-normal draw around the stated median."""
        # The middle of the draw's interval: the ends of a normal distribution are infinite.
        z = NormalDist().inv_cdf(self.uniform(subject, f"seconds {order}") + 2**-53)
        median = self.settings.seconds or TYPICAL_SECONDS
        return median * math.exp(self.settings.seconds_spread * z)


def strength_of(logit: float) -> int:
    """Return how strong a preference is: 1 (slight) to 3 (strong)."""
    return 1 + sum(abs(logit) >= step for step in STRENGTH_STEPS)
