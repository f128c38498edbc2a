"""`rewardkit serve` as a process: the rewards of `RewardModel.score`, whoever asks in whichever form, and its end."""

from __future__ import annotations

import asyncio
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import numpy as np
import pytest

from rewardkit.calibration.calibrators import Calibration
from rewardkit.scorer import RewardModel


def ended(coroutine):
    """Run a coroutine to its end, in a thread: tests of the browser leave a loop behind in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


PATIENCE = 120
PROMPTS = ["Tell me a joke.", "A poem about rain.\n", [{"role": "user", "content": "Why?"}], ""]
TEXTS = ["It rains.", " no ", "Why did the snail ring? It wanted in.", "ein Schneck läutet 🐌", "<|e|>", "long " * 40]
PAIRS = [(prompt, text) for prompt in PROMPTS for text in TEXTS]


def make(folder_, **settings):
    """Write a reward model whose adapters do something, with a calibration."""
    import torch

    from rewardkit.config import TrainConfig
    from rewardkit.reward_model import folder

    model = folder.create(TrainConfig(**settings), seed=1)
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    folder.save(model, folder_)
    calibration = {"method": "temperature", "params": {"temperature": 0.5}, "n": 80, "n_units": 40}
    made = datetime(2026, 1, 1, tzinfo=UTC)
    Calibration(**calibration, created_at=made, comparisons_digest="0").save(folder_)
    return folder_


@pytest.fixture(scope="module")
def tiny_rewards(tiny, tmp_path_factory):
    return make(tmp_path_factory.mktemp("tiny-rewards") / "model", model=str(tiny), max_length=128)


@pytest.fixture
def serve(start):
    """Start the server; return its process and address: `serve(model, *options, **environment)`."""

    def begin(model, *options, **environment):
        # The key of whoever runs the tests is not the server's.
        process = start("serve", model, "--port", "0", *options, **{"REWARDKIT_API_KEY": "", **environment})
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"serve: .* at (http://\S+)", line):
                return process, found[1]
        raise AssertionError("".join(lines))

    return begin


def expected(folder_, pairs=PAIRS):
    return RewardModel.load(folder_).score([prompt for prompt, _ in pairs], [text for _, text in pairs]).values


def whole(model, prompt, text):
    """Render a conversation as a trainer does, with the model's own tokenizer."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    asked = model.model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return asked, asked + text + model.model.tokenizer.eos_token


def check_all_forms(folder_, address, pairs, tolerance):
    model = RewardModel.load(folder_)
    values = model.score([prompt for prompt, _ in pairs], [text for _, text in pairs]).values
    assert np.ptp(values) > 100 * tolerance
    prompts, texts = zip(*(whole(model, prompt, text) for prompt, text in pairs), strict=True)
    with httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False) as http:

        def post(path, **fields):
            answer = http.post(path, json=fields)
            assert answer.is_success, answer.text
            return answer.json()

        items = [{"prompt": prompt, "response": text} for prompt, text in pairs]
        found = [
            post("/v1/rewards", items=items)["rewards"],
            post("/get_reward", query=texts, prompts=prompts, labels=[""] * len(texts))["rewards"],
            [np.log(score / (1 - score)) for score in post("/get_reward", query=texts)["scores"]],
            [each["probs"][0] for each in post("/classify", input=texts, use_activation=False)["data"]],
            [each["data"][0] for each in post("/pooling", input=texts)["data"]],
        ]
        prompt, first, second = pairs[0][0], pairs[0][1], pairs[1][1]
        said, compared = (
            model.compare(prompt, first, second),
            post("/v1/rewards", prompt=prompt, responses=[first, second]),
        )
    for each in found:
        np.testing.assert_allclose(each, values, atol=tolerance)
    assert compared["comparison"].pop("disagreement") is None
    assert compared["comparison"] == pytest.approx({"p_a": said.p_a, "low": None, "high": None, "n": 80}, abs=tolerance)


def test_every_form_gets_the_rewards_of_python(serve, tiny_rewards):
    _, address = serve(tiny_rewards)
    # What spells a control token in a rendered text is one: there the two cannot agree.
    check_all_forms(tiny_rewards, address, [pair for pair in PAIRS if pair[1] != "<|e|>"], 1e-6)


def test_many_clients_at_once_get_the_rewards_of_python(serve, tiny_rewards):
    _, address = serve(tiny_rewards)
    values = expected(tiny_rewards)

    async def all_of_them():
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(base_url=address, timeout=PATIENCE, trust_env=False, limits=limits) as http:
            asked = [{"prompt": prompt, "responses": [text]} for prompt, text in PAIRS]
            return await asyncio.gather(*(http.post("/v1/rewards", json=each) for each in asked * 4))

    answers = ended(all_of_them())
    found = np.array([answer.json()["rewards"][0] for answer in answers]).reshape(4, -1)
    np.testing.assert_allclose(found, np.tile(values, (4, 1)), atol=1e-6)


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_told_to_end_it_loses_no_request_and_exits_well(serve, tiny_rewards, told):
    process, address = serve(tiny_rewards, "--max-waiting-tokens", "10000000")
    asked = {"items": [{"prompt": f"{number} {'p' * 60}", "response": "x" * 60} for number in range(512)]}

    def ask(_):
        try:
            return httpx.post(f"{address}/v1/rewards", json=asked, timeout=PATIENCE, trust_env=False)
        except httpx.TransportError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, place) for place in range(8)]
        while not metric(address, "rewardkit_waiting_tokens") > 512 * 128:
            assert not all(each.done() for each in answers)
        process.send_signal(told)
        found = [each.result(PATIENCE) for each in answers]
    assert process.wait(PATIENCE) == 0
    # Who came too late was refused, or found nobody; who was let in has all the rewards.
    statuses = [getattr(answer, "status_code", 503) for answer in found]
    assert statuses.count(200) >= 3 and set(statuses) <= {200, 503}
    assert all(len(answer.json()["rewards"]) == 512 for answer in found if getattr(answer, "status_code", 0) == 200)
    assert "ending" in process.stderr.read()


def metric(address, name):
    page = httpx.get(f"{address}/metrics", timeout=PATIENCE, trust_env=False).text
    return float(re.search(rf"^{name} (\S+)$", page, re.MULTILINE)[1])


def test_it_ends_well_though_nobody_reads_what_it_says(serve, tiny_rewards):
    process, address = serve(tiny_rewards)
    process.stderr.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def test_told_twice_it_ends_at_once(serve, tiny_rewards):
    process, address = serve(tiny_rewards, "--drain-seconds", "1000")
    host, port = address.removeprefix("http://").split(":")

    async def hang():
        # A request that never ends to arrive.
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/rewards HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        await writer.drain()
        # Answered on another connection, after the first was heard.
        assert httpx.get(f"{address}/health", trust_env=False).is_success
        process.send_signal(signal.SIGTERM)
        for line in process.stderr:
            if "still answered: 1" in line:
                process.send_signal(signal.SIGTERM)
                break
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        writer.close()

    ended(hang())


def test_a_key_from_the_environment(serve, tiny_rewards):
    _, address = serve(tiny_rewards, REWARDKIT_API_KEY="sesame")
    assert httpx.get(f"{address}/health", trust_env=False).is_success
    assert httpx.post(f"{address}/get_reward", json={"query": []}, trust_env=False).status_code == 401
    # As OpenRLHF can be given it.
    with_key = address.replace("http://", "http://any:sesame@")
    assert httpx.post(f"{with_key}/get_reward", json={"query": []}, trust_env=False).json()["rewards"] == []


def test_what_cannot_be_served_is_one_clear_error(refused, tiny_rewards, here, monkeypatch):
    monkeypatch.delenv("REWARDKIT_API_KEY", raising=False)
    refused("serve", here / "nothing", "--port", "0", says="not a rewardkit reward model")
    refused("serve", tiny_rewards, "--host", "0.0.0.0", "--port", "0", says="REWARDKIT_API_KEY")
    refused("serve", tiny_rewards, "--port", "0", "--max-waiting-tokens", "100", says="128 at least")
    refused("serve", tiny_rewards, "--host", "203.0.113.1", "--port", "0", says="no key is set")


@pytest.mark.slow
def test_every_form_on_a_real_template(serve, tmp_path):
    folder_ = make(tmp_path / "model", model="smollm2-135m", dtype="float32", max_length=256)
    _, address = serve(folder_)
    texts = ["It rains.", "\n\n- one\n- two ", "ein Schneck läutet 🐌", "print('no')\n```"]
    asked = [
        "Tell me a joke.",
        "  spaces \n",
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Why?\n"},
            {"role": "assistant", "content": " So."},
            {"role": "user", "content": "But why?"},
        ],
    ]
    check_all_forms(folder_, address, [(prompt, text) for prompt in asked for text in texts], 1e-5)
