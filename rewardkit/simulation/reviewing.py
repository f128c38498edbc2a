"""What a persona makes of a judge's points after its blind answer, so that anchoring is there to be measured.

How far the judge's word moves a persona is one number, `deference`. The points themselves follow from what the persona
says in the end: nobody who does not exist can tell whether a sentence is right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rewardkit.errors import JobFailed
from rewardkit.simulation.answering import SHOWN, subject_of
from rewardkit.simulation.personas import Persona

# The words in which the page gives a verdict, a criterion's choice, and a criterion's ratings of both responses.
VERDICT = re.compile(r"Response ([12]) is better")
EQUAL = "Both responses are about equally good"
NO_DIFFERENCE = "no difference"
CRITERION = re.compile(rf"(?P<name>.+): (?:Response (?P<place>[12])|{NO_DIFFERENCE}|both bad)")
RATED = re.compile(r"(?P<name>.+): (?P<first>[-+.\de]+) for Response 1, (?P<second>[-+.\de]+) for Response 2")
PLACES = {"1": SHOWN["a"], "2": SHOWN["b"]}
NAMES = {SHOWN["a"]: "Response 1", SHOWN["b"]: "Response 2", "tie": NO_DIFFERENCE}

Decision = dict[str, str]


@dataclass(frozen=True)
class Reviewed:
    """What a persona sends after a judge's points.

    Attributes:
        answer: The blind one, or one with the judge's choice.
        points: What it makes of each point, by id.
        followed: Whether it took the judge's choice over.
    """

    answer: dict[str, Any]
    points: dict[str, Decision]
    followed: bool


def review_of(persona: Persona, turn: Mapping[str, Any]) -> Reviewed:
    """Return what a persona makes of a judge's points.

    Where the judge's choice is another than its own, it takes that over with probability `deference`, slightly. Then a
    verdict and sentences are verified where the two agree and rejected where they do not; choices and ratings on
    criteria that go against the persona are corrected. A spammer finds everything right and leaves the answer as it is.

    Args:
        persona: Who.
        turn: As the page shows it, with all points.

    Raises:
        JobFailed: The judge's verdict is not in words that are known.
    """
    blind, points = dict(turn["item"]["answer"]), turn["points"]
    if persona.settings.spam != "none":
        return Reviewed(blind, {point["id"]: {"decision": "verified"} for point in points}, followed=False)
    verdict = _verdict(points)
    subject = subject_of([response["text"] for response in turn["item"]["responses"]])
    differs = verdict is not None and verdict != blind["choice"]
    followed = differs and persona.uniform(subject, "deference") < persona.settings.deference
    if followed:
        blind |= {"choice": verdict, "strength": None if verdict == "tie" else 1}
    agreed = verdict is None or verdict == blind["choice"]
    decided = {point["id"]: _decide(point, blind["choice"], agreed=agreed) for point in points}
    return Reviewed(blind, decided, followed)


def _verdict(points: Any) -> str | None:
    """Return which response a judge prefers, as it is shown; None where it gave no verdict."""
    said = next((point["text"] for point in points if point["id"] == "verdict"), None)
    if said is None:
        return None
    if found := VERDICT.match(said):
        return PLACES[found[1]]
    if said.startswith(EQUAL):
        return "tie"
    raise JobFailed(f"the page words a judge's verdict in a way that no persona knows: {said[:80]!r}")


def _decide(point: Mapping[str, Any], choice: str | None, *, agreed: bool) -> Decision:
    text, kind = point["text"], point["id"].partition(" ")[0]
    if kind == "criterion" and choice in NAMES and (found := CRITERION.fullmatch(text)):
        right = PLACES.get(found["place"], "tie") == choice
        return _verified() if right else _corrected(f"{found['name']}: {NAMES[choice]}")
    if kind == "rating" and choice in NAMES and (found := RATED.fullmatch(text)):
        return _rated(found, choice)
    return _verified() if agreed else {"decision": "rejected"}


def _rated(found: re.Match[str], choice: str) -> Decision:
    """Exchange two ratings that stand the other way round; who sees no difference leaves them."""
    first, second = float(found["first"]), float(found["second"])
    if choice == "tie" or first == second or (first > second) == (choice == "first"):
        return _verified()
    return _corrected(f"{found['name']}: {found['second']} for Response 1, {found['first']} for Response 2")


def _verified() -> Decision:
    return {"decision": "verified"}


def _corrected(text: str) -> Decision:
    return {"decision": "edited", "text": text}
