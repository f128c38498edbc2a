"""Conversations over HTTP: with a model that does as it is told, and with a real one in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from labeling_ui.chatting import ChatFailed
from rewardkit.jobs.chat_models import chat_models
from rewardkit.label_config import ChatConfig
from rewardkit.store.labelling_tables import conversations, events
from rewardkit.types import Message

TALKING = runpy.run_path(str(Path(__file__).parents[1] / "talking.py"))
model, talk, served = TALKING["model"], TALKING["talk"], TALKING["served"]
MODELS, KEY = TALKING["MODELS"], TALKING["KEY"]
SECOND = {"task": "comparison", "choice": "second", "strength": 2}


class Annotator:
    """Somebody with a conversation."""

    def __init__(self, site):
        self.site = site
        self.client = httpx.Client(base_url=site.base, timeout=60)
        self.client.get(site.link)
        self.client.headers["x-csrf-token"] = self.get("/api/me")["csrf"]
        self.turn = self.post("/api/consent", version=site.study.version)

    def get(self, path):
        return self.client.get(path).raise_for_status().json()

    def post(self, path, **body):
        return self.client.post(path, json=body).raise_for_status().json()

    @property
    def chat(self):
        return self.turn["chat"]

    def say(self, text):
        self.turn = self.post("/api/chat/say", token=self.chat["token"], text=text)
        assert self.chat["awaits"] == "replies"

    @contextmanager
    def stream(self):
        with self.client.stream("POST", "/api/chat/replies", json={"token": self.chat["token"]}) as answer:
            assert answer.status_code == 200, answer.read()
            yield (json.loads(line) for line in answer.iter_lines())

    def replies(self):
        """Read a whole stream; return its lines."""
        with self.stream() as coming:
            lines = list(coming)
        self.turn = lines[-1].get("turn", self.turn)
        return lines

    def talk(self, text):
        self.say(text)
        return self.replies()

    def pick(self, **answer):
        self.turn = self.post("/api/chat/pick", token=self.chat["token"], answer={**SECOND, **answer})


@pytest.fixture
def annotator(talk):
    opened = []

    def come():
        opened.append(Annotator(talk))
        return opened[-1]

    yield come
    for each in opened:
        each.client.close()


def notes(site, kind):
    query = sa.select(events.c.details).where(events.c.kind == kind).order_by(events.c.number)
    with site.store.reading() as connection:
        return [details for details in connection.execute(query).scalars()]


def shown(lines):
    """Return the two texts that a stream has shown."""
    return ["".join(line["text"] for line in lines if line.get("place") == place) for place in ("1", "2")]


def test_a_conversation_becomes_comparisons(talk, model, annotator):
    someone = annotator()
    told = []
    for number, text in enumerate(("Hello", "Say *more*"), 1):
        lines = someone.talk(text)
        texts = shown(lines)
        told.append((text, texts[1]))
        assert len([line for line in lines if "text" in line]) == 4 and lines[-1]["turn"]["chat"]["turn"] == number
        assert not any(name in json.dumps(lines) for name in MODELS)
        someone.pick(reasons=["funnier"], rationale="It made me laugh.")
    said = [(message["role"], message["html"]) for message in someone.chat["messages"]]
    assert [role for role, _ in said] == ["user", "assistant"] * 2
    asked = [body for _, _, body in model.asked[-2:]]
    # Both models get the same: what was said and what went on.
    history = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": told[0][1]}]
    assert {body["model"] for body in asked} == set(MODELS)
    assert all(body["messages"] == [*history, {"role": "user", "content": "Say *more*"}] for body in asked)
    assert all(key == f"Bearer {KEY}" for _, key, _ in model.asked)
    found = {c.comparison.id: c for c in talk.store.comparisons() if c.prompt.messages[0].content == "Hello"}
    labels = [label for label in talk.store.labels() if label.comparison_id in found]
    assert len(found) == len(labels) == 2
    assert {c.comparison.source for c in found.values()} == {"chat"}
    assert len({c.comparison.group for c in found.values()}) == 1
    assert sorted(c.comparison.metadata["turn"] for c in found.values()) == [1, 2]
    for label in labels:
        pair = found[label.comparison_id]
        chosen, other = (pair.response_a, pair.response_b)[:: 1 if label.choice == "a" else -1]
        turn = pair.comparison.metadata["turn"] - 1
        assert chosen.text == told[turn][1] and {chosen.model, other.model} == set(MODELS)
        # The second was preferred: the comparison's first one stood first just where it lost.
        assert label.order_shown == ("ba" if label.choice == "a" else "ab")
        assert (label.strength, label.sampling_prob, label.rationale) == (2, 1.0, "It made me laugh.")
        assert label.guideline_version == talk.study.guidelines.version and label.seconds >= 0
        assert chosen.generation == {"temperature": 0.9, "top_p": 0.95, "max_tokens": 400}


@pytest.mark.parametrize(
    ("said", "problem", "why"),
    [
        ("refuse", "The model's server refused.", "HTTP 503"),
        ("nonsense", "The model's server sent what could not be read.", "{broken"),
        ("complaint", "The model's server sent what could not be read.", "has no memory"),
        ("break off", "A reply broke off in the middle.", "without an end"),
        ("empty", "A reply was empty or unreadable.", "empty reply"),
        ("endless", "A reply became too long.", "endless"),
        ("hang", "The replies took too long.", "no whole replies in time"),
    ],
)
def test_a_model_that_fails_is_one_message_and_no_record(talk, annotator, said, problem, why):
    someone, before = annotator(), talk.store.counts()
    lines = someone.talk(said)
    assert lines[-1] == {"problem": problem, "fix": "Your message is kept. Try again."}
    assert not any(name in json.dumps(lines) for name in MODELS)
    note = notes(talk, "chat failed")[-1]
    assert why in note["why"]
    assert talk.store.counts() == before | {"annotators": talk.store.counts()["annotators"]}
    # The message is there, and can be replied to.
    again = someone.get("/api/turn")["chat"]
    assert again["awaits"] == "replies" and again["token"] == someone.chat["token"]
    assert len(again["messages"]) == 1


def test_a_model_that_is_not_there_is_one_message():
    async def read(models):
        return [piece async for piece in models.stream([Message(role="user", content="Hello")], 0)]

    # In a thread: the browser of other tests keeps a loop in this one.
    with (
        ThreadPoolExecutor(1) as pool,
        chat_models(ChatConfig(url="http://127.0.0.1:9/v1", models=("m",))) as models,
        pytest.raises(ChatFailed, match="could not be reached") as raised,
    ):
        pool.submit(lambda: asyncio.run(read(models))).result()
    assert "m: ConnectError" in raised.value.why


def test_others_work_while_a_stream_is_open(talk, model, annotator):
    model.go.clear()
    someone, others = annotator(), [annotator() for _ in range(20)]
    someone.say("wait")
    with someone.stream() as coming:
        assert next(coming)["text"]
        with ThreadPoolExecutor(10) as pool:
            turns = list(pool.map(lambda other: other.get("/api/turn"), others))
        assert [turn["step"] for turn in turns] == ["chat"] * 20
        # It is still open: nothing was waited for.
        assert not model.go.is_set()
        model.go.set()
        lines = list(coming)
    assert lines[-1]["turn"]["chat"]["awaits"] == "choice"


def test_a_page_that_is_closed_ends_the_models_work_and_loses_nothing(talk, model, annotator):
    model.go.clear()
    someone, before = annotator(), talk.store.counts()
    someone.say("listen")
    with someone.stream() as coming:
        assert next(coming)["text"]
    # Both requests to the models are broken off, long before the time is over.
    assert model.left.acquire(timeout=3) and model.left.acquire(timeout=3)
    assert someone.get("/api/turn")["chat"]["awaits"] == "replies"
    assert talk.store.counts() == before
    model.go.set()
    assert someone.replies()[-1]["turn"]["chat"]["awaits"] == "choice"


def test_a_second_window_takes_over(talk, model, annotator):
    model.go.clear()
    someone = annotator()
    someone.say("wait")
    with someone.stream() as first:
        assert next(first)["text"]
        with someone.stream() as second:
            assert next(second)["text"]
            assert list(first)[-1]["problem"] == "The conversation goes on in another window."
            model.go.set()
            assert list(second)[-1]["turn"]["chat"]["awaits"] == "choice"


def test_no_more_streams_than_the_server_has_room_for(talk, model, annotator):
    model.go.clear()
    waiting = [annotator() for _ in range(4)]
    for each in waiting:
        each.say("wait")
    with ExitStack() as stack:
        # Kept in a list: a stream that nobody holds any more is closed.
        streams = [stack.enter_context(each.stream()) for each in waiting[:3]]
        assert all(next(stream)["text"] for stream in streams)
        assert waiting[3].replies()[-1]["problem"] == "Too many people are waiting for replies right now."
        model.go.set()
    assert waiting[3].replies()[-1]["turn"]["chat"]["awaits"] == "choice"


def test_replies_that_are_the_same_are_not_compared_and_halves_of_a_character_are_joined(talk, annotator, model):
    someone = annotator()
    # Two models that say the same are two responses; nothing tells them apart but the model.
    assert someone.talk("same")[-1]["turn"]["chat"]["awaits"] == "choice"
    someone.pick(choice="tie", strength=None)
    someone.talk("halves")
    assert [("🌧" in reply["html"]) for reply in someone.chat["replies"]] == [True, True]


@pytest.mark.slow
def test_a_server_that_is_killed_in_the_middle_goes_on_where_it_was(model, tmp_path):
    model.go.clear()
    chat = {"url": model.url, "models": ["model-alpha"], "conversations": 1}
    with served(tmp_path, chat=chat) as (site, process):
        someone = Annotator(site)
        someone.say("wait")
        with pytest.raises(httpx.HTTPError), someone.stream() as coming:
            assert next(coming)["text"]
            os.kill(process.pid, signal.SIGKILL)
            list(coming)
        cookies = someone.client.cookies
        someone.client.close()
    model.go.set()
    with served(tmp_path, chat=chat) as (site, _):
        with httpx.Client(base_url=site.base, cookies=cookies, timeout=60) as client:
            someone.site, someone.client = site, client
            client.headers["x-csrf-token"] = someone.get("/api/me")["csrf"]
            someone.turn = someone.get("/api/turn")
            assert someone.chat["awaits"] == "replies" and len(someone.chat["messages"]) == 1
            assert site.store.counts().get("responses", 0) == 0
            assert someone.replies()[-1]["turn"]["chat"]["awaits"] == "choice"
            someone.pick()
            # One model twice that says the same: nothing is to be chosen, and the conversation goes on.
            assert someone.talk("same")[-1]["turn"]["chat"]["awaits"] == "message"
        with site.store.reading() as connection:
            assert connection.execute(sa.select(conversations.c.turns)).scalars().all() == [2]
        assert len(list(site.store.labels())) == 1


@pytest.mark.slow
def test_a_real_model_in_a_process_of_its_own(tmp_path):
    chat = {"models": ["smollm2-135m"], "max_tokens": 32, "system": "You are a poet."}
    with served(tmp_path, chat=chat) as (site, process):
        workers = children(process.pid)
        assert len(workers) == 1
        someone = Annotator(site)
        someone.say("Write a line about rain.")
        with someone.stream() as coming:
            lines = [next(coming)]
            # Others are served while the model writes.
            threads = [threading.Thread(target=site_turn, args=(site,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            lines += list(coming)
            for thread in threads:
                thread.join()
        someone.turn = lines[-1]["turn"]
        texts = shown(lines)
        assert texts[0] != texts[1] and all(len([x for x in lines if x.get("place") == p]) > 1 for p in "12")
        someone.pick()
        (label,), (pair,) = list(site.store.labels()), list(site.store.comparisons())
        chosen = pair.response_a if label.choice == "a" else pair.response_b
        assert chosen.text == texts[1].strip() and chosen.model == "smollm2-135m"
        assert set(chosen.generation) == {"temperature", "top_p", "max_tokens", "seed"}
        assert [message.role for message in pair.prompt.messages] == ["system", "user"]
        assert chat["system"] not in json.dumps(someone.turn)
        someone.client.close()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        # The model goes with its server, however that ended.
        deadline = time.monotonic() + 10
        while alive(workers[0]) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not alive(workers[0])


@pytest.mark.slow
def test_a_real_server_behind_a_url(serving, tmp_path):
    url, name = serving
    chat = {"url": url, "models": [name], "max_tokens": 12, "seconds": 100}
    with served(tmp_path, chat=chat) as (site, _):
        someone = Annotator(site)
        lines = someone.talk("Write a line about rain.")
        texts = shown(lines)
        assert all(texts) and sum("text" in line for line in lines) > 4
        # This server takes the most probable words unless its model's own settings say otherwise, so that both
        # replies may be the same; then nothing is to be chosen, and the conversation goes on.
        assert someone.chat["awaits"] == ("message" if texts[0] == texts[1] else "choice")
        stored = {each.text: each.model for each in site.store.responses()}
        assert stored == {text.strip(): name for text in texts}
        someone.client.close()


@pytest.mark.slow
def test_two_local_models_reply_from_a_process_each(tiny_model):
    names = tuple(str(tiny_model(layers=layers)) for layers in (1, 2))

    async def read(models):
        return [piece async for piece in models.stream([Message(role="user", content="Hello")], 3)]

    with ThreadPoolExecutor(1) as pool, chat_models(ChatConfig(models=names, max_tokens=8)) as models:
        pieces, again = (pool.submit(lambda: asyncio.run(read(models))).result() for _ in range(2))
    texts = ["".join(piece.text for piece in pieces if piece.reply == reply) for reply in (0, 1)]
    assert models.models == names and all(texts) and texts[0] != texts[1]
    # The seed decides what is sampled, whichever process is faster.
    assert sorted(pieces) == sorted(again) and models.generation(3)["seed"] == 3


def site_turn(site):
    other = Annotator(site)
    assert other.turn["step"] == "chat"
    other.client.close()


def children(pid):
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found if b"chat_worker" in Path(f"/proc/{each}/cmdline").read_bytes()]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
