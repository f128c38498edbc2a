from __future__ import annotations

import math

import pytest

from rewardkit.judge.contract import Completion, Failure
from rewardkit.judge.probing import ReasonedProbeV1, exchanged, tampered


@pytest.mark.parametrize(
    ("thought", "turned"),
    [
        ("Response A is vivid; response B drags.", "Response B is vivid; response A drags."),
        ("A good story. A's ending is better than B's.", "A good story. B's ending is better than A's."),
        ("The first is dull and the second one sings.", "The second is dull and the first one sings."),
        ("Between A and B, (A) wins.", "Between B and A, (B) wins."),
        ("A story about a cat.", "A story about a cat."),
        (
            "Response A uses vivid images. Response B repeats itself. Response A wins.",
            "Response B uses vivid images. Response A repeats itself. Response B wins.",
        ),
        ("Response A uses vivid images, B is dull.", "Response B uses vivid images, A is dull."),
        ("I prefer A. **Response B** drags.", "I prefer B. **Response A** drags."),
        ("A is vivid. A cat sleeps in B.", "B is vivid. A cat sleeps in A."),
        (
            "In the first paragraph of A the second sentence sings.",
            "In the first paragraph of B the second sentence sings.",
        ),
    ],
)
def test_sides_change_places_and_articles_stay(thought, turned):
    assert exchanged(thought) == turned
    assert exchanged(turned) == thought


def test_a_thought_without_sides_cannot_be_exchanged():
    assert set(tampered("It is well written and it moves.")) == {"none", "half"}
    assert tampered("One two three four")["half"] == "One two"


def logits(p):
    return Completion({"A": math.log(p), "B": math.log(1 - p)})


def test_probes_say_how_probable_the_same_verdict_is_after_other_thoughts(texts, rubric):
    steps = ReasonedProbeV1().compare(texts(), rubric, "ab")
    (thinking,) = next(steps)
    assert thinking.reply_tokens and not thinking.labels
    (verdict,) = steps.send((Completion(reply="Response B is the better one."),))
    assert verdict.turns[0][0] == "Response B is the better one."
    none, half, turned = steps.send((logits(0.2),))
    assert (none.turns[0][0], half.turns[0][0], turned.turns[0][0]) == (
        "…",
        "Response B is",
        "Response A is the better one.",
    )
    with pytest.raises(StopIteration) as stop:
        steps.send((logits(0.5), logits(0.4), logits(0.9)))
    found = stop.value.value
    assert found.p_first == pytest.approx(0.2)
    assert found.details["probes"] == pytest.approx({"none": 0.5, "half": 0.6, "exchanged": 0.1})


def test_a_probe_that_cannot_be_read_is_left_out_and_a_failed_thought_is_a_failure(texts, rubric):
    steps = ReasonedProbeV1().compare(texts(), rubric, "ab")
    next(steps)
    steps.send((Completion(reply="It moves."),))
    steps.send((logits(0.7),))
    with pytest.raises(StopIteration) as stop:
        steps.send((Completion(failure="out of order"), logits(0.6)))
    assert stop.value.value.details["probes"] == pytest.approx({"half": 0.6})
    steps = ReasonedProbeV1().compare(texts(), rubric, "ab")
    next(steps)
    with pytest.raises(StopIteration) as stop:
        steps.send((Completion(failure="hung up"),))
    assert stop.value.value == Failure("hung up")
