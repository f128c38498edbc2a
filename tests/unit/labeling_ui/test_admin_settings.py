"""What researchers settle: in force at once, kept over a restart, and never taking back what was labelled."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from labeling_ui.admin_settings import preview, save, values_of
from labeling_ui.desk import Desk
from labeling_ui.people import Refused
from labeling_ui.progress import progress_of
from labeling_ui.settings import change_settings, overruled, read_settings, settled
from labeling_ui.steps import step_of
from labeling_ui.study import Study, page_of
from rewardkit.label_config import AssignmentConfig, LabelConfig
from rewardkit.store.labelling_tables import events, items

PLAIN = AssignmentConfig(overlap=2, most_overlap=3, repeats=0.0, agreement=0.9)


def wanted(desk):
    with desk.store.reading() as connection:
        query = sa.select(items.c.wanted, items.c.slots).where(items.c.role == "work").order_by(items.c.wanted)
        return [tuple(row) for row in connection.execute(query)]


@pytest.fixture
def fresh(store):
    """The study as a restarted server sees it: as its config says, and as it was settled."""
    return lambda: settled(Study("study", LabelConfig(least_seconds=0.0)), read_settings(store, "study"))


def test_another_overlap_holds_for_items_that_are_there(desk, stock, settle, comparisons, join, prefer, researcher):
    settle(assignment=PLAIN)
    stock(comparisons(3).values())
    ann, ben = join("ann"), join("ben")
    # One item is in dispute and wants a third label, one has a label, one has none.
    prefer(ann, "a")
    prefer(ann, "a")
    prefer(ben, "b")
    before = dict.fromkeys(["wanted", "done"])
    before["wanted"], before["done"] = progress_of(desk.store, "study").wanted, progress_of(desk.store, "study").done
    assert before["done"] == 3
    change_settings(desk, researcher.id, {"overlap": 4, "most_overlap": 6})
    assert {pair[0] for pair in wanted(desk)} == {4}
    assert progress_of(desk.store, "study").done == 3
    change_settings(desk, researcher.id, {"overlap": 1})
    # What has two labels keeps them, and no item wants less than it has.
    assert progress_of(desk.store, "study").done == 3
    assert all(slots >= 0 and want >= 1 for want, slots in wanted(desk))
    assert sum(want for want, _ in wanted(desk)) == max(3, sum(want - slots for want, slots in wanted(desk)) + 1)


def test_items_that_disagreement_extended_keep_their_labels(desk, stock, settle, comparisons, join, prefer, researcher):
    settle(assignment=PLAIN)
    stock(comparisons(1).values())
    prefer(join("ann"), "a")
    prefer(join("ben"), "b")
    assert wanted(desk) == [(3, 1)]
    change_settings(desk, researcher.id, {"overlap": 1})
    assert wanted(desk) == [(3, 1)]
    change_settings(desk, researcher.id, {"overlap": 3})
    assert wanted(desk) == [(3, 1)]


def test_guidelines_that_change_are_read_again_and_survive_a_restart(office, desk, fresh, join, researcher):
    person, before = join("ann"), desk.study
    office.people.keep(person, "consented", lambda _: {"consent": before.version})
    assert step_of(office.people.get(person).details, desk.study) == "work"
    said = save(office, researcher.id, [3, 5, 20, 5], "Read *slowly*.")
    assert "guidelines" in said and "again" in said
    assert step_of(office.people.get(person).details, desk.study) == "consent"
    assert "<em>slowly</em>" in desk.study.guidelines.html
    assert fresh().guidelines == desk.study.guidelines != before.guidelines
    assert Desk(desk.store, fresh()).study.version == desk.study.version


def test_what_is_left_alone_stays_with_the_config(office, desk, fresh, researcher):
    assert save(office, researcher.id, values_of(office)[:4], desk.study.guidelines.text) == "Nothing is different."
    assert "Set here" not in values_of(office)[-1] and "holds over the config" in values_of(office)[-1]
    said = save(office, researcher.id, [3, 5, 30, 2.5], desk.study.guidelines.text)
    assert said.startswith("Gold at first: 30 percent from now on, 20 percent until now. Gold later: 2.5 percent")
    assert read_settings(desk.store, "study").model_dump(exclude_none=True) == {"gold_early": 0.3, "gold_late": 0.025}
    assert "Set here so far: gold at first; gold later." in values_of(office)[-1]
    policy = fresh().config.assignment
    assert (policy.gold_early, policy.gold_late, policy.repeats) == (0.3, 0.025, 0.05)
    assert values_of(office)[:4] == [3, 5, 30.0, 2.5]
    with desk.store.reading() as connection:
        notes = connection.execute(sa.select(events.c.details).where(events.c.kind == "settled")).scalars().all()
    assert notes[-1] == {"gold_early": [0.2, 0.3], "gold_late": [0.05, 0.025]}


def test_settings_that_do_not_fit_change_nothing(office, desk, fresh, researcher):
    before = desk.study
    for numbers, text, why in (
        ([6, 5, 20, 5], "x", "cannot want 6 labels and, where annotators disagree, 5 at most"),
        ([3, 5, 80, 5], "x", "gold at first: it is 80 percent"),
        ([3, 5, None, 5], "x", "missing: gold at first"),
        ([2.5, 5, 20, 5], "x", "labels for each item: it is 2.5"),
        ([0, 5, 20, 5], "x", "labels for each item: it is 0"),
        ([3, 5, 20, 5], " ", "empty"),
        ([3, 5, 20, 5], "x" * 60_000, "guidelines: .*50000"),
    ):
        with pytest.raises(Refused, match=why):
            save(office, researcher.id, numbers, text)
    assert desk.study is before and fresh().version == before.version


def test_what_holds_over_the_config_is_said(desk, researcher):
    change_settings(desk, researcher.id, {"overlap": 2, "gold_late": 0.05, "guidelines": "Others."})
    study = Study("study", LabelConfig())
    assert list(overruled(study, read_settings(desk.store, "study"))) == [
        "overlap is 2, as set on the researchers' page; the config says 3",
        "the guidelines are those of the researchers' page; the config has others",
    ]
    # Where both say the same there is nothing to tell.
    same = Study("study", LabelConfig(assignment=AssignmentConfig(overlap=2)), guidelines=page_of("Others."))
    assert list(overruled(same, read_settings(desk.store, "study"))) == []


def test_guidelines_are_shown_while_they_are_typed(office, desk):
    typed = preview(office, "Read **twice**. <script>act()</script>")
    assert "<strong>twice</strong>" in typed and "not saved yet" in typed and "<script>" not in typed
    assert f"version {desk.study.guidelines.version}" in preview(office, desk.study.guidelines.text)
    assert "not saved yet" in preview(office, None)
