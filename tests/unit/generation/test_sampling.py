"""What is kept of what a policy said."""

from __future__ import annotations

import pytest

from rewardkit.generate_config import PolicyConfig
from rewardkit.generation.policies import Policy
from rewardkit.generation.sampling import sample_tasks, slots
from rewardkit.judge.budget import Budget
from rewardkit.judge.contract import Completion
from rewardkit.judge.failures import FailureGuard
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.running import answered
from rewardkit.types import Message, Prompt

PROMPTS = [Prompt.of((Message(role="user", content=f"Story {n}?"),)) for n in range(3)]


def policy(answer=None, **fields):
    return Policy(PolicyConfig(name="p", backend="fake", **fields), FakeBackend(answer), 0)


def written(writer, prompts=PROMPTS, already=()):
    tasks = sample_tasks(writer, prompts, already)
    return list(answered(tasks, writer.backend, FailureGuard(1.0), Budget()))


def test_each_prompt_gets_its_samples_with_how_they_were_drawn():
    writer = policy(samples=2, temperature=0.7)
    found = [each.response for each in written(writer)]
    assert [each.prompt_id for each in found] == [prompt.id for prompt in PROMPTS for _ in range(2)]
    assert len({each.text for each in found}) == 6
    assert [each.metadata for each in found[:2]] == [{"policy": "p", "sample": n} for n in range(2)]
    assert found[0].model == "fake" and found[0].edited_from is None
    assert found[0].generation["seed"] == writer.seed_of(PROMPTS[0].id, "0")


def test_the_same_is_written_again_and_what_is_there_is_not_asked_for():
    writer = policy(samples=2)
    first = written(writer)
    assert written(policy(samples=2), PROMPTS[::-1])[-2:] == first[:2]
    there = {(slot.prompt.id, slot.seed) for slot in slots(writer, PROMPTS[:2])}
    assert written(writer, already=there) == first[4:]


CUT = Completion(reply="Once upon a", was_cut=True)


@pytest.mark.parametrize(("truncated", "kept"), [("drop", None), ("keep", "Once upon a")])
def test_a_reply_that_is_cut_off_is_dropped_or_kept_and_says_so(truncated, kept):
    (found,) = written(policy(lambda _: CUT, samples=1, truncated=truncated), PROMPTS[:1])
    if kept is None:
        assert (found.response, found.status, found.reason) == (None, "left_out", "cut off")
    else:
        assert found.response.text == kept and found.response.metadata["truncated"] is True


@pytest.mark.parametrize("reply", ["", "  \n", "<think>Hm.</think>\n"])
def test_an_empty_reply_is_no_response_and_no_failure(reply):
    (found,) = written(policy(lambda _: Completion(reply=reply), samples=1), PROMPTS[:1])
    assert (found.response, found.status, found.reason) == (None, "left_out", "empty")


def test_thoughts_and_space_around_it_are_not_in_a_response():
    (found,) = written(policy(lambda _: Completion(reply="<think>Hm.</think>\n One. \n"), samples=1), PROMPTS[:1])
    assert found.response.text == "One."


def test_what_no_database_holds_is_marked():
    (found,) = written(policy(lambda _: Completion(reply="a\0b\ud800"), samples=1), PROMPTS[:1])
    assert found.response.text == "a\ufffdb\ufffd"


def test_a_failure_keeps_its_reason():
    (found,) = written(policy(lambda _: Completion(failure="too long"), samples=1), PROMPTS[:1])
    assert (found.response, found.status, found.reason, found.prompt_id) == (None, "failed", "too long", PROMPTS[0].id)
    (found,) = written(policy(samples=1), [Prompt.of(())])
    assert found.status == "failed" and "no conversation" in found.reason


def test_what_a_server_calls_the_model_is_kept():
    (found,) = written(policy(lambda _: Completion(reply="One.", served="m-2"), samples=1), PROMPTS[:1])
    assert found.response.generation["served"] == "m-2"
