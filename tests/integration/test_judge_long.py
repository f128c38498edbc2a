"""Protocols for long texts with the real SmolLM2 on real stories: what is on record of them."""

from __future__ import annotations

import json

import pytest

from rewardkit.judge.demonstrations import Demonstrations, Example
from rewardkit.judge.judges import Judge
from rewardkit.judge.local import LocalBackend
from rewardkit.judge.process import ByParagraph, ProcessV1
from rewardkit.judge.reading import Windows
from rewardkit.judge.running import judge_comparisons, judge_ratings
from rewardkit.judge.span_critique import CritiqueSpansV1, Pointing
from rewardkit.judge.windows import RatingWindowsV1, WindowsV1
from rewardkit.judge_config import DemonstrationsConfig, JudgeConfig
from rewardkit.rubric import load_rubric
from rewardkit.store.rows import ComparisonTexts
from rewardkit.types import Comparison, Message, Prompt, Response

pytestmark = pytest.mark.slow

RUBRIC = load_rubric("fiction").model_copy(update={"criteria": load_rubric("fiction").criteria[:1]})
CONFIG = JudgeConfig(orders=("ab",))


@pytest.fixture(scope="module")
def backend():
    return LocalBackend("smollm2-135m", max_tokens=8192)


@pytest.fixture(scope="module")
def stories(shared_data):
    """All stories with their prompts, the longest first."""
    with (shared_data / "creative_story_gen.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return sorted(((row["prompt"], row["response"]) for row in rows), key=lambda row: -len(row[1]))


@pytest.fixture(scope="module")
def item(stories):
    (words, first), (_, second) = stories[:2]
    prompt = Prompt.of((Message(role="user", content=words),))
    by_id = {each.id: each for each in (Response.of(prompt.id, first), Response.of(prompt.id, second))}
    comparison = Comparison.of(prompt.id, *by_id)
    a, b = by_id[comparison.response_a], by_id[comparison.response_b]
    return ComparisonTexts(comparison=comparison, prompt=prompt, response_a=a, response_b=b)


@pytest.fixture(scope="module")
def alone(item):
    class Alone:
        prompt, response = item.prompt, item.response_a

    return Alone


def test_long_stories_are_read_to_their_end(backend, item):
    judge = Judge(backend, WindowsV1(Windows(window=600, note_tokens=24, excerpt=100)), RUBRIC)
    _, label = judge_comparisons([item], judge, CONFIG)
    assert label.status == "ok"
    for side, response in (("a", item.response_a), ("b", item.response_b)):
        read = label.metadata["windows"][side]
        assert read["characters"] == read["of_characters"] == len(response.text) > 600
        assert read["windows"] == read["of_windows"] >= 2
        assert not read["truncated"]
        assert 1 <= len(label.metadata["notes"][side]) <= read["windows"]


def test_a_long_story_that_is_not_read_to_its_end_is_on_record(backend, alone):
    options = Windows(window=300, note_tokens=24, excerpt=100, most_windows=1)
    _, rating = judge_ratings([alone], Judge(backend, RatingWindowsV1(options), RUBRIC), CONFIG)
    assert rating.status == "ok"
    assert rating.metadata["windows"]["truncated"]
    assert rating.metadata["windows"]["characters"] <= 300 < rating.metadata["windows"]["of_characters"]


def test_quotes_that_are_verified_are_in_the_story(backend, item):
    judge = Judge(backend, CritiqueSpansV1(Pointing(reply_tokens=80)), RUBRIC)
    _, label = judge_comparisons([item], judge, CONFIG)
    assert label.status == "ok" and label.rationale
    counts = label.metadata["quotes"]
    assert counts["verified"] + counts["unverified"] == len(label.spans)
    texts = {each.id: each.text for each in (item.response_a, item.response_b)}
    for span in label.spans:
        assert span["verified"] == ("start" in span)
        if span["verified"]:
            assert texts[span["response"]][span["start"] : span["end"]] == span["quote"]


def test_every_paragraph_has_its_level_and_the_rating_is_their_mean(backend, alone):
    judge = Judge(backend, ProcessV1(ByParagraph(least_characters=1)), RUBRIC)
    _, rating = judge_ratings([alone], judge, CONFIG)
    levels = [each["level"] for each in rating.metadata["paragraphs"]]
    assert rating.value == pytest.approx(1 + 4 * sum(levels) / len(levels))
    assert all(0.0 < level < 1.0 for level in levels)


def test_the_judge_is_shown_how_people_decided(backend, item, alone, stories):
    others = [(words, text) for words, text in stories if words != item.prompt.messages[0].content]
    examples = [
        Example(f"c{n}", Prompt.of((Message(role="user", content=words),)), text, other)
        for n, ((words, text), (_, other)) in enumerate(zip(others[:10], others[10:20], strict=True))
    ]
    plain = Judge(backend, RatingWindowsV1(), RUBRIC)
    shown = Judge(
        backend, plain.protocol, RUBRIC, demonstrations=Demonstrations(examples, DemonstrationsConfig(count=2))
    )

    (_, without), (_, with_) = (list(judge_ratings([alone], judge, CONFIG)) for judge in (plain, shown))
    assert (without.status, with_.status) == ("ok", "ok")
    assert with_.value != without.value
    assert with_.annotator_id != without.annotator_id
