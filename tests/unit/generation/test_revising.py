"""Critique, then revision, in one conversation; nobody says that a revision is better."""

from __future__ import annotations

from pathlib import Path

import pytest

from rewardkit.errors import ConfigError
from rewardkit.generate_config import PolicyConfig, RevisionsConfig
from rewardkit.generation.constitution import CHECKOUT, Constitution, load_constitution
from rewardkit.generation.policies import Policy
from rewardkit.generation.revising import drafts, revision_tasks
from rewardkit.judge.budget import Budget
from rewardkit.judge.contract import Completion
from rewardkit.judge.failures import FailureGuard
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.running import answered
from rewardkit.types import Message, Prompt, Response

PROMPT = Prompt.of((Message(role="user", content="A story?"),))
STORY = Response.of(PROMPT.id, "He felt sad.", model="fake")
NAMES = ("image", "end", "people")
LAW = Constitution.model_validate(
    {
        "name": "law",
        "principles": [{"name": n, "critique": f"Critique {n}.", "revision": f"Revise {n}."} for n in NAMES],
    }
)


def policy(answer, **fields):
    return Policy(PolicyConfig(name="p", backend="fake", max_new_tokens=30, **fields), FakeBackend(answer), 0)


def revised(writer, already=(), **fields):
    config = RevisionsConfig(**fields)
    found = drafts(writer, [(PROMPT, STORY)], config, LAW)
    tasks = revision_tasks(writer, found, config, already)
    return list(answered(tasks, writer.backend, FailureGuard(1.0), Budget()))


def says(critique, revision):
    return lambda request: Completion(reply=critique if len(request.turns) == 1 else revision)


def test_a_critique_and_then_a_revision_are_asked_for_in_the_same_conversation():
    writer = policy(says("It names a feeling.", "He put the cup back, twice."), system="Be brief.")
    (found,) = revised(writer, critique_tokens=12)
    (principle,) = LAW.drawn(STORY.id, 1)
    first, second = writer.backend.seen
    critique = ("assistant", STORY.text), ("user", principle.critique)
    assert first.messages == (("user", "A story?"), *critique)
    assert second.messages == (*first.messages, ("assistant", "It names a feeling."), ("user", principle.revision))
    assert (first.reply_tokens, second.reply_tokens, first.system) == (12, 30, "Be brief.")
    response = found.response
    assert (response.text, response.edited_from, response.model) == ("He put the cup back, twice.", STORY.id, "fake")
    metadata = {"policy": "p", "principle": principle.name, "critique": "It names a feeling."}
    assert response.metadata == metadata and response.generation["seed"] == first.seed == second.seed


def test_principles_are_drawn_by_hash_each_for_a_revision_of_its_own():
    writer = policy(lambda request: Completion(reply=request.user + str(request.turns)))
    found = revised(writer, per_response=5)
    assert sorted(each.response.metadata["principle"] for each in found) == sorted(NAMES)
    assert {principle.name for n in range(40) for principle in LAW.drawn(str(n), 1)} == set(NAMES)
    there = {(PROMPT.id, found[0].response.generation["seed"])}
    assert revised(writer, there, per_response=5) == found[1:]


def test_a_response_that_stays_as_it_is_is_no_revision():
    (found,) = revised(policy(says("All is well.", "He felt sad. ")))
    assert (found.response, found.status, found.reason) == (None, "left_out", "unchanged")


@pytest.mark.parametrize(
    ("critique", "reason"), [(Completion(reply=" "), "an empty critique"), (Completion(failure="no"), "no")]
)
def test_without_a_critique_there_is_no_revision(critique, reason):
    (found,) = revised(policy(lambda _: critique))
    assert (found.response, found.status, found.reason, found.prompt_id) == (None, "failed", reason, PROMPT.id)


@pytest.mark.parametrize("path", sorted(CHECKOUT.glob("*.yaml")), ids=lambda path: path.name)
def test_every_constitution_is_valid(path):
    assert load_constitution(path.stem).name == path.stem == load_constitution(str(path)).name


def test_a_change_of_its_words_is_another_constitution():
    other = LAW.model_copy(update={"principles": LAW.principles[:2]})
    assert other.content_hash != LAW.content_hash


def test_what_is_no_constitution_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no constitution is called 'fictoin'") as error:
        load_constitution("fictoin")
    assert error.value.fix == "did you mean 'fiction'?"
    file = tmp_path / "c.yaml"
    for text, message in (
        ("name: c\nprinciples: []", "principles"),
        ("name: c\nprinciples: [{name: a, critique: b}]", "principles.0.revision"),
        (
            "name: c\nprinciples: [{name: a, critique: b, revision: c}, {name: a, critique: d, revision: e}]",
            "the same name",
        ),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_constitution(str(Path(file)))
