"""Personas go through a real server: consent, check, qualification, all kinds of task; who fails ends nobody else."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event

import pytest
import sqlalchemy as sa
import uvicorn

from labeling_ui.server import build
from labeling_ui.stock import add_items
from labeling_ui.study import Study
from rewardkit.errors import JobFailed
from rewardkit.label_config import AssignmentConfig, CheckConfig, LabelConfig, QualificationConfig, QuestionConfig
from rewardkit.listening import listening
from rewardkit.rubric import load_rubric
from rewardkit.simulate_config import SimulatedAnnotatorConfig
from rewardkit.simulation.answering import Worth
from rewardkit.simulation.driving import House, Tour, drive, tours_of, visitors_of
from rewardkit.simulation.visiting import Visitor
from rewardkit.store.labelling_tables import leases, people
from rewardkit.store.store import Store
from rewardkit.types import Message, Prompt, Response

# A real server and its threads.
pytestmark = pytest.mark.slow
SECRET = "s" * 40
QUESTIONS = tuple(QuestionConfig(text=f"q{n}", options=("a", "b", "c"), right=n % 3 + 1) for n in range(3))
LEVELS = (0.0, 1.0, 2.0)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "d.db") as opened:
        yield opened


@pytest.fixture
def page(store):
    """Serve a study in a thread; end it."""
    running = []

    def start(sets, *, task="comparison", known=(), rubric=None, **settings):
        policy = AssignmentConfig(overlap=2, most_overlap=2, repeats=0.0)
        config = LabelConfig(**{"least_seconds": 0.0, "assignment": policy, "task": task, **settings})
        study = Study("driven", config, rubric)
        add_items(store, study, sets, task=task)
        if known:
            add_items(store, study, known, role="qualification", expected=known)
        served = build(store, study, SECRET, pages=False)
        bound = listening("127.0.0.1", 0, fix="")
        socket = bound.__enter__()
        server = uvicorn.Server(uvicorn.Config(served.app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        running.append((server, thread, bound))
        while not server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{socket.getsockname()[1]}", served.sessions

    yield start
    for server, thread, bound in running:
        server.should_exit = True
        thread.join(20)
        bound.__exit__(None, None, None)


def sets_of(store, count, size=2):
    """Add sets of responses to one prompt each, of rising level; return them with the levels by text."""
    levels, sets = {}, []
    for number in range(count):
        prompt = Prompt.of((Message(role="user", content=f"request {number}"),))
        found = [
            Response.of(prompt.id, f"answer {number} {at}", metadata={"level": LEVELS[at % 3]}) for at in range(size)
        ]
        store.add([prompt, *found])
        levels.update({each.text: LEVELS[at % 3] for at, each in enumerate(found)})
        sets.append(tuple(sorted(each.id for each in found)))
    return sets, levels


def guests(address, sessions, annotators, levels, *, count=None, right=(), stop=None, speed=1e6):
    personas = visitors_of(annotators, count or len(annotators), seed=1)
    links = {each.name: f"{address}/persona/{sessions.persona(each.name)}" for each in personas}
    counted = []
    tours = tours_of(links, personas, House(Worth(levels), right, speed), lambda: counted.append(1), stop or Event())
    return tours, counted


def somebody(name="p", **settings):
    return SimulatedAnnotatorConfig(name=name, **settings)


def test_people_are_dealt_out_in_turn_each_with_a_name_of_their_own():
    annotators = [somebody("h"), somebody("j", kind="judge"), somebody("k")]
    assert [each.name for each in visitors_of(annotators, 5, seed=0)] == ["h-1", "k-1", "h-2", "k-2", "h-3"]


def test_every_item_gets_its_labels_from_simulated_annotators(store, page):
    sets, levels = sets_of(store, 12)
    tours, counted = guests(
        *page(sets), [somebody("sure", reliability=50.0), somebody("clicker", spam="first")], levels
    )
    drive(tours, Event())
    labels = list(store.labels())
    assert Counter(each.comparison_id for each in labels) == dict.fromkeys({x.comparison_id for x in labels}, 2)
    assert len(labels) == len(counted) == sum(tour.labels for tour in tours) == 24
    assert {tour.step for tour in tours} == {"done"} and not any(tour.problem for tour in tours)
    annotators = store.annotators()
    assert len({each.annotator_id for each in labels}) == 2
    assert all(annotators[each.annotator_id].simulated for each in labels)
    with store.reading() as connection:
        came = {tuple(row) for row in connection.execute(sa.select(people.c.entry, people.c.external_id))}
    assert came == {("persona", "sure-1"), ("persona", "clicker-1")}


def test_an_invitation_is_no_personas_link_and_a_person_is_not_simulated(store, page):
    sets, _ = sets_of(store, 1)
    address, sessions = page(sets)
    wrong = [f"/persona/{token}" for token in (sessions.invitation("h-1"), sessions.login("h-1"), "forged")]
    for path in (*wrong, f"/join/{sessions.persona('h-1')}"):
        visitor = Visitor(address + path)
        with pytest.raises(JobFailed, match="403"):
            visitor.enter()
        visitor.leave()
    person = Visitor(f"{address}/join/{sessions.invitation('h-1')}")
    person.enter()
    person.leave()
    assert [each.simulated for each in store.annotators().values()] == [False]


def test_personas_pass_the_check_and_qualify_and_who_does_not_fails(store, page):
    sets, levels = sets_of(store, 6)
    known, more = sets_of(store, 10)
    known = known[6:]
    text_of = {each.id: each.text for each in store.responses()}
    better = {pair: "a" if more[text_of[pair[0]]] > more[text_of[pair[1]]] else "b" for pair in known}
    served = page(
        sets,
        known=better,
        check=CheckConfig(questions=QUESTIONS),
        qualification=QualificationConfig(source="known", items=4, passed=1.0),
    )
    annotators = [
        somebody("good", reliability=50.0),
        somebody("hasty", understanding=0.0),
        somebody("wrong", reliability=-50.0),
    ]
    tours, _ = guests(*served, annotators, more, right=tuple(each.right for each in QUESTIONS))
    drive(tours, Event())
    assert {tour.persona.name: (tour.step, tour.labels) for tour in tours} == {
        "good-1": ("done", 10),
        "hasty-1": ("failed", 0),
        "wrong-1": ("failed", 4),
    }


def test_a_check_whose_answers_are_not_known_is_a_problem_that_is_told(store, page):
    sets, levels = sets_of(store, 1)
    served = page(sets, check=CheckConfig(questions=QUESTIONS))
    tours, _ = guests(*served, [somebody()], levels)
    drive(tours, Event())
    assert "asks 3 questions" in tours[0].problem and tours[0].labels == 0


@pytest.mark.parametrize(("task", "size"), [("ranking", 3), ("rating", 1)])
def test_personas_rank_and_rate(store, page, task, size):
    sets, levels = sets_of(store, 8, size=3)
    if task == "rating":
        sets = [(each,) for found in sets for each in found]
    rubric = load_rubric("fiction")
    served = page(sets, task=task, rubric=rubric)
    tours, _ = guests(*served, [somebody("one", reliability=50.0), somebody("two", reliability=50.0)], levels)
    drive(tours, Event())
    assert [tour.labels for tour in tours] == [len(sets)] * 2 and len(sets) == (8 if size == 3 else 24)
    level = {each.id: each.metadata["level"] for each in store.responses()}
    if task == "ranking":
        pairs = {each.comparison.id: each.comparison for each in store.comparisons()}
        for label in store.labels():
            pair = pairs[label.comparison_id]
            assert (label.choice == "a") == (level[pair.response_a] > level[pair.response_b])
    else:
        low, high = rubric.scale
        ratings = list(store.records("ratings"))
        assert len(ratings) == 48 * len(rubric.criteria)
        ends = {0.0: low, 2.0: high}
        assert all(each.value == ends[level[each.response_id]] for each in ratings if level[each.response_id] in ends)


def test_who_meets_a_text_that_is_not_known_ends_nobody_elses_way(store, page):
    sets, levels = sets_of(store, 4)
    served = page(sets)
    tours, _ = guests(*served, [somebody("one"), somebody("two")], levels)
    tours[0].house = House(Worth({"something else": 1.0}), (), 1e6)
    drive(tours, Event())
    assert "level is not known" in tours[0].problem and tours[1].problem == ""
    assert (tours[0].labels, tours[1].labels, tours[1].step) == (0, 4, "done")


def test_answers_that_are_refused_are_counted_and_not_sent_for_ever(store, page):
    sets, levels = sets_of(store, 2)
    address, sessions = page(sets)
    tours, _ = guests(address, sessions, [somebody()], levels)

    class Hasty(Visitor):
        """Answers a lease that it was never given."""

        def act(self, path, **said):
            return super().act(path, **{**said, "lease": "another"})

    tours[0].visitor = Hasty(tours[0].visitor.link)
    drive(tours, Event())
    assert tours[0].labels == 0 and len(tours[0].visitor.refusals) == 3
    assert "the page refuses what is said: this item was not given to you" in tours[0].problem


def test_a_visit_that_is_stopped_keeps_what_was_said_and_goes_on_where_it_was(store, page):
    sets, levels = sets_of(store, 10)
    served, stop = page(sets), Event()
    tours, _ = guests(*served, [somebody("one")], levels, stop=stop)
    tours[0].told = lambda: tours[0].labels == 4 and stop.set()
    drive(tours, stop)
    assert tours[0].labels == 4 == len(list(store.labels()))
    again, _ = guests(*served, [somebody("one")], levels)
    drive(again, Event())
    assert again[0].labels == 6 and len({each.annotator_id for each in store.labels()}) == 1
    with store.reading() as connection:
        assert set(connection.execute(sa.select(leases.c.state)).scalars()) == {"done"}


def test_dwell_is_the_personas_divided_by_the_speed(store, page):
    sets, levels = sets_of(store, 3)
    tours, _ = guests(*page(sets), [somebody(seconds=10.0, seconds_spread=0.0)], levels, speed=50.0)
    drive(tours, Event())
    assert len(tours[0].each_seconds) == 3 and min(tours[0].each_seconds) > 0.2
    assert all(label.seconds > 0.2 for label in store.labels())


def test_no_answer_comes_before_the_page_takes_one(store, page):
    sets, levels = sets_of(store, 2)
    tours, _ = guests(*page(sets, least_seconds=0.3), [somebody()], levels)
    drive(tours, Event())
    assert tours[0].labels == 2 and not tours[0].visitor.refusals
    assert isinstance(tours[0], Tour) and min(tours[0].each_seconds) >= 0.3


class Page(BaseHTTPRequestHandler):
    """A page whose streams end as `streams` says, one after the other; it waits for the first points of a review."""

    protocol_version = "HTTP/1.1"
    shown = {"lease": "l", "responses": [{"text": "one"}, {"text": "two"}], "answer": {"choice": "first"}}
    waiting = {"step": "review", "points": None, "item": shown}
    there = {**waiting, "points": [{"id": "verdict", "text": "Response 1 is better."}]}

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/join/me":
            self.send_response(303)
            self.send_header("set-cookie", "who=me; Path=/")
            self.send_header("content-length", "0")
            return self.end_headers()
        self.whole({"csrf": "c"} if self.path == "/api/me" else self.waiting)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.told.append((self.path, body))
        if self.path == "/api/review":
            return self.whole({"step": "done"})
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for line in self.server.streams.pop(0):
            data = json.dumps(line).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            if line.get("broken"):
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def whole(self, said):
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def streaming(*streams):
    """Serve a page whose streams are these; yields a persona's way to it, and what it was told."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.daemon_threads, server.streams, server.told = True, list(streams), []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    link = f"http://127.0.0.1:{server.server_address[1]}/join/me"
    tours = tours_of({"p-1": link}, visitors_of([somebody()], 1, 0), House(Worth({}), (), 1e6), lambda: None, Event())
    try:
        yield tours[0], server.told
    finally:
        server.shutdown()
        server.server_close()


def test_points_that_come_as_a_stream_are_waited_for_and_asked_for_again():
    problem, broken = [{"text": "Resp"}, {"problem": "The judge is busy."}], [{"text": "Re", "broken": True}]
    with streaming(problem, broken, [{}, {"text": "Response 1"}, {"turn": Page.there}]) as (tour, told):
        drive([tour], Event())
    assert tour.problem == "" and (tour.step, tour.reviews, tour.labels) == ("done", 1, 0)
    assert [path for path, _ in told] == ["/api/review/points"] * 3 + ["/api/review"]
    assert told[0][1] == {"lease": "l"} and told[-1][1]["points"] == {"verdict": {"decision": "verified"}}


def test_a_stream_that_gives_nothing_is_one_clear_error(monkeypatch):
    monkeypatch.setattr("rewardkit.simulation.driving.QUEUE", 0.0)
    with streaming([{"problem": "The judge is away."}]) as (tour, _):
        drive([tour], Event())
    assert "what was waited for does not come: The judge is away." in tour.problem
    with streaming([{"turn": Page.waiting}]) as (tour, _):
        drive([tour], Event())
    assert "does not come: the page still waits for it" in tour.problem


def test_a_visit_that_is_stopped_leaves_a_stream():
    stop = Event()
    with streaming([{"text": "Re"}, {"turn": Page.there}]) as (tour, told):
        tour.stop = stop
        asked = tour.visitor.lines
        tour.visitor.lines = lambda *args, **said: (stop.set() or line for line in asked(*args, **said))
        drive([tour], stop)
    assert tour.problem == "" and [path for path, _ in told] == ["/api/review/points"]
