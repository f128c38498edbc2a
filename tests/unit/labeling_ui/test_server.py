"""The server over HTTP, without a browser: who gets in, what is refused, and what it leaves in the store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from labeling_ui import entrances
from labeling_ui.passwords import same_password
from labeling_ui.server import build
from labeling_ui.sessions import COOKIE
from labeling_ui.stock import add_items
from labeling_ui.study import Study
from rewardkit.label_config import (
    AssignmentConfig,
    CheckConfig,
    LabelConfig,
    ProlificConfig,
    QualificationConfig,
    QuestionConfig,
    ReviewConfig,
)
from rewardkit.store.labelling_tables import events, people
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label

SECRET = "s" * 40
TIE = {"task": "comparison", "choice": "tie"}


@pytest.fixture(scope="module")
def module_store(tmp_path_factory):
    with Store.open(tmp_path_factory.mktemp("server") / "s.db") as store:
        yield store


@pytest.fixture
def serve(module_store, add_comparisons, request):
    """Serve a study of its own; return a function that makes clients, and the comparisons."""

    def start(count=5, *, known=0, **settings):
        study = Study(request.node.name, LabelConfig(**{"least_seconds": 0.0, **settings}))
        ids = add_comparisons(module_store, count, tag=f"{study.name} ")
        add_items(module_store, study, ids.values())
        if known:
            answers = add_comparisons(module_store, known, tag=f"{study.name} known ")
            add_items(
                module_store,
                study,
                answers.values(),
                role="qualification",
                expected=dict.fromkeys(answers.values(), "a"),
            )
        return Visit(build(module_store, study, SECRET, pages=False), module_store, study)

    return start


class Visit:
    def __init__(self, served, store, study):
        self.served, self.store, self.study = served, store, study

    def client(self, path=None):
        client = TestClient(self.served.app, base_url="http://localhost", follow_redirects=False)
        if path is not None:
            answer = client.get(path)
            assert answer.status_code == 303, answer.text
            self.arm(client)
        return client

    def arm(self, client):
        client.headers["x-csrf-token"] = client.get("/api/me").json()["csrf"]

    def invited(self, *, agreed=True):
        client = self.client(f"/join/{self.served.sessions.invitation()}")
        if agreed:
            assert client.post("/api/consent", json={"version": self.study.version}).status_code == 200
        return client

    def kinds(self):
        with self.store.reading() as connection:
            return list(connection.execute(sa.select(events.c.kind).where(events.c.study == self.study.name)).scalars())


def turn(client):
    return client.get("/api/turn").json()


def test_an_annotator_comes_agrees_labels_and_is_done(serve):
    visit = serve(2)
    client = visit.invited(agreed=False)
    first = turn(client)
    assert first["step"] == "consent" and "<ul>" in first["guidelines"]
    view = client.post("/api/consent", json={"version": first["version"]}).json()
    seen = []
    while view["step"] == "item":
        assert turn(client)["item"]["lease"] == view["item"]["lease"]
        seen.append(view["item"]["messages"][0]["html"])
        view = client.post("/api/submit", json={"lease": view["item"]["lease"], "answer": TIE}).json()
    assert len(set(seen)) == 2 and view["step"] == "done" and len(view["code"]) == 8 and view["url"] is None
    assert view["progress"]["done"] == 2 and visit.kinds().count("answered") == 2


def test_nothing_in_an_item_tells_of_models_gold_or_ids(serve):
    visit = serve(1)
    item = turn(visit.invited())["item"]
    told = "lease task qualification messages responses criteria rates scale reasons may_edit may_mark"
    assert set(item) == {*told.split(), "least_seconds", "draft", "answer"}
    assert all(set(response) == {"html", "text"} for response in item["responses"])


def test_prolific_annotators_come_and_go_by_their_id(serve):
    visit = serve(1, prolific=ProlificConfig(study_id="s1"))
    client = visit.client("/start?PROLIFIC_PID=abc123&STUDY_ID=s1&SESSION_ID=x")
    client.post("/api/consent", json={"version": visit.study.version})
    view = client.post("/api/submit", json={"lease": turn(client)["item"]["lease"], "answer": TIE}).json()
    assert view["url"] == f"https://app.prolific.com/submissions/complete?cc={view['code']}"
    kept = visit.served.people.find("prolific", "abc123").details["prolific"]
    assert kept == {"study": "s1", "session": "x"}
    assert serve(1).client().get("/start?PROLIFIC_PID=abc123&STUDY_ID=s1").status_code == 403
    # The same person again, with nothing lost.
    again = visit.client("/start?PROLIFIC_PID=abc123&STUDY_ID=s1")
    assert turn(again)["progress"]["done"] == 1
    for wrong in ("/start", "/start?PROLIFIC_PID=<script>&STUDY_ID=s1", "/start?PROLIFIC_PID=abc&STUDY_ID=s2"):
        answer = visit.client().get(wrong)
        assert answer.status_code == 403 and "<script>" not in answer.text and COOKIE not in answer.cookies


def test_labels_carry_a_pseudonym(serve):
    visit = serve(1, prolific=ProlificConfig())
    client = visit.client("/start?PROLIFIC_PID=5f3worker9&STUDY_ID=s")
    client.post("/api/consent", json={"version": visit.study.version})
    client.post("/api/submit", json={"lease": turn(client)["item"]["lease"], "answer": TIE})
    names = [annotator.name for annotator in visit.store.annotators().values()]
    assert not any("5f3worker9" in name for name in names)
    assert sum(name.startswith(visit.study.name) for name in names) == 1


def test_whoever_is_not_known_sees_nothing(serve):
    visit = serve(1)
    stranger = visit.client()
    for path in ("/work/", "/work/config", "/admin/", "/admin/anything"):
        assert stranger.get(path).headers["location"] == "/login"
        assert stranger.post(path, json={}).status_code == 401
    for path in ("/api/turn", "/api/me", "/api/latest"):
        assert stranger.get(path).status_code == 401
    assert stranger.post("/api/submit", json={"lease": "x", "answer": TIE}).status_code == 401
    assert stranger.get("/join/forged").status_code == stranger.get("/researcher/forged").status_code == 403
    assert stranger.get("/docs").status_code == stranger.get("/openapi.json").status_code == 404
    forged = visit.client()
    forged.cookies.set(COOKIE, "InNvbWVib2R5Ig.x.y")
    assert forged.get("/api/turn").status_code == 401


def test_only_researchers_see_their_page(serve):
    visit = serve(1)
    assert visit.invited().get("/admin/").status_code == 403
    researcher = visit.client(f"/researcher/{visit.served.sessions.login('kim')}")
    # Through the gate; the pages themselves are not served here.
    assert researcher.get("/admin/").status_code == researcher.get("/work/").status_code == 404


def test_a_change_needs_the_sessions_token(serve):
    visit = serve(1)
    client, other = visit.invited(), visit.invited()
    lease = turn(client)["item"]["lease"]
    for token in ("", "forged", other.headers["x-csrf-token"]):
        answer = client.post("/api/submit", json={"lease": lease, "answer": TIE}, headers={"x-csrf-token": token})
        assert answer.status_code == 403
    assert turn(client)["progress"]["done"] == 0


def test_stale_doubled_and_forged_submissions_are_refused_with_a_message_and_noted(serve):
    visit = serve(3)
    client, other = visit.invited(), visit.invited()
    lease = turn(client)["item"]["lease"]
    assert client.post("/api/submit", json={"lease": lease, "answer": TIE}).status_code == 200
    doubled = client.post("/api/submit", json={"lease": lease, "answer": TIE})
    assert doubled.status_code == 409 and doubled.json()["problem"] == "this item is answered already"
    assert other.post("/api/submit", json={"lease": lease, "answer": TIE}).status_code == 409
    wrong_task = {"task": "ranking", "ranks": {"1": 1, "2": 2}}
    mine = turn(client)["item"]["lease"]
    assert "a comparison is asked for" in client.post("/api/submit", json={"lease": mine, "answer": wrong_task}).text
    assert visit.kinds().count("refused") == 3 and visit.kinds().count("answered") == 1


@pytest.mark.parametrize(
    "body",
    [
        {"answer": TIE},
        {"lease": "x" * 65, "answer": TIE},
        {"lease": "x", "answer": {"task": "comparison", "choice": "left"}},
        {"lease": "x", "answer": TIE, "person": "somebody else"},
        [],
    ],
)
def test_forms_that_cannot_be_read_are_refused(serve, body):
    assert serve(1).invited().post("/api/submit", json=body).status_code == 422


def test_a_request_that_is_too_large_is_not_read(serve):
    client = serve(1).invited()
    assert client.post("/api/draft", content=b"x" * 2_000_001).status_code == 413


def test_drafts_are_kept_and_answers_can_be_changed(serve):
    visit = serve(2)
    client = visit.invited()
    lease = turn(client)["item"]["lease"]
    assert client.post("/api/draft", json={"lease": lease, "draft": {"rationale": "so far"}}).json() == {"kept": True}
    assert turn(client)["item"]["draft"] == {"rationale": "so far"}
    client.post("/api/submit", json={"lease": lease, "answer": TIE})
    assert [each["lease"] for each in client.get("/api/latest").json()["answers"]] == [lease]
    assert client.get(f"/api/latest/{lease}").json()["item"]["answer"]["choice"] == "tie"
    assert client.get("/api/latest/other").status_code == 409
    better = {"task": "comparison", "choice": "first", "strength": 3}
    assert client.post("/api/revise", json={"lease": lease, "answer": better}).json()["step"] == "item"
    assert client.get(f"/api/latest/{lease}").json()["item"]["answer"]["strength"] == 3


def test_a_break_and_a_skip(serve):
    visit = serve(2)
    client = visit.invited()
    lease = turn(client)["item"]["lease"]
    assert client.post("/api/break", json={"on": True}).json()["step"] == turn(client)["step"] == "break"
    assert client.post("/api/break", json={"on": False}).json()["item"]["lease"] == lease
    other = client.post("/api/give-back", json={"lease": lease}).json()["item"]["lease"]
    assert other != lease


def test_the_comprehension_check(serve):
    question = QuestionConfig(text="Is longer *better*?", options=("yes", "no <b>"), right=2)
    visit = serve(1, check=CheckConfig(questions=(question,), tries=2))
    client = visit.invited()
    view = turn(client)
    assert view["step"] == "check" and view["questions"][0]["options"][1] == "<bdi>no &lt;b&gt;</bdi>"
    assert client.post("/api/check", json={"answers": []}).status_code == 409
    assert client.post("/api/check", json={"answers": [1]}).json()["wrong"] == [1]
    assert client.post("/api/check", json={"answers": [2]}).json()["step"] == "item"
    assert client.post("/api/check", json={"answers": [2]}).status_code == 409
    careless = visit.invited()
    for _ in range(2):
        last = careless.post("/api/check", json={"answers": [1]})
    assert last.json()["step"] == "failed"


@pytest.mark.parametrize(("side", "step"), [("a", "item"), ("b", "failed")])
def test_qualification_opens_the_work_or_not(serve, side, step):
    visit = serve(2, known=2, qualification=QualificationConfig(source="known", items=2, passed=1.0))
    client = visit.invited()
    for _ in range(2):
        view = turn(client)
        assert view["item"]["qualification"]
        # Which response is A is not said: it is the one whose id sorts first.
        with visit.store.reading() as connection:
            from labeling_ui.leases import lease_of, locked

            shown = lease_of(locked(connection, view["item"]["lease"])).shown
        choice = "first" if (shown == (0, 1)) == (side == "a") else "second"
        answer = {"task": "comparison", "choice": choice, "strength": 1}
        view = client.post("/api/submit", json={"lease": view["item"]["lease"], "answer": answer}).json()
    assert view["step"] == step and turn(client)["step"] == step
    assert step == "failed" or not view["item"]["qualification"]


def test_names_and_passwords(serve):
    visit = serve(1, open_signup=True)
    form = {"name": "Ann <b>", "password": "a long password"}
    client = visit.client()
    assert client.post("/signup", data=form).headers["location"] == "/work/"
    visit.arm(client)
    assert turn(client)["step"] == "consent"
    assert visit.client().post("/signup", data=form).status_code == 403
    assert visit.client().post("/login", data=form).headers["location"] == "/work/"
    assert "wrong" in visit.client().post("/login", data={**form, "password": "another password"}).text
    elsewhere = visit.client().post("/login", data=form, headers={"origin": "https://evil.example"})
    assert elsewhere.status_code == 403 and "another site" in elsewhere.text
    with visit.store.reading() as connection:
        kept = connection.execute(sa.select(people.c.details).where(people.c.external_id == "Ann <b>")).scalar_one()
    assert kept["password"].startswith("$argon2id$")
    for _ in range(4):
        visit.client().post("/login", data={**form, "password": "another password"})
    assert "too many attempts" in visit.client().post("/login", data=form).text


def test_of_passwords_guessed_at_the_same_time_five_are_tried_and_two_at_once(serve, monkeypatch):
    visit, running, most, tried = serve(1, open_signup=True), Semaphore(entrances.HASHED_AT_ONCE), [], []
    form = {"name": "ann", "password": "a long password"}
    visit.client().post("/signup", data=form)

    def counted(password, stored):
        most.append(running.acquire(blocking=False))
        try:
            tried.append(password)
            return same_password(password, stored)
        finally:
            running.release()

    monkeypatch.setattr(entrances, "same_password", counted)
    # Of a server there is one loop.
    with visit.client() as client, ThreadPoolExecutor(20) as pool:
        wrong = [{**form, "password": f"wrong password {number}"} for number in range(20)]
        answers = list(pool.map(lambda each: client.post("/login", data=each).text, wrong))
    assert all(most) and len(tried) == 5
    assert sum("is wrong" in each for each in answers) == 5
    assert sum("too many attempts" in each for each in answers) == 15


def test_signups_from_one_address_are_counted(serve, monkeypatch):
    monkeypatch.setattr(entrances, "MOST_SIGNUPS", 3)
    client = serve(1, open_signup=True).client()
    answers = [client.post("/signup", data={"name": f"n{n}", "password": "a long password"}) for n in range(4)]
    assert [answer.status_code for answer in answers] == [303, 303, 303, 403]
    assert "too many attempts" in answers[-1].text


def test_signup_is_closed_unless_it_is_opened(serve):
    answer = serve(1).client().post("/signup", data={"name": "ann", "password": "a long password"})
    assert answer.status_code == 403 and "only people who were invited" in answer.text


@pytest.mark.parametrize("opened", [False, True])
def test_the_form_for_passwords_is_there_for_whoever_can_use_it(serve, opened):
    visit = serve(open_signup=opened)
    shown = visit.client().get("/login").text
    assert "If you were sent a link, open it" in shown
    assert ("<form" in shown) == ("first time" in shown) == opened
    visit.served.people.join("password", "kim", Annotator.of("human", "kim"))
    assert "Log in" in visit.client().get("/login").text


def test_what_there_is_not_is_said_in_words_to_people(serve):
    client = serve().client()
    for path in ("/nope", "/static/nope.js"):
        page = client.get(path, headers={"accept": "text/html,*/*"})
        assert page.status_code == 404 and "There is no such page." in page.text and "<h1>" in page.text
        assert client.get(path).json() == {"detail": "Not Found"}


def test_cookies_and_headers_protect_the_page(serve):
    visit = serve(1)
    answer = visit.client().get(f"/join/{visit.served.sessions.invitation()}")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "secure" not in cookie
    for path in ("/login", "/api/turn", "/work/", "/static/work.js"):
        headers = visit.client().get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    public = serve(1, public_url="https://study.example")
    assert "secure" in public.client().get(f"/join/{public.served.sessions.invitation()}").headers["set-cookie"].lower()


def test_with_nothing_left_the_page_says_so(serve):
    visit = serve(1, assignment=AssignmentConfig(overlap=1, most_overlap=1))
    first, second = visit.invited(), visit.invited()
    assert turn(first)["step"] == "item"
    # A code is for those who have answered something.
    nothing = turn(second)
    assert (nothing["step"], nothing["code"], nothing["progress"]["done"]) == ("done", None, 0)


def test_a_judges_points_follow_the_blind_answer(serve):
    visit = serve(1, review=ReviewConfig(judge="wise", share=1.0))
    judge = Annotator.of("judge", "wise", settings={"study": visit.study.name})
    (comparison,) = [each for each in visit.store.comparisons() if visit.study.name in each.prompt.messages[0].content]
    said = Label.of(comparison.comparison.id, judge.id, choice="a", p_a=0.8, rationale="<b>vivid</b>")
    visit.store.add([judge, said])
    client = visit.invited()
    lease = turn(client)["item"]["lease"]
    view = client.post("/api/submit", json={"lease": lease, "answer": TIE}).json()
    assert view["step"] == turn(client)["step"] == "review" and view["item"]["answer"]["choice"] == "tie"
    assert [point["id"] for point in view["points"]] == ["verdict", "critique 1"] and "<b>" not in str(
        view["points"][1]["html"]
    )
    better = {"task": "comparison", "choice": "first", "strength": 1}
    form = {"lease": lease, "answer": better, "points": {"verdict": {"decision": "verified"}}}
    assert client.post("/api/review", json=form).status_code == 409
    form["points"]["critique 1"] = {"decision": "rejected"}
    assert client.post("/api/review", json=form).json()["step"] == "done"
    kept = [each for each in visit.store.labels(superseded=True) if each.metadata.get("lease") == lease]
    assert sorted(str(each.choice) for each in kept)[-1] == "tie" and len(kept) == 2
