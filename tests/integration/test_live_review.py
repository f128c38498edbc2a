"""Reviews whose judge is asked while the annotator waits: a model that does as it is told, and a real one."""

from __future__ import annotations

import json
import runpy
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from rewardkit.store.labelling_tables import events
from rewardkit.store.store import Store
from rewardkit.types import Comparison, Message, Prompt, Response

TALKING = runpy.run_path(str(Path(__file__).parents[1] / "talking.py"))
model, served = TALKING["model"], TALKING["served"]
CRITIQUE, VERDICT, RATING = "Write a short critique", "Which response is better?", "Rate both responses"
TIE = {"task": "comparison", "choice": "tie"}
WISE = {
    CRITIQUE: [
        "<think>Let me ",
        "see.</think>\n- A is *vivid*",
        ": '<b>rain</b>'.\n",
        "- B is flat, as a ",
        "whole.\n",
    ],
    VERDICT: ["B", "\n", "because"],
    "criterion originality": ["A: 2, B: 4"],
    "criterion craft": ["A: 2 and", " B: 4.5\n", "and more"],
    RATING: ["I would rather not."],
}


class Annotator:
    """Somebody who labels."""

    def __init__(self, site):
        self.client = httpx.Client(base_url=site.base, timeout=60)
        self.client.get(site.link)
        self.client.headers["x-csrf-token"] = self.client.get("/api/me").json()["csrf"]
        self.turn = self.post("/api/consent", version=site.study.version)

    def post(self, path, **body):
        return self.client.post(path, json=body).raise_for_status().json()

    def answer(self):
        self.turn = self.post("/api/submit", lease=self.turn["item"]["lease"], answer=TIE)

    @contextmanager
    def stream(self):
        lease = self.turn["item"]["lease"]
        with self.client.stream("POST", "/api/review/points", json={"lease": lease}) as answer:
            assert answer.status_code == 200, answer.read()
            yield (json.loads(line) for line in answer.iter_lines())

    def listen(self):
        with self.stream() as coming:
            lines = list(coming)
        self.turn = lines[-1]["turn"]
        return lines


@pytest.fixture
def annotator():
    opened = []

    def come(site):
        opened.append(Annotator(site))
        return opened[-1]

    yield come
    for each in opened:
        each.client.close()


@contextmanager
def reviewed(folder, *, items=1, texts=("It rained.", "The gutters sang."), **live):
    """Serve a study in which every answer is reviewed: all pairs of some texts, for each of some prompts."""
    with Store.open(folder / "rewardkit.db") as store:
        for number in range(items):
            prompt = Prompt.of((Message(role="user", content=f"A line about rain, {number}."),))
            found = [Response.of(prompt.id, text) for text in texts]
            store.add([prompt, *found, *(Comparison.of(prompt.id, a.id, b.id) for a, b in combinations(found, 2))])
    with served(folder, review={"share": 1.0, "live": {"model": "wise", "seconds": 5, **live}}) as (site, process):
        yield site, process


@pytest.fixture
def script(model):
    model.go.set()
    model.asked.clear()
    model.script = dict(WISE)
    yield model.script
    model.script = {}


def said(lines):
    """Return the parts of what was streamed."""
    parts = {}
    for line in lines:
        if "part" in line:
            parts[line["part"]] = parts.get(line["part"], "") + line["text"]
    return list(parts.values())


def judged(site):
    """Return the judge's labels and ratings."""
    judge = next(each for each in site.store.annotators().values() if each.kind == "judge")
    assert (judge.name, judge.protocol) == ("wise/critique.v1/creative", "critique.v1")
    labels = [each for each in site.store.labels() if each.annotator_id == judge.id]
    return labels, [each for each in site.store.records("ratings") if each.annotator_id == judge.id]


def test_a_judges_words_are_streamed_stored_and_reviewed(model, script, annotator, tmp_path):
    with reviewed(tmp_path, url=model.url) as (site, _):
        someone = annotator(site)
        texts = [each["text"] for each in someone.turn["item"]["responses"]]
        someone.answer()
        assert someone.turn["step"] == "review" and someone.turn["points"] is None
        lease = someone.turn["item"]["lease"]
        early = someone.client.post("/api/review", json={"lease": lease, "answer": TIE, "points": {}})
        assert (early.status_code, early.json()["problem"]) == (409, "the model has not answered yet")
        lines = someone.listen()
        critique, verdict, *ratings = said(lines)
        # Thoughts are not shown, and what was said after the answer is not waited for.
        assert critique == "- A is *vivid*: '<b>rain</b>'.\n- B is flat, as a whole.\n"
        assert verdict == "Better: B\n" and ratings[0] == "originality: A: 2, B: 4" and len(ratings) == 3
        asked = model.asked[0][2]
        assert asked["temperature"] == 0.2 and [each["role"] for each in asked["messages"]] == ["system", "user"]
        # The judge's A is what the annotator sees first.
        assert asked["messages"][1]["content"].index(texts[0]) < asked["messages"][1]["content"].index(texts[1])
        points = {each["id"]: each["text"] for each in someone.turn["points"]}
        assert points["verdict"] == "Response 2 is better." and points["critique 2"] == "B is flat, as a whole."
        assert (
            points["rating craft"] == "craft (1 to 5): 2 for Response 1, 4.5 for Response 2"
            and "rating fit" not in points
        )
        assert all("<b>" not in each["html"] for each in someone.turn["points"])
        decided = {name: {"decision": "verified"} for name in points}
        someone.turn = someone.post("/api/review", lease=lease, answer=TIE, points=decided)
        assert someone.turn["step"] == "done"
        (label,), found = judged(site)
        shown_first = next(each.id for each in site.store.responses() if each.text == texts[0])
        pair = next(site.store.comparisons()).comparison
        assert label.order_shown == ("ab" if pair.response_a == shown_first else "ba")
        assert label.choice == ("b" if pair.response_a == shown_first else "a") and label.seconds > 0
        assert sorted(
            (each.criterion, each.status, each.value) for each in found if each.response_id == shown_first
        ) == [
            ("craft", "ok", 2.0),
            ("fit", "failed", None),
            ("originality", "ok", 2.0),
        ]
        assert "I would rather not." in next(each.reason for each in found if each.status == "failed")
        # Who comes next reads the same, and the model is not asked again.
        model.asked.clear()
        other = annotator(site)
        other.answer()
        assert {each["id"] for each in other.turn["points"]} == set(points) and not model.asked


def test_two_who_wait_for_the_same_words_ask_once(model, script, annotator, tmp_path):
    script[CRITIQUE] = ["A is ", None, "vivid."]
    model.go.clear()
    with reviewed(tmp_path, url=model.url) as (site, _):
        both = annotator(site), annotator(site)
        for each in both:
            each.answer()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(both[0].listen)
            while not model.asked:
                time.sleep(0.01)
            second = pool.submit(both[1].listen)
            model.go.set()
        assert said(first.result()) and not said(second.result())
        assert all(each.turn["points"] for each in both) and len(judged(site)[0]) == 1


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({VERDICT: ["I like both."]}, "no verdict: 'I like both.'"),
        ({CRITIQUE: []}, None),
        ({VERDICT: ["\ud83c"]}, "no verdict: '\N{REPLACEMENT CHARACTER}'"),
    ],
)
def test_an_answer_that_cannot_be_read(model, script, annotator, tmp_path, answers, reason):
    """Without a verdict the review is over; without a critique there is less to review."""
    script.update(answers)
    with reviewed(tmp_path, url=model.url) as (site, _):
        someone = annotator(site)
        someone.answer()
        lines = someone.listen()
        (label,), _ = judged(site)
        if reason is None:
            assert label.status == "ok" and not label.rationale and someone.turn["step"] == "review"
            return
        assert (label.status, label.reason) == ("failed", reason)
        assert lines[-1]["said"] == "The model gave no answer this time; yours is saved."
        assert someone.turn["step"] == "done"
        blind = [each for each in site.store.labels() if each.id != label.id]
        assert [each.metadata["arm"] for each in blind] == ["review"]
        with site.store.reading() as connection:
            query = sa.select(events.c.details).where(events.c.kind == "review failed")
            assert [details["why"] for details in connection.execute(query).scalars()] == [reason]


def test_a_model_that_is_not_there_costs_the_annotator_nothing(annotator, tmp_path):
    with reviewed(tmp_path, items=2, url="http://127.0.0.1:9/v1") as (site, _):
        someone = annotator(site)
        someone.answer()
        someone.listen()
        assert someone.turn["step"] == "item"
        (label,), _ = judged(site)
        assert label.status == "failed" and "ConnectError" in label.reason


def test_pairs_that_share_a_response_are_judged_each(model, script, annotator, tmp_path):
    with reviewed(tmp_path, texts=("It rained.", "The gutters sang.", "Drip."), url=model.url) as (site, _):
        someone = annotator(site)
        for _ in range(3):
            someone.answer()
            assert someone.turn["points"] is None
            someone.listen()
            points = {each["id"]: each["text"] for each in someone.turn["points"]}
            assert points["verdict"] == "Response 2 is better." and "critique 1" in points
            # Its own ratings, and none of what was said beside another response.
            assert points["rating craft"] == "craft (1 to 5): 2 for Response 1, 4.5 for Response 2"
            decided = {name: {"decision": "verified"} for name in points}
            lease = someone.turn["item"]["lease"]
            someone.turn = someone.post("/api/review", lease=lease, answer=TIE, points=decided)
        assert someone.turn["step"] == "done" and len(judged(site)[0]) == 3


@pytest.mark.parametrize("failure", ["break off", "stall"])
def test_what_was_said_before_it_failed_is_reviewed(model, script, annotator, tmp_path, failure):
    """A rating that does not come costs no verdict."""
    script["criterion craft"] = ["A: 2", {"break off": 0, "stall": None}[failure]]
    if failure == "stall":
        model.go.clear()
    with reviewed(tmp_path, url=model.url, seconds=2) as (site, _):
        someone = annotator(site)
        someone.answer()
        someone.listen()
        (label,), _ = judged(site)
        assert label.status == "ok" and label.rationale
        assert {each["id"] for each in someone.turn["points"]} >= {"verdict", "critique 1"}


def test_waiting_for_ones_turn_is_not_counted_as_the_models_time(model, script, annotator, tmp_path):
    script[CRITIQUE] = ["A is ", 0.7, "vivid.\n"]
    with reviewed(tmp_path, items=4, url=model.url, seconds=2, streams=1) as (site, _):
        all_of_them = [annotator(site) for _ in range(4)]
        for each in all_of_them:
            each.answer()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Annotator.listen, all_of_them))
        assert all(label.status == "ok" for label in judged(site)[0])
        assert all(each.turn["points"] for each in all_of_them)


def test_what_a_server_complains_can_be_stored(model, script, annotator, tmp_path):
    script[CRITIQUE] = ["\0\ud83c"]
    script[VERDICT] = ["\0"]
    with reviewed(tmp_path, url=model.url) as (site, _):
        someone = annotator(site)
        someone.answer()
        someone.listen()
        assert someone.turn["step"] == "done" and "\0" not in judged(site)[0][0].reason


def test_nobody_listens_to_what_is_not_theirs(model, script, annotator, tmp_path):
    with reviewed(tmp_path, url=model.url) as (site, _):
        someone, other = annotator(site), annotator(site)
        someone.answer()
        other.turn = someone.turn
        with other.stream() as coming:
            assert [line["problem"] for line in coming] == ["there is nothing to review now"]
        forged = someone.client.post("/api/review/points", json={"lease": "x"}, headers={"x-csrf-token": "forged"})
        assert forged.status_code == 403
        assert not model.asked


@pytest.mark.slow
def test_a_real_model_judges_by_its_probabilities(annotator, tmp_path):
    with reviewed(tmp_path, model="smollm2-135m", max_tokens=40, seconds=60) as (site, _):
        someone = annotator(site)
        someone.answer()
        lines = someone.listen()
        assert someone.turn["step"] == "review", lines
        judge = next(each for each in site.store.annotators().values() if each.kind == "judge")
        labels = [each for each in site.store.labels() if each.annotator_id == judge.id]
        ratings = [each for each in site.store.records("ratings") if each.annotator_id == judge.id]
        assert sorted(each.order_shown for each in labels) == ["ab", "ba"]
        assert all(each.status == "ok" and 0 < each.p_a < 1 and each.metadata["mass_outside"] < 0.99 for each in labels)
        # Six: three criteria of two responses, each within the scale.
        assert len(ratings) == 6 and all(1 < each.value < 5 for each in ratings)
        critique = [each.rationale for each in labels if each.rationale]
        assert len(critique) <= 1 and said(lines)[0]
        assert sum(line.get("part") == 0 for line in lines) > 3
