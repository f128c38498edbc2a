"""Prompts after seeds: what is asked, what is read of the answer, and what is left out as too much alike."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.errors import ConfigError
from rewardkit.generate_config import PolicyConfig, ProposalsConfig
from rewardkit.generation.policies import open_policy
from rewardkit.generation.proposals import Proposal, Proposals, load_proposals, proposal_id
from rewardkit.generation.proposing import new_among, questions, read_prompts, rouge_l
from rewardkit.judge.contract import Completion
from rewardkit.judge.notes import Decision
from rewardkit.types import Message, Prompt

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SEEDS = [Prompt.of((Message(role="user", content=f"Write about thing {n}."),), task="fiction") for n in range(9)]
WORDS = st.lists(st.sampled_from("abcd"), max_size=8)


def asked(count=8, shown=3, **fields):
    config = ProposalsConfig(file="p.yaml", task="fiction", count=count, shown=shown)
    return questions(
        open_policy(PolicyConfig(name="p", backend="fake"), 0), SEEDS, config, round=fields.get("round", 0)
    )


def proposal(text="A story about rain, please.", **fields):
    about = {"task": "fiction", "proposed_by": "m", "proposed_at": NOW, "seeds": ("s",)}
    return Proposal(**{"id": proposal_id(text), "text": text, **about, **fields})


def test_each_question_shows_seeds_of_its_own_and_another_round_others():
    found = asked()
    assert len(found) == 2 and all(len(each.seeds) == 3 for each in found)
    assert found[0].seeds != found[1].seeds and len({each.request.seed for each in found}) == 2
    for at, seed in enumerate(found[0].seeds, start=1):
        assert f"{at}. {seed.messages[0].content}" in found[0].request.user
    assert "Number them from 4" in found[0].request.user and found == asked()
    assert asked(round=5) != found
    assert len(asked(count=9)) == 3 and len(asked(shown=99)[0].seeds) == 9


def test_prompts_are_the_items_of_a_list():
    items = ("1. A story about rain.", "", "2) **A tale of two keys**", '- "A scene in a lift"', "3. Short.")
    said = "\n".join(("Here:", *items, "4. A story about rain."))
    expected = ["A story about rain.", "A tale of two keys", "A scene in a lift"]
    assert read_prompts(Completion(reply=said)) == expected
    assert read_prompts(Completion(reply=f"{said}\n5. A story that is cut", was_cut=True)) == expected
    assert read_prompts(Completion(failure="no")) == read_prompts(Completion(reply="I cannot do that.")) == []
    assert read_prompts(Completion(reply="1. " + "word " * 300)) == []


def test_rouge_l_by_hand():
    # The longest common subsequence of "police kill the gunman" and "police killed the gunman" is 3 words of 4 and 4.
    assert rouge_l("police kill the gunman".split(), "police killed the gunman".split()) == pytest.approx(0.75)
    assert rouge_l("the gunman police killed".split(), "police killed the gunman".split()) == pytest.approx(0.5)


@given(WORDS, WORDS)
def test_rouge_l_is_the_same_both_ways_and_one_of_a_text_with_itself(first, second):
    assert rouge_l(first, second) == rouge_l(second, first)
    assert rouge_l(first, first) == 1.0 and 0.0 <= rouge_l(first, second) <= 1.0


def test_what_is_like_a_prompt_that_is_there_is_left_out():
    texts = [
        "Write about the rain.",
        "write about THE rain",
        "Write about a lighthouse in winter.",
        "Describe a kitchen.",
    ]
    assert list(new_among(texts, ["Describe a kitchen!"], 0.7)) == [texts[0], texts[2]]
    assert list(new_among(texts, [], 1.0)) == [texts[0], texts[2], texts[3]]


def test_a_decision_stays_when_the_same_is_proposed_again():
    yes = Decision(status="approved", by="Ana", at=NOW)
    once = Proposals().joined([proposal(), proposal("A tale of two keys.")])
    decided = once.decided(proposal().id[:6], yes)
    assert [each.status for each in decided.prompts] == ["approved", "proposed"]
    assert decided.joined([proposal(), proposal("A scene in a lift.")]).prompts[:2] == decided.prompts
    whole = decided.decided("all", Decision(status="rejected", by="Ben", at=NOW))
    assert [(each.status, each.by) for each in whole.prompts] == [("approved", "Ana"), ("rejected", "Ben")]
    again = whole.decided(whole.prompts[1].id, yes)
    assert again.prompts[1].earlier == (Decision(status="rejected", by="Ben", at=NOW),)


@pytest.mark.parametrize(
    ("which", "message"), [("x", "no prompt has an id that begins with 'x'"), ("", "several prompts")]
)
def test_it_is_clear_which_is_meant(which, message):
    with pytest.raises(ConfigError, match=message):
        Proposals().joined([proposal(), proposal("A tale of two keys.")]).meant(which)
    with pytest.raises(ConfigError, match="no prompt waits for a decision"):
        Proposals().meant("all")


def test_what_is_approved_is_a_prompt_that_says_where_it_came_from():
    found = proposal("A story about rain, please. ", status="approved", by="Ana", at=NOW).prompt()
    assert found.messages == (Message(role="user", content="A story about rain, please."),) and found.task == "fiction"
    assert found.metadata == {"written_by": "m", "approved_by": "Ana", "approved_at": NOW.isoformat(), "seeds": ["s"]}


def test_the_file_is_read_as_it_was_written(tmp_path):
    path, before = tmp_path / "p.yaml", Proposals().joined([proposal(), proposal("Über: „zwei“?\nZeilen")])
    after = before.decided("all", Decision(status="approved", by="Ana", at=NOW))
    for each in (Proposals(), before, after):
        path.write_text(each.as_yaml(), encoding="utf-8")
        assert load_proposals(path) == each


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompts: [{id: a}]", "prompts.0.text"),
        ("prompts: [{id: a, text: b, task: t, proposed_by: m, proposed_at: 2026-11-23, status: approved}]", "by whom"),
        ("prompts: 3", "prompts"),
        ("- a", "the file is not a mapping"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, text, message):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_proposals(path)
