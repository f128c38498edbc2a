"""What a policy is asked, and the seeds by which what it wrote is found again."""

from __future__ import annotations

import pytest

from rewardkit.errors import ConfigError
from rewardkit.generate_config import PolicyConfig
from rewardkit.generation.policies import SEEDS, open_policy, opening
from rewardkit.judge.contract import Request
from rewardkit.types import Message, Prompt


def prompt(*said):
    return Prompt.of(tuple(Message(role=role, content=content) for role, content in said))


def policy(seed=0, **fields):
    return open_policy(PolicyConfig(name="p", backend="fake", **fields), seed)


def test_a_prompt_is_said_as_it_is():
    asked = opening(prompt(("user", "A joke?")), "")
    assert (asked.system, asked.messages) == ("", (("user", "A joke?"),))


def test_system_messages_stand_together_the_policys_first():
    asked = opening(prompt(("system", "Be brief."), ("user", "A joke?")), "You are a clown.")
    assert asked.system == "You are a clown.\n\nBe brief."


def test_a_conversation_keeps_its_turns():
    said = (("user", "Hi"), ("assistant", "Hello"), ("user", "A joke?"))
    asked = opening(prompt(*said), "")
    assert asked.messages == said


@pytest.mark.parametrize(
    "said",
    [
        (),
        (("system", "Be brief."),),
        (("assistant", "Hello"),),
        (("user", "Hi"), ("assistant", "Hello")),
        (("user", "Hi"), ("user", "Hello?")),
        (("user", "Hi"), ("tool", "3"), ("user", "So?")),
        (("user", "Hi"), ("system", "Be brief."), ("user", "So?")),
    ],
)
def test_what_is_no_conversation_that_waits_for_an_answer_cannot_be_said(said):
    assert opening(prompt(*said), "") == (
        "the prompt is no conversation of user and assistant in turns that ends with the user"
    )


def test_a_seed_follows_from_all_that_can_change_a_response():
    seeds = [
        policy().seed_of("prompt", "0"),
        policy().seed_of("prompt", "1"),
        policy().seed_of("other", "0"),
        policy(seed=1).seed_of("prompt", "0"),
        policy(temperature=0.5).seed_of("prompt", "0"),
        policy(top_p=0.5).seed_of("prompt", "0"),
        policy(max_new_tokens=9).seed_of("prompt", "0"),
        policy(system="Be brief.").seed_of("prompt", "0"),
    ]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < SEEDS for seed in seeds)
    # The name, how many there are and what becomes of long ones change no text.
    same = policy(samples=7, truncated="keep", batch_tokens=100)
    assert same.seed_of("prompt", "0") == seeds[0]


def test_how_a_response_is_drawn_is_in_the_request_and_kept_with_it():
    writer = policy(temperature=0.7, top_p=0.9, max_new_tokens=20, system="Be brief.")
    asked = writer.ask(opening(prompt(("user", "A joke?")), "Be brief."), 5)
    assert asked == Request(
        "Be brief.", "A joke?", "", (), reply_tokens=20, cut=True, seed=5, temperature=0.7, top_p=0.9
    )
    assert writer.settings(5) == {
        "revision": "1",
        "temperature": 0.7,
        "top_p": 0.9,
        "max_new_tokens": 20,
        "system": "Be brief.",
        "seed": 5,
    }
    assert policy().ask(asked, 5).top_p is None


def test_a_policy_is_opened_as_a_judge_would_be():
    config = PolicyConfig(name="far", backend="anthropic", model="m", temperature=None)
    assert config.asked.server.key_variable == "ANTHROPIC_API_KEY" and config.asked.server.temperature is None


def test_who_gives_no_replies_in_words_writes_nothing(monkeypatch):
    from rewardkit.judge.fake import FakeBackend

    monkeypatch.setattr(FakeBackend, "capabilities", frozenset({"labels"}))
    with pytest.raises(ConfigError, match="gives no replies in words"):
        policy()
