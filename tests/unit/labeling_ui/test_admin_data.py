"""Files that researchers bring: looked at without a trace, taken in as work or gold, rejects shown."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from labeling_ui.admin_access import problem
from labeling_ui.admin_data import ROLES, look_view, take_in, upload_of
from labeling_ui.choosing import known_items
from labeling_ui.pairing import pairs_of
from labeling_ui.people import Refused
from labeling_ui.uploads import Upload, columns_of
from rewardkit.errors import DataError
from rewardkit.store.labelling_tables import events, items

WORK, GOLD = ROLES
CSV = "prompt,response_a,response_b,preference,extra\n"


@pytest.fixture
def bring(tmp_path):
    """Write a file and return it as an upload."""

    def write(text, name="new data.csv", columns="", source=""):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return upload_of(str(path), source, columns)

    return write


def of_study(store):
    with store.reading() as connection:
        return connection.execute(sa.select(items).order_by(items.c.priority, items.c.id)).all()


def test_to_look_changes_nothing(office, store, bring):
    upload = bring(CSV + "One?,yes,no,a,x\nTwo?,<script>act()</script>,no,,x\nThree?,same,same,a,x\n")
    before = store.counts()
    shown = look_view(office, upload)
    assert store.counts() == before and of_study(store) == []
    assert "2 comparisons" in shown and "1 with human labels that agree" in shown
    assert "&lt;script&gt;act()" in shown and "<script>" not in shown
    assert "1 row rejected" in shown and "identical" in shown and f"/admin/files/rejects/{upload.token}" in shown
    assert "not used" in shown and "columns that are not used: extra" in shown
    (line,) = (office.folder / f"rejects-{upload.token}.jsonl").read_text().splitlines()
    assert json.loads(line)["row"]["prompt"] == "Three?"


def test_work_is_labelled_in_the_order_of_its_priority(office, store, desk, bring, join, researcher):
    first = bring(CSV + "One?,yes,no,,\nTwo?,yes,no,,\n", "late.csv")
    take_in(office, researcher.id, first, WORK, 5)
    said = take_in(office, researcher.id, bring(CSV + "Three?,yes,no,,\n", "early.csv"), WORK, -1)
    assert "1 new item to be labelled" in said and "1 comparisons" in said
    found = of_study(store)
    assert [(row.priority, row.role, row.wanted, row.slots) for row in found] == [(-1, "work", 3, 3)] + [
        (5, "work", 3, 3)
    ] * 2
    assert desk.next(join("ann")).item_id == found[0].id
    again = take_in(office, researcher.id, first, WORK, 0)
    assert "0 new items" in again and "2 were in the study already" in again and "nothing" in again
    assert {each.comparison.source for each in store.comparisons()} == {"late", "early"}
    with store.reading() as connection:
        (noted, *_) = connection.execute(sa.select(events.c.details).where(events.c.kind == "imported")).scalars()
    assert (noted["source"], noted["items"], noted["rejected"]) == ("late", 2, 0)


def test_gold_is_what_humans_agree_on_in_this_file(office, store, desk, bring, join, researcher):
    text = CSV + "One?,yes,no,a,\nTwo?,yes,no,,\n"
    said = take_in(office, researcher.id, bring(text), GOLD, 0)
    assert "1 new item of gold" in said
    (gold,) = of_study(store)
    texts = {each.id: each.text for each in store.responses()}
    right = texts[gold.responses[0 if gold.expected == "a" else 1]]
    assert (gold.role, gold.expected in "ab", right) == ("gold", True, "yes")
    assert known_items(store, "study") == {tuple(gold.responses)}
    # Gold alone is nobody's task.
    assert desk.next(join("ann")) is None
    with pytest.raises(Refused, match="no right answer"):
        take_in(office, researcher.id, bring(CSV + "Three?,yes,no,,\n"), GOLD, 0)


@pytest.mark.parametrize(("first", "then", "says"), [(GOLD, WORK, "as gold"), (WORK, GOLD, "to be labelled")])
def test_no_pair_is_both_gold_and_work(office, store, bring, researcher, first, then, says):
    one, two = "One?,yes,no,a,\n", "Two?,yes,no,a,\n"
    take_in(office, researcher.id, bring(CSV + one), first, 0)
    said = take_in(office, researcher.id, bring(CSV + one + two), then, 0)
    assert "1 new item" in said and f"1 left out: the study has them {says}" in said
    assert sorted(row.role for row in of_study(store)) == ["gold", "work"]
    assert len({tuple(row.responses) for row in of_study(store)}) == 2
    with pytest.raises(Refused, match="in another role"):
        take_in(office, researcher.id, bring(CSV + one), then, 0)


def test_columns_may_have_other_names(office, bring):
    upload = bring("question,one,two\nWhy?,yes,no\n", columns="prompt = question\n\nresponse_a=one\nresponse_b=two")
    shown = look_view(office, upload)
    assert "1 comparison" in shown and "taken as prompt" in shown
    with pytest.raises(DataError, match="no row has the columns"):
        look_view(office, bring("question,one,two\nWhy?,yes,no\n"))
    with pytest.raises(Refused, match="names no column"):
        columns_of("prompt question")


SINGLE = "prompt,response\nOne?,yes\nOne?,no\nOne?,perhaps\nTwo?,only this\n"


def test_single_responses_are_paired_as_a_server_does_at_its_start(office, store, bring, researcher):
    upload = bring(SINGLE, "replies.csv")
    shown = look_view(office, upload)
    # Three responses to one prompt make three pairs; the one to the other prompt has nobody to meet.
    assert "3 comparisons, of pairs that are formed of the file’s 4 responses" in shown
    assert "pairs those of one prompt" in shown and "rewardkit label" not in shown and of_study(store) == []
    said = take_in(office, researcher.id, upload, WORK, 0)
    assert "3 new items to be labelled" in said and "3 pairs were formed" in said and "4 responses" in said
    assert {tuple(row.responses) for row in of_study(store)} == {
        tuple(sorted((each.response_a, each.response_b))) for each in pairs_of(store, 6)
    }
    assert store.counts()["comparisons"] == 3
    assert "3 were in the study already" in take_in(office, researcher.id, upload, WORK, 0)
    with pytest.raises(Refused, match="no right answer"):
        take_in(office, researcher.id, upload, GOLD, 0)


def test_responses_that_have_nobody_to_meet_are_not_taken(office, store, bring, researcher):
    upload = bring("prompt,response\nOne?,yes\nTwo?,no\n")
    assert "nothing to compare it with" in look_view(office, upload)
    with pytest.raises(Refused, match="no prompt has several responses"):
        take_in(office, researcher.id, upload, WORK, 0)
    assert store.counts()["responses"] == 0


@pytest.mark.parametrize(
    ("text", "columns", "says"),
    [
        (
            "question,one,two\nWhy?,yes,no\n",
            "",
            ("Columns under other names", "prompt=COLUMN", "a comparison (prompt, response_a"),
        ),
        (
            CSV + "One?,yes,no,a,\n",
            "prompt=question",
            ("no column 'question'", "prompt=question under “Columns under other names”"),
        ),
        (
            CSV + "One?,yes,no,a,\n",
            "promt=extra",
            ("unknown field 'promt'", "“Columns under other names”, promt=extra"),
        ),
    ],
)
@pytest.mark.parametrize("deed", ["look", "take"])
def test_what_is_wrong_with_a_file_is_said_in_the_words_of_the_form(
    office, bring, researcher, tmp_path, deed, text, columns, says
):
    upload = bring(text, "survey.csv", columns)
    with pytest.raises(DataError) as raised:
        look_view(office, upload) if deed == "look" else take_in(office, researcher.id, upload, WORK, 0)
    said = str(raised.value)
    assert all(each in said for each in says) and "--map" not in said and str(tmp_path) not in said
    assert "survey.csv" in said or "promt" in said
    assert "<bdi>survey.csv: " in problem(raised.value) or "promt" in said


def test_a_file_of_which_every_row_is_rejected_shows_its_rejects(office, store, bring, researcher):
    upload = bring(CSV + "One?,same,same,a,\n")
    shown = look_view(office, upload)
    assert "problem" in shown and f"/admin/files/rejects/{upload.token}" in shown
    with pytest.raises(DataError):
        take_in(office, researcher.id, upload, WORK, 0)
    assert of_study(store) == [] and store.counts()["comparisons"] == 0


def test_what_is_filled_in_wrongly_is_refused(office, bring, researcher):
    for file in (None, "", ["x"]):
        with pytest.raises(Refused, match="no file"):
            upload_of(file, "", "")
    upload = bring(CSV + "One?,yes,no,a,\n")
    for role, priority in (("work", 0), (None, 0), ([WORK], 0), (WORK, None), (WORK, 0.5), (WORK, 10**9)):
        with pytest.raises(Refused):
            take_in(office, researcher.id, upload, role, priority)
    assert upload.source == "new data" and isinstance(upload, Upload)
