"""Researchers and people: who may, pausing, letting in, the trail, one person's data and its erasure."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from starlette.requests import Request
from starlette.testclient import TestClient

from labeling_ui.admin import admin_page
from labeling_ui.admin_access import Asking, Researchers
from labeling_ui.admin_export import erase_person, person_link
from labeling_ui.admin_people import add_somebody, choices_of, invitations, people_view, rows_of, set_state
from labeling_ui.admin_trail import trail_view
from labeling_ui.answers import ComparisonAnswer
from labeling_ui.conversations import Conversations
from labeling_ui.one_person import lines_of
from labeling_ui.passwords import same_password
from labeling_ui.people import Refused
from labeling_ui.server import build
from labeling_ui.sessions import COOKIE
from labeling_ui.settings import change_settings
from labeling_ui.talk import Reply
from labeling_ui.trail_pages import PAGE, kinds_of, read_trail
from rewardkit.label_config import AssignmentConfig, ChatConfig, ProlificConfig
from rewardkit.store.labelling_tables import conversations, events, leases, people
from rewardkit.store.store import Store
from rewardkit.types import Label

PLAIN = AssignmentConfig(overlap=2, most_overlap=2, repeats=0.0)


def details(store, kind):
    with store.reading() as connection:
        rows = connection.execute(sa.select(events).where(events.c.kind == kind).order_by(events.c.number)).all()
    return [(row.person_id, row.details) for row in rows]


def asking_of(cookie):
    headers = [(b"cookie", f"{COOKIE}={cookie}".encode())] if cookie else []
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers, "server": ("localhost", 80)})


@pytest.fixture
def page(office):
    """The page; made while a loop runs, as Gradio would otherwise make loops that it never closes."""

    async def make():
        return admin_page(office, Researchers(office.people, office.sessions, office.desk.clock))

    # In a thread: a browser's loop may run in this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(make())).result()


def called(block, request):
    """Return what a handler shows last: of those that stream, after all that they yield."""
    shown = block.fn(request, *[None] * len(block.inputs))
    if not isinstance(shown, AsyncGenerator):
        return shown

    async def last():
        return [each async for each in shown][-1]

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(last())).result()


def test_every_handler_of_the_page_looks_at_the_role_itself(page, office, store, join, researcher):
    import gradio

    handlers = list(page.fns.values())
    assert len(handlers) > 20
    annotator = office.sessions.cookie(join("ann"))
    for cookie in (None, "forged", annotator):
        for block in handlers:
            *shown, said = called(block, gradio.Request(asking_of(cookie)))
            assert "for the researchers" in said and all(each == gradio.skip() for each in shown)
    refused = details(store, "refused")
    assert len(refused) == 3 * len(handlers) and {why["why"] for _, why in refused} == {"not a researcher"}
    assert all(block.api_visibility == "private" and block.concurrency_limit is None for block in handlers)
    assert not any(isinstance(block, gradio.State) for block in page.blocks.values())
    # The same handlers let a researcher through.
    request = gradio.Request(asking_of(office.sessions.cookie(researcher.id)))
    said = [called(block, request)[-1] for block in handlers]
    assert not any("for the researchers" in each for each in said) and "" in said


def test_until_it_is_counted_the_page_says_so(page):
    # In what the browser is given first, before any event.
    values = [str(getattr(block, "value", "")) for block in page.blocks.values()]
    assert sum("Counting…" in value for value in values) == 2


def test_a_pause_has_a_reason_and_loses_nothing(office, store, join, researcher, stock, comparisons, prefer):
    stock(comparisons(3).values())
    person = join("ann")
    prefer(person, "a")
    with pytest.raises(Refused, match="reason"):
        set_state(office, researcher, person, state="paused", why="  ")
    said = set_state(office, researcher, person, state="paused", why="answers at random")
    assert "kept" in said and len(list(store.labels())) == 1
    with pytest.raises(Refused, match="paused"):
        office.desk.next(person)
    set_state(office, researcher, person, state="active", why=None)
    assert office.desk.next(person) is not None
    assert details(store, "paused") == [(person, {"why": "answers at random", "by": researcher.id})]
    assert [who for who, _ in details(store, "active")] == [person]
    for wrong, why in (("", "x"), (None, "x"), ("nobody", "x"), (researcher.id, "x"), (person, "x" * 501), ([], "x")):
        with pytest.raises(Refused):
            set_state(office, researcher, wrong, state="paused", why=why)


def test_researchers_are_among_the_annotators_only_where_they_label(
    office, join, researcher, stock, comparisons, prefer, settle
):
    settle(assignment=PLAIN)
    stock(comparisons(2).values())
    join("ann")
    assert "study-rae" not in people_view(rows_of(office)) and ">ann<" in people_view(rows_of(office))
    # They may still be paused, and nobody pauses themselves.
    assert researcher.id in [person for _, person in choices_of(rows_of(office))]
    assert researcher.id not in [person for _, person in choices_of(rows_of(office), but=researcher.id)]
    office.people.keep(researcher.id, "consented", lambda _: office.desk.study.agreement)
    prefer(researcher.id, "a")
    assert "study-rae" in people_view(rows_of(office))


def test_invitations_are_links_that_let_different_people_in(office):
    links = invitations(office, 3, "http://localhost:7860")
    names = {office.sessions.invited(link.removeprefix("http://localhost:7860/join/")) for link in links}
    assert len(names) == 3 and None not in names
    for wrong in (0, 201, 1.5, None, "3"):
        with pytest.raises(Refused, match="200"):
            invitations(office, wrong, "")


def test_somebody_may_be_added_with_a_password(office):
    add_somebody(office, " kim ", "a long password", "annotator")
    add_somebody(office, "lee", "a long password", "researcher")
    assert [office.people.find("password", name).role for name in ("kim", "lee")] == ["annotator", "admin"]
    assert same_password("a long password", office.people.find("password", "kim").details["password"])
    for name, password, role in (
        ("kim", "a long password", "annotator"),
        ("", "a long password", "annotator"),
        ("mo", "short", "annotator"),
        ("mo", None, "annotator"),
        ("mo", "a long password", "owner"),
    ):
        with pytest.raises(Refused):
            add_somebody(office, name, password, role)


def test_the_trail_is_paged_and_filtered(office, store, clock, stock, comparisons, join, prefer):
    stock(comparisons(PAGE + 5).values())
    ann, ben = join("ann"), join("<i>ben</i>")
    for _ in range(PAGE + 5):
        clock.now += 1
        prefer(ann, "a")
    prefer(ben, "b")
    first = read_trail(store, "study")
    assert (first.total, first.first, len(first.rows)) == (PAGE + 10, 1, PAGE) and first.rows[0].person_id == ben
    last = read_trail(store, "study", page=99)
    assert (last.first, [row.kind for row in last.rows][-4:]) == (
        PAGE + 1,
        ["consented", "joined"] * 2,
    )
    assert read_trail(store, "study", person_id=ben).total == 3
    assert read_trail(store, "study", person_id=ann, kind="answered", page=-3).first == 1
    assert kinds_of(store, "study") == ["answered", "consented", "joined"]
    assert read_trail(store, "another study").rows == []
    shown, page = trail_view(office, ben, "", 0)
    assert "&lt;i&gt;ben&lt;/i&gt;" in shown and "<i>ben" not in shown and page == 0


@pytest.fixture
def written(desk, settle, stock, comparisons, join, prefer):
    """Somebody who wrote something of their own with each answer, and changed one of them."""
    settle(assignment=PLAIN)
    stock(comparisons(3).values())
    person = join("Ann Onymous")
    said = [prefer(person, "a", rationale=f"I, Ann, think so {number}") for number in range(2)]
    span = {"response": "1", "start": 0, "end": 3, "quote": "one", "sign": "good", "note": "as Ann likes it"}
    changed = ComparisonAnswer(choice="tie", rationale="Ann again", spans=(span,), reasons=("clearer",))
    desk.revise(said[0].id, person, changed)
    desk.keep_draft(desk.next(person).id, person, {"rationale": "Ann begins"})
    return person


def test_one_persons_data_hold_all_of_it_and_no_password(office, store, written, join):
    join("somebody else")
    office.people.keep(written, "password set", lambda _: {"password": "$argon2id$secret"})
    lines = list(lines_of(store, "study", written))
    text = json.dumps(lines, default=str)
    kinds = [line["kind"] for line in lines]
    # Two answers, one of them in two versions, and one item in hand.
    assert (kinds.count("label"), kinds.count("lease"), kinds.count("person")) == (3, 3, 1)
    assert all(word in text for word in ("Ann Onymous", "Ann again", "Ann begins", "as Ann likes it", "answered"))
    assert "argon2" not in text and "somebody else" not in text
    with pytest.raises(Refused, match="not known"):
        list(lines_of(store, "another study", written))
    assert f"/admin/files/person/{written}" in person_link(office, written) and person_link(office, None) == ""


def test_an_erased_person_leaves_labels_and_no_words(office, store, written, researcher, tmp_path):
    before = sorted((label.comparison_id, label.choice) for label in store.labels())
    pseudonym = {label.annotator_id for label in store.labels()}
    by = Asking(researcher, "http://localhost")
    with pytest.raises(Refused, match="undone"):
        erase_person(office, by, written, sure=False)
    erase_person(office, by, written, sure=True)
    assert sorted((label.comparison_id, label.choice) for label in store.labels()) == before
    assert {label.annotator_id for label in store.labels()} == pseudonym
    assert len(list(store.labels(superseded=True))) == 3
    with store.reading() as connection:
        everything = [
            repr(tuple(row)) for table in (people, leases, events) for row in connection.execute(sa.select(table))
        ]
        (left,) = connection.execute(sa.select(people).where(people.c.role == "annotator")).all()
    kept = "\n".join(everything + [label.model_dump_json() for label in store.records("labels")])
    # The pseudonym's name was chosen by this test; nothing else may tell.
    assert not any(
        word in kept for word in ("Ann Onymous", "Ann again", "Ann begins", "Ann, think", "Ann likes", written)
    )
    assert (left.state, left.id == left.external_id, office.people.get(written)) == ("paused", True, None)
    (answered,) = [each for each in office.counts.annotators(office.desk.study) if each.answered]
    assert (answered.answered, answered.external_id, answered.state) == (2, "", "paused")
    assert details(store, "erased") == [(left.id, {"by": researcher.id, "records": 3})]
    # Records that were replaced are still what their ids say: an export of them can be imported.
    from rewardkit.config import ImportConfig
    from rewardkit.store.exporting import export
    from rewardkit.store.importing import import_files

    export(store, tmp_path / "all.jsonl", "jsonl")
    options = ImportConfig(files=(str(tmp_path / "all.jsonl"),))
    with Store.open(tmp_path / "again.db") as again:
        assert import_files(again, options.files, options, rejects=tmp_path / "rejects").rejected == 0
        assert sorted((label.comparison_id, label.choice) for label in again.labels()) == before
    for wrong in (left.id, researcher.id, "nobody", ""):
        with pytest.raises(Refused):
            erase_person(office, by, wrong, sure=True)


@pytest.fixture
def serve(store, desk):
    """Serve the study; return a function that makes clients with the session of a person."""
    served = build(store, desk.study, "s" * 40, pages=False)

    def client(person=None):
        made = TestClient(served.app, base_url="http://localhost", follow_redirects=False)
        if person is not None:
            made.cookies.set(COOKIE, served.sessions.cookie(person))
        return made

    return client


def test_downloads_are_for_researchers_and_noted(serve, store, written, researcher, join):
    person = join("somebody else")
    paths = [f"/admin/files/export/{name}" for name in ("records.jsonl", "labels.parquet", "preferences-trl.jsonl")]
    paths += [f"/admin/files/person/{written}", "/admin/files/rejects/abcdefghij"]
    for path in paths:
        assert serve(person).get(path).status_code == 403 and serve().get(path).status_code == 303
    client = serve(researcher.id)
    answers = [client.get(path) for path in paths]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 404]
    assert all("attachment" in answer.headers["content-disposition"] for answer in answers[:4])
    assert answers[0].text.count('"kind":"label"') == 3 and answers[1].content[:4] == b"PAR1"
    assert "Ann Onymous" in answers[3].text and '"kind":"person"' not in answers[0].text
    assert [told["name"] for _, told in details(store, "exported")] == [
        "records.jsonl",
        "labels.parquet",
        "preferences-trl.jsonl",
        "one person",
    ]
    for wrong in ("export/rewardkit.db", "export/..%2Fx", "person/nobody", "rejects/..%2F..%2Fetc%2Fpasswd"):
        assert client.get(f"/admin/files/{wrong}").status_code == 404


def test_what_somebody_made_of_a_judges_points_stays_without_their_wording(office, store, written, researcher):
    first = next(label for label in store.labels() if label.annotator_id == office.people.get(written).annotator_id)
    points = {"critique 1": {"decision": "edited", "text": "No, says Ann"}, "verdict": {"decision": "verified"}}
    metadata = {"judge": "j", "points": points, "blind": {first.comparison_id: first.id}}
    reviewed = Label.of(first.comparison_id, first.annotator_id, choice="b", supersedes=first.id, metadata=metadata)
    store.add([reviewed])
    erase_person(office, Asking(researcher, ""), written, sure=True)
    (found,) = [label for label in store.labels() if "points" in label.metadata]
    assert found.metadata["points"] == {"critique 1": {"decision": "edited", "text": ""}, "verdict": points["verdict"]}
    blind = found.metadata["blind"][first.comparison_id]
    assert blind == found.supersedes != first.id
    assert blind in {label.id for label in store.labels(superseded=True)}


def test_what_they_said_to_models_is_erased_and_the_prompts_stay(office, store, join, researcher):
    person, talk = join("ann"), Conversations(office.desk, ChatConfig(most_turns=3))
    office.people.keep(person, "consented", lambda _: {"consent": office.desk.study.version})
    talk.say(person, talk.current(person).pending.token, "I am Ann from Ulm")
    asked = talk.asked(person, talk.current(person).pending.token)
    talk.replied(person, asked, [Reply(text, "m", {}) for text in ("one", "two")])
    talk.pick(person, talk.current(person).pending.token, ComparisonAnswer(choice="first", strength=1))
    said = erase_person(office, Asking(researcher, ""), person, sure=True)
    with store.reading() as connection:
        (left,) = connection.execute(sa.select(conversations)).all()
    assert [(each["role"], bool(each["content"])) for each in left.messages] == [("user", False), ("assistant", True)]
    assert left.person_id.startswith("erased-")
    ((prompt,),) = [each.messages for each in store.prompts()]
    assert prompt.content == "I am Ann from Ulm" and "prompts" in said


@pytest.mark.parametrize("way", ["invitation", "prolific", "signup"])
def test_whoever_was_erased_does_not_come_in_the_same_way_again(settle, request, office, store, researcher, way):
    settle(open_signup=True, prolific=ProlificConfig())
    # Of what is settled by now.
    serve, sessions = request.getfixturevalue("serve"), office.sessions
    client, invitation = serve(), sessions.invitation()

    def come():
        if way == "signup":
            return client.post("/signup", data={"name": "ann", "password": "a long password"})
        return client.get(
            f"/join/{invitation}" if way == "invitation" else "/start?PROLIFIC_PID=5f00000000000000000000aa"
        )

    assert come().status_code == 303
    with store.reading() as connection:
        (known,) = connection.execute(sa.select(people).where(people.c.role == "annotator")).all()
    erase_person(office, Asking(researcher, ""), known.id, sure=True)
    client.cookies.clear()
    again = come()
    assert again.status_code == 403 and "were erased" in again.text and COOKIE not in client.cookies
    # Others still come in.
    assert serve().get(f"/join/{sessions.invitation()}").status_code == 303
    with store.reading() as connection:
        found = connection.execute(sa.select(people.c.state).where(people.c.role == "annotator")).scalars().all()
    assert sorted(found) == ["active", "paused"]
    ((who, why),) = details(store, "refused")
    assert who is None and why["why"] == "erased before"


def test_the_trail_is_told_in_words(office, store, clock, desk, stock, comparisons, join, prefer, researcher):
    stock(comparisons(2).values())
    ann = join("ann")
    lease = prefer(ann, "a")
    desk.give_back(desk.next(ann).id, ann)
    set_state(office, researcher, ann, state="paused", why="too fast")
    set_state(office, researcher, ann, state="active", why="")
    change_settings(desk, researcher.id, {"overlap": 2, "gold_early": 0.1, "guidelines": "Others."})
    told = {each.what: each for each in read_trail(store, "study").told}
    # Who paused somebody did it, and whom it concerned stands beside it.
    paused, resumed = told["paused"], told["resumed"]
    assert (paused.who, paused.more, paused.ids) == ("study-rae", (("whom", "ann"), ("why", "too fast")), ())
    assert (resumed.who, resumed.more) == ("study-rae", (("whom", "ann"),))
    assert told["skipped an item"].who == "ann" and told["skipped an item"].more == ()
    settings = told["changed the settings"]
    assert settings.more == (
        ("labels for each item", "3 → 2"),
        ("gold at first", "20 % → 10 %"),
        ("guidelines", "new"),
    )
    # What programs find it by is kept, behind a click.
    assert dict(told["answered"].ids)["lease"] == lease.id and told["answered"].more == ()
    shown, _ = trail_view(office, "", "", 0)
    assert lease.id in shown and lease.id not in re.sub("<details>.*?</details>", "", shown, flags=re.S)
    # What concerned somebody and what they did are found under either.
    assert {row.kind for row in read_trail(store, "study", person_id=researcher.id).rows} >= {"paused", "settled"}
    assert "paused" in {row.kind for row in read_trail(store, "study", person_id=ann).rows}
