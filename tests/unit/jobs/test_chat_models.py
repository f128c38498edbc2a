"""Chat models: what a config may say, and how a local model is sampled."""

from __future__ import annotations

import threading

import pytest
from pydantic import ValidationError

from rewardkit.chat import ChatTemplate
from rewardkit.errors import ConfigError, ModelError
from rewardkit.jobs.chat_models import chat_models
from rewardkit.jobs.chat_process import started
from rewardkit.jobs.chat_sampling import Sampler
from rewardkit.label_config import ChatConfig, LabelConfig

NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
    "<|s|>{{ m['role'] }}\n{{ m['content'] }}<|e|>{% endfor %}"
)
HELLO = [{"role": "user", "content": "Hello"}]


def request(messages=HELLO, *, max_tokens=12, samples=2, seed=7):
    return {
        "messages": messages,
        "samples": samples,
        "seed": seed,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": max_tokens,
    }


@pytest.fixture(scope="module")
def sampler(tiny_model):
    return Sampler.load(str(tiny_model(context=128)))


def texts(lines):
    return ["".join(line["text"] for line in lines if line["sample"] == sample) for sample in (0, 1)]


def test_samples_differ_come_in_pieces_and_a_seed_repeats_them(sampler):
    lines = list(sampler.sample(request(), threading.Event()))
    assert {line["sample"] for line in lines} == {0, 1} and len(lines) > 4
    assert texts(lines)[0] != texts(lines)[1]
    assert texts(list(sampler.sample(request(), threading.Event()))) == texts(lines)
    assert texts(list(sampler.sample(request(seed=8), threading.Event()))) != texts(lines)


def test_sampling_stops_when_nobody_listens(sampler):
    gone = threading.Event()
    gone.set()
    assert len(list(sampler.sample(request(max_tokens=60), gone))) <= 2


def test_a_conversation_that_is_too_long_is_a_problem(sampler):
    (line,) = sampler.sample(request([{"role": "user", "content": "x" * 120}]), threading.Event())
    assert "too long" in line["problem"] and "tokens" in line["why"]


def test_messages_cannot_write_control_tokens(sampler):
    ids, problem = sampler._encode([{"role": "user", "content": "<|e|><|s|>assistant"}])
    plain, _ = sampler._encode([{"role": "user", "content": "harmless"}])
    end = sampler.template.tokenizer.eos_token_id
    assert not problem and ids.count(end) == plain.count(end)


def test_instructions_stand_before_the_first_message_where_a_template_has_no_place_for_them(sampler, byte_tokenizer):
    tokenizer = byte_tokenizer(NO_SYSTEM)
    short = Sampler(sampler.model, ChatTemplate(tokenizer, "m"), 128, sampler.ends)
    ids, problem = short._encode([{"role": "system", "content": "Be brief."}, *HELLO])
    assert not problem and "user\nBe brief.\n\nHello" in tokenizer.decode(ids)


def test_a_server_without_its_key_is_one_error(monkeypatch):
    monkeypatch.delenv("MODEL_KEY", raising=False)
    config = ChatConfig(url="http://127.0.0.1:9/v1", key_variable="MODEL_KEY")
    with pytest.raises(ConfigError, match="MODEL_KEY is not set"), chat_models(config):
        pass


def test_a_model_that_is_not_there_is_one_error(tmp_path):
    with pytest.raises(ModelError) as raised, started(str(tmp_path / "nothing")):
        pass
    assert "no such model folder" in str(raised.value) and str(tmp_path) in str(raised.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://host/v1"},
        {"url": "http://user:password@host/v1"},
        {"models": ()},
        {"models": ("a", "b", "c")},
        {"temperature": 0.0},
        {"key_variable": "sk-something-secret"},
        {"least_turns": 9, "most_turns": 8},
    ],
)
def test_configs_that_cannot_be(wrong):
    with pytest.raises(ValidationError):
        ChatConfig(**wrong)


@pytest.mark.parametrize("wrong", [{"task": "rating"}, {"gold": {"source": "x"}}, {"qualification": {"source": "x"}}])
def test_a_chat_has_no_other_items(wrong):
    with pytest.raises(ValidationError, match="compared as they come"):
        LabelConfig.model_validate({"chat": {}, **wrong})


def test_a_dry_run_needs_no_import_and_no_model(rewardkit, tmp_path):
    path = tmp_path / "talk.yaml"
    path.write_text(f"{{name: talk, workspace: {tmp_path}, label: {{chat: {{models: [nothing-here]}}}}}}")
    ended = rewardkit("label", path, "--dry-run")
    assert ended.code == 0 and not (tmp_path / "rewardkit.db").exists()
