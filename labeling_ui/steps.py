"""What comes before the work, and whether somebody is through with it: pure functions of what is kept of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from labeling_ui.study import Study

Step = Literal["consent", "check", "failed", "break", "work"]


def step_of(details: Mapping[str, Any], study: Study) -> Step:
    """Return where somebody stands.

    Args:
        details: What is kept of the person.
        study: What it asks before the work.
    """
    if details.get("consent") != study.version:
        return "consent"
    check = details.get("check", {})
    if study.config.check.questions and not check.get("passed"):
        return "failed" if check.get("tries", 0) >= study.config.check.tries else "check"
    if details.get("qualification") == "failed":
        return "failed"
    return "break" if details.get("break") else "work"


def changed_since(details: Mapping[str, Any], study: Study) -> str:
    """Return what is new to somebody who agreed before; nothing to those who never did.

    Args:
        details: What is kept of the person.
        study: What it asks them to agree to now.
    """
    agreed = details.get("consent")
    if agreed is None or agreed == study.version:
        return ""
    # What was agreed to first and what is read before the work have a version each.
    said = "guidelines have" if str(agreed).startswith(f"{study.consent.version}.") else "words below have"
    return f"The {said} changed since you read them."


def checked(details: Mapping[str, Any], study: Study, answers: Sequence[int]) -> dict[str, Any]:
    """Return what is to be kept after a try at the comprehension check.

    Args:
        details: What is kept of the person.
        study: Whose questions they are.
        answers: Number of the option that was taken for each question, from 1.
    """
    right = [question.right for question in study.config.check.questions]
    tries = details.get("check", {}).get("tries", 0) + 1
    wrong = [number for number, (a, b) in enumerate(zip(right, answers, strict=True), 1) if a != b]
    return {"check": {"tries": tries, "passed": not wrong, "wrong": wrong}}


def qualifies(right: int, answered: int, study: Study) -> Literal["open", "passed", "failed"]:
    """Return whether somebody has qualified after some of the items on which they have to."""
    if answered < study.config.qualification.items:
        return "open"
    return "passed" if right >= study.config.qualification.passed * answered - 1e-9 else "failed"
