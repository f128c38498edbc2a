"""How the server behaves when much is asked, when clients leave, when it ends and when its model fails."""

from __future__ import annotations

import runpy
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from rewardkit.errors import ConfigError
from rewardkit.listening import listening
from rewardkit.serving.options import KEY
from rewardkit.serving.server import check_open
from rewardkit.serving.worker import MOST_FAILURES

SERVED = runpy.run_path(str(Path(__file__).parents[2] / "served.py"))
ByHand, serving, client, end, PATIENCE = (SERVED[name] for name in ("ByHand", "serving", "client", "end", "PATIENCE"))


@pytest.fixture
def pool():
    with ThreadPoolExecutor(32) as threads:
        yield threads


def rewards(address, *texts):
    with client(address) as http:
        return http.post("/v1/rewards", json={"responses": texts})


def until(holds):
    end_ = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end_, "it does not come about"
        time.sleep(0.005)


def waiting(server, texts):
    """Wait until so many texts stand in the line."""
    until(lambda: len(server.service.line._texts) == texts)


def test_many_clients_get_each_their_own(pool):
    with serving(ByHand(budget=40)) as (_, address):
        asked = [["x" * (place + n) for n in range(place % 4)] for place in range(64)]
        answers = list(pool.map(lambda texts: rewards(address, *texts).json(), asked))
    assert [each["rewards"] for each in answers] == [[float(len(text)) for text in texts] for texts in asked]


def test_what_waits_while_the_model_reads_is_read_together(pool):
    engine = ByHand()
    with serving(engine) as (server, address):
        engine.open.clear()
        first = pool.submit(rewards, address, "first")
        assert engine.reading.wait(PATIENCE)
        others = [pool.submit(rewards, address, text) for text in "abc"]
        waiting(server, 3)
        engine.open.set()
        assert all(each.result(PATIENCE).is_success for each in (first, *others))
    assert engine.passes[0] == ["first"] and sorted(engine.passes[1]) == ["a", "b", "c"]


def test_too_much_is_refused_with_the_time_to_come_again_and_then_answered(pool):
    engine = ByHand()
    with serving(engine, most_waiting=100) as (server, address):
        assert rewards(address, "x" * 90).is_success
        server.service.line._read, server.service.line._seconds = 20.0, 1.0
        engine.open.clear()
        waits = pool.submit(rewards, address, "x" * 90)
        until(lambda: server.service.line.tokens == 90)
        refused = rewards(address, "y" * 60)
        # The text is taken for 15 tokens until it is encoded: five too many at 20 a second.
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) == 1
        assert "90 tokens wait already" in refused.json()["error"]["message"]
        engine.open.set()
        assert waits.result(PATIENCE).json()["rewards"] == [90.0]
        assert rewards(address, "y" * 60).json()["rewards"] == [60.0]
        with client(address) as http:
            assert "rewardkit_rejected_requests_total 1.0" in http.get("/metrics").text


def test_more_than_memory_holds_is_refused_for_a_moment(pool, monkeypatch):
    engine = ByHand()
    with serving(engine, most_bytes=2000) as (server, address):
        engine.open.clear()
        waits = pool.submit(rewards, address, "x" * 1900)
        assert engine.reading.wait(PATIENCE)
        monkeypatch.setattr("rewardkit.serving.gate.MOST_HELD", 0)
        refused = rewards(address, "y")
        assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
        with client(address) as http:
            # Whoever asks whether it lives is answered meanwhile.
            assert http.get("/health").is_success and http.get("/metrics").is_success
        engine.open.set()
        assert waits.result(PATIENCE).is_success
        until(lambda: server.gate.inside == 0)
        assert rewards(address, "y").is_success


class Reads(ByHand):
    """Encodes a portion when it is let."""

    def __init__(self):
        super().__init__()
        self.portions, self.let = [], threading.Semaphore(0)

    def encode(self, asked):
        self.portions.append(len(asked))
        assert self.let.acquire(timeout=PATIENCE)
        return super().encode(asked)


def test_a_large_request_is_encoded_by_portions_and_not_to_its_end_when_its_client_left(pool, monkeypatch):
    monkeypatch.setattr("rewardkit.serving.service.PORTION", 10)
    engine = Reads()
    with serving(engine) as (server, address):
        with pytest.raises(httpx.ReadTimeout), client(address) as http:
            http.post("/v1/rewards", json={"responses": ["four"] * 9}, timeout=0.2)
        until(lambda: server.gate.inside == 0)
        other = pool.submit(rewards, address, "a text of more than ten letters")
        engine.let.release(2)
        assert other.result(PATIENCE).is_success
        assert engine.portions == [2, 1]
        # Nothing is encoded beyond what may wait.
        engine.let.release(100)
        with client(address) as http:
            refused = http.post("/v1/rewards", json={"responses": ["x" * 4000, "y" * 4000, "z" * 4000, "q" * 4000]})
        assert refused.status_code == 413 and engine.portions == [2, 1, 1, 1, 1]


def test_texts_that_are_still_encoded_keep_no_process():
    engine = Reads()
    with serving(engine, drain_seconds=0.1) as (_, address), pytest.raises(httpx.ReadTimeout), client(address) as http:
        http.post("/v1/rewards", json={"responses": ["gone"]}, timeout=0.2)
    encoding = [each for each in threading.enumerate() if each.name == "encoding"]
    assert encoding and all(each.daemon for each in encoding)
    engine.let.release()


def test_whoever_leaves_makes_room(pool):
    engine = ByHand()
    with serving(engine) as (server, address):
        engine.open.clear()
        first = pool.submit(rewards, address, "first")
        assert engine.reading.wait(PATIENCE)
        with pytest.raises(httpx.ReadTimeout), client(address) as http:
            http.post("/v1/rewards", json={"responses": ["gone"] * 5}, timeout=0.2)
        until(lambda: server.service.line.tokens == len("first"))
        stays = pool.submit(rewards, address, "stays")
        until(lambda: server.service.line.tokens == len("first") + len("stays"))
        engine.open.set()
        assert first.result(PATIENCE).is_success and stays.result(PATIENCE).is_success
        assert engine.passes == [["first"], ["stays"]]
        with client(address) as http:
            assert 'rewardkit_requests_total{path="/v1/rewards",status="499"} 1.0' in http.get("/metrics").text


def test_told_to_end_it_answers_whom_it_let_in_and_nobody_else(pool):
    engine = ByHand(budget=2)
    with serving(engine) as (server, address):
        engine.open.clear()
        let_in = [pool.submit(rewards, address, "x" * size) for size in range(1, 20)]
        assert engine.reading.wait(PATIENCE)
        until(lambda: server.service.line.tokens == sum(range(1, 20)))
        with client(address) as http:
            assert http.get("/health").status_code == 200
            end(server)
            health = http.get("/health")
            assert health.status_code == 503 and "about to end" in health.json()["status"]
        late = rewards(address, "late")
        assert late.status_code == 503 and late.headers["connection"] == "close"
        engine.open.set()
        assert [each.result(PATIENCE).json()["rewards"] for each in let_in] == [[float(n)] for n in range(1, 20)]
        until(lambda: not reachable(address))
    assert not server.service.worker.failed


def reachable(address):
    try:
        with client(address) as http:
            return http.get("/health").status_code > 0
    except httpx.TransportError:
        return False


def test_those_whom_it_cannot_answer_in_time_are_told(pool):
    engine = ByHand()
    with serving(engine, drain_seconds=0.1) as (server, address):
        engine.open.clear()
        read, waits = pool.submit(rewards, address, "read"), None
        assert engine.reading.wait(PATIENCE)
        waits = pool.submit(rewards, address, "waits")
        waiting(server, 1)
        end(server)
        for each in (read, waits):
            answer = each.result(PATIENCE)
            assert answer.status_code == 503 and "ask again" in answer.json()["error"]["message"]


def test_a_model_that_dies_is_told_of():
    engine = ByHand()
    with serving(engine) as (server, address):
        assert rewards(address, "well").is_success
        failed = rewards(address, *["!"] * MOST_FAILURES)
        assert failed.status_code == 503 and "restart the server" in failed.json()["error"]["message"]
        until(lambda: not server.service.worker.alive)
        with client(address) as http:
            assert http.get("/health").status_code == 503
            assert http.get("/metrics").is_success
        assert rewards(address, "later").status_code == 503
    assert server.service.worker.failed


def test_a_text_that_the_model_cannot_read_is_data():
    with serving(ByHand()) as (_, address):
        found = rewards(address, "well", "loud!").json()
        assert found["rewards"] == [4.0, None] and found["reasons"] == [None, "the model failed on this text"]


def test_a_client_that_stays_connected_does_not_hold_up_the_end():
    with serving(ByHand()) as (_, address), client(address) as http:
        assert http.get("/health").is_success
        # The connection is kept, here and there.


def test_texts_are_encoded_by_one_thread(pool):
    """A tokenizer is told by its own state whether control tokens are text."""
    inside, most, lock = 0, 0, threading.Lock()

    class Counting(ByHand):
        def encode(self, asked):
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.005)
            with lock:
                inside -= 1
            return super().encode(asked)

    with serving(Counting()) as (_, address):
        assert all(each.is_success for each in pool.map(lambda n: rewards(address, str(n)), range(16)))
    assert most == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org", ""])
def test_without_a_key_nobody_else_reaches_it(host):
    with pytest.raises(ConfigError, match="no key is set") as refused:
        check_open(host, "")
    assert KEY in refused.value.fix
    check_open(host, "a key")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_alone_it_needs_no_key(host):
    check_open(host, "")


def test_an_address_is_taken_as_soon_as_it_is_chosen():
    with (
        listening("127.0.0.1", 0, fix="") as bound,
        pytest.raises(ConfigError, match="cannot listen"),
        listening(*bound.getsockname(), fix="--port 0"),
    ):
        pass


def test_an_address_that_is_taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with (
            pytest.raises(ConfigError, match="cannot listen") as refused,
            listening(*other.getsockname(), fix="--port 0"),
        ):
            pass
        assert "--port 0" in refused.value.fix
