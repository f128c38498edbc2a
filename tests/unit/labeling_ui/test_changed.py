"""What changes while a study runs is said to those who had agreed to what it was, and to nobody else."""

from __future__ import annotations

from dataclasses import replace

from labeling_ui.settings import change_settings
from labeling_ui.steps import changed_since
from labeling_ui.study import Study, page_of
from labeling_ui.views import Turns

PLAIN = Study("plain")


def test_only_who_agreed_before_is_told_that_something_changed():
    guided = replace(PLAIN, guidelines=page_of("Shorter is better."))
    consented = replace(PLAIN, consent=page_of("You will be paid."))
    assert changed_since({}, guided) == changed_since({"consent": guided.version}, guided) == ""
    agreed = {"consent": PLAIN.version}
    assert changed_since(agreed, guided) == "The guidelines have changed since you read them."
    assert changed_since(agreed, consented) == "The words below have changed since you read them."


def test_the_page_says_it(office, desk, join, researcher):
    ann, ben = join("ann"), join("ben", agreed=False)
    change_settings(desk, researcher.id, {"guidelines": "Shorter is better."})
    turns = Turns(desk, office.people, office.sessions)
    told, new = turns.turn(ann), turns.turn(ben)
    assert told["step"] == new["step"] == "consent"
    assert (told["changed"], new["changed"]) == ("The guidelines have changed since you read them.", "")
