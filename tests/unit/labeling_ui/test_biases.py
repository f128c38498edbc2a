"""Biases of position and length: of each pair of a ranking, and of ratings, worked by hand or held to scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from labeling_ui.admin_templates import view
from labeling_ui.answered import Answered, Text
from labeling_ui.biases import first_cases, length_correlation, longer_cases
from labeling_ui.quality import Annotated, Share


def answered(task, lengths, shown=None, prompt="p", **said):
    places = tuple(shown or range(len(lengths)))
    return Answered(
        lease_id="l",
        item_id="i",
        person_id="x",
        task=task,
        role="work",
        expected=None,
        responses=tuple(f"r{at}" for at in range(len(lengths))),
        texts=tuple(Text(prompt, "t", length) for length in lengths),
        shown=places,
        repeat=0,
        choice=said.pop("choice", None),
        answer=said,
        seconds=1.0,
        at=0.0,
    )


def rated(length, prompt="p", **ratings):
    return answered("rating", [length], prompt=prompt, ratings=ratings)


def test_a_ranking_counts_with_each_pair_that_is_not_tied():
    # Shown are response 2, 0, 1; ranked are those shown third, then first and second as equals.
    ranking = answered("ranking", [10, 20, 20], shown=[2, 0, 1], ranks={"1": 2, "2": 2, "3": 1})
    # Response 1 is above 2, which stood first, and above 0, which stood second; 2 and 0 are tied.
    assert list(first_cases(ranking)) == [False, False]
    # It is longer than response 0, and as long as response 2.
    assert sorted(longer_cases(ranking), key=str) == [None, True]
    assert list(first_cases(answered("ranking", [1, 2], ranks=None))) == []


def test_comparisons_count_as_before_and_a_rating_has_no_first():
    pair = answered("comparison", [10, 20], shown=[1, 0], choice="b")
    assert list(first_cases(pair)) == [True] and list(longer_cases(pair)) == [True]
    assert list(first_cases(rated(5, wit=3.0))) == [] == list(longer_cases(rated(5, wit=3.0)))


def many(count, slope, copies=1):
    """Return ratings that grow with the logarithm of the length, each a few times, and what was drawn."""
    draws, drawn = np.random.default_rng(3), []
    for prompt in range(count):
        length = int(2 ** draws.normal(8.0, 1.0))
        drawn += [(prompt, length, slope * np.log2(length) + draws.normal())] * copies
    return [rated(length, prompt=str(at), wit=value - 1, craft=value + 1) for at, length, value in drawn], drawn


def test_ratings_are_correlated_with_the_logarithm_of_the_length():
    answers, drawn = many(400, 0.5)
    found = length_correlation(answers)
    oracle = stats.pearsonr([value for *_, value in drawn], [np.log2(length) for _, length, _ in drawn])
    assert found.value == pytest.approx(oracle.statistic) and (found.n, found.prompts) == (400, 400)
    # Both are normal: the interval is Fisher's own, but for what is random in the standard error.
    assert found.interval == pytest.approx(tuple(oracle.confidence_interval()), abs=0.02)


def test_ratings_of_one_prompt_go_together():
    once, thrice = (length_correlation(many(200, 0.3, copies)[0]) for copies in (1, 3))
    assert (thrice.n, thrice.prompts) == (600, 200)
    assert thrice.value == pytest.approx(once.value) and thrice.interval == pytest.approx(once.interval)


def test_what_cannot_be_measured_says_so():
    assert length_correlation([]) is None
    assert length_correlation([rated(3, wit=None)]) is None
    alike = length_correlation([rated(3 + at, wit=2.0) for at in range(9)])
    assert (alike.value, alike.n, alike.interval) == (None, 9, (-1.0, 1.0))
    one_prompt = length_correlation([rated(2**at, wit=float(at**2)) for at in range(5)])
    assert one_prompt.value > 0.9 and one_prompt.interval == (-1.0, 1.0)
    exact = length_correlation([rated(2**at, prompt=str(at), wit=float(at)) for at in range(1, 6)])
    assert exact.value == pytest.approx(1.0) and exact.interval[1] == pytest.approx(1.0)


def shown_as(first, longer, rated_longer):
    common = {"person_id": "x", "entry": "invitation", "external_id": "", "role": "annotator", "state": "active"}
    counts = {"step": "work", "answered": 1, "work": 1, "returned": 0, "expired": 0, "refused": 0}
    shares = {name: Share(0, 0) for name in ("abstained", "known", "consistent")}
    more = {"name": "n", "seconds": None, "last_seen": None, "first": first, "longer": longer}
    row = Annotated(**common, **counts, **shares, **more, longer_rated=rated_longer)
    return view("annotators", rows=[row])


def test_researchers_read_a_correlation_where_there_are_ratings():
    page = shown_as(Share(0, 0), Share(0, 0), length_correlation(many(40, 0.5)[0]))
    assert 'data-label="First shown chosen">–</td>' in page and "n = 40" in page
    assert "of 40 ratings with the logarithm of the length, on 40 prompts; 95 % interval 0." in page
    page = shown_as(Share(1, 2, 2), Share(1, 2, 2), None)
    assert 'data-label="First shown chosen">–</td>' not in page and "ratings with" not in page
    assert "too few, or all alike" in shown_as(Share(0, 0), Share(0, 0), length_correlation([rated(3, wit=1.0)]))
