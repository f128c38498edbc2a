"""Agreement: worked by hand, as published, and what must hold whatever people say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.aggregation.agreement import agreement, graded
from rewardkit.errors import DataError

# Krippendorff (2011), section C: four observers, twelve units, "." where nothing was said.
PUBLISHED = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)


def long(rows):
    """Return units, annotators and values of a table with one row for each annotator."""
    said = [
        (f"u{unit}", f"w{who}", value)
        for who, row in enumerate(rows)
        for unit, value in enumerate(row.split())
        if value != "."
    ]
    return [list(column) for column in zip(*said, strict=True)]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_published_example(level, alpha):
    units, annotators, values = long(PUBLISHED)
    found = agreement(units, annotators, values if level == "nominal" else list(map(float, values)), level=level)
    assert found.alpha == pytest.approx(alpha, abs=5e-4)
    # Unit 12 has one answer; the other eleven have 40.
    assert (found.units, found.answers, found.annotators, found.single) == (11, 40, 4, 1)
    low, high = found.interval
    assert low < found.alpha <= high <= 1.0


def test_alpha_by_hand():
    # Two people, four units: aa ab bb bb. Of 8 answers 3 are a and 5 are b. Within units: one pair differs, twice
    # (o_ab = o_ba = 1). Among all: 2 · 3 · 5 = 30. alpha = 1 − 7 · 2 / 30 = 8/15. Of 4 pairs 3 are equal.
    found = agreement(list("wwxxyyzz"), ["p", "q"] * 4, list("aaabbbbb"), level="nominal")
    assert found.alpha == pytest.approx(8 / 15) and found.percent == 0.75
    # With 0 for a and 1 for b distances are the same, and so is alpha.
    numbers = [0.0, 0, 0, 1, 1, 1, 1, 1]
    for level in ("interval", "ordinal"):
        assert agreement(list("wwxxyyzz"), ["p", "q"] * 4, numbers, level=level).alpha == pytest.approx(8 / 15)


def test_units_weigh_by_their_answers_and_one_answer_says_nothing():
    # Unit x has three answers a a b, y two, b b, z one. n = 5: 2 a, 3 b. Within: x has 2 · 2 · 1 ordered pairs that
    # differ, over m − 1 = 2, is 2. Among: 2 · 2 · 3 = 12. alpha = 1 − 4 · 2 / 12 = 1/3. Equal: 1 of 3, and 1 of 1.
    found = agreement(list("xxxyyz"), list("pqrpqp"), list("aabbba"), level="nominal")
    assert found.alpha == pytest.approx(1 / 3) and found.percent == 0.5
    assert (found.units, found.answers, found.single) == (2, 5, 1)


def test_where_alpha_is_not_defined():
    same = agreement(list("xxyy"), list("pqpq"), ["a"] * 4, level="nominal")
    assert (same.alpha, same.interval, same.percent) == (None, None, 1.0)
    level = agreement(list("xxyy"), list("pqpq"), [1e6 + 0.1] * 4, level="interval")
    assert level.alpha is None
    for level in ("nominal", "ordinal", "interval"):
        nobody = agreement([], [], [], level=level)
        assert (nobody.alpha, nobody.percent, nobody.units, nobody.clusters) == (None, None, 0, 0)
        alone = agreement(["x"], ["p"], [1.0], level=level)
        assert (alone.alpha, alone.single) == (None, 1)


def test_one_cluster_has_no_interval():
    units, annotators, values = long(PUBLISHED)
    found = agreement(units, annotators, values, level="nominal", clusters=["prompt"] * len(units))
    assert found.alpha == pytest.approx(0.743, abs=5e-4) and found.interval is None and found.clusters == 1


def test_the_interval_widens_where_units_share_a_prompt_and_agree_alike():
    rng = np.random.default_rng(0)
    # Ten units of a prompt are all agreed upon, or all left to chance.
    units, who, said, prompts = [], [], [], []
    for prompt in range(40):
        for unit in range(10):
            first = rng.integers(2)
            second = first if prompt % 2 else rng.integers(2)
            for name, value in (("p", first), ("q", second)):
                units.append(f"{prompt} {unit}")
                who.append(name)
                said.append(float(value))
                prompts.append(str(prompt))
    wide = agreement(units, who, said, level="interval", clusters=prompts)
    narrow = agreement(units, who, said, level="interval")
    assert wide.alpha == narrow.alpha and (wide.clusters, narrow.clusters) == (40, 400)
    assert np.ptp(wide.interval) > 1.3 * np.ptp(narrow.interval)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    # Two people who say the same with probability 0.8 and else draw anew: alpha is 0.64 (both are right by 0.8 · 0.8).
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        truth = rng.integers(2, size=120)
        said = [np.where(rng.random(120) < 0.8, truth, rng.integers(2, size=120)) for _ in range(2)]
        units = [str(unit) for unit in range(120)] * 2
        found = agreement(units, ["p"] * 120 + ["q"] * 120, np.concatenate(said).tolist(), level="interval")
        low, high = found.interval
        hits += low <= 0.64 <= high
    # 95 % of 200 is 190, with a standard deviation of 3.
    assert 178 <= hits <= 199


def test_what_is_refused():
    with pytest.raises(DataError, match="length"):
        agreement(["x"], ["p"], ["a", "b"], level="nominal")
    with pytest.raises(DataError, match="twice"):
        agreement(["x", "x"], ["p", "p"], ["a", "b"], level="nominal")
    with pytest.raises(DataError, match="two clusters"):
        agreement(["x", "x"], ["p", "q"], ["a", "b"], level="nominal", clusters=["1", "2"])
    with pytest.raises(DataError, match="no number"):
        agreement(["x", "x"], ["p", "q"], ["a", "b"], level="interval")
    with pytest.raises(DataError, match="finite"):
        agreement(["x", "x"], ["p", "q"], [1.0, float("nan")], level="ordinal")


def test_preferences_on_the_graded_scale():
    assert [graded("a", 3), graded("a", None), graded("tie", None), graded("both_bad", None), graded("b", 2)] == [
        3.0,
        1.0,
        0.0,
        0.0,
        -2.0,
    ]


LEVELS = st.sampled_from(["nominal", "ordinal", "interval"])
TABLES = st.lists(st.lists(st.sampled_from([None, 0.0, 1.0, 2.0, 7.5]), min_size=3, max_size=3), max_size=12)


def flat(table, names):
    said = [(f"u{at}", names[who], value) for at, row in enumerate(table) for who, value in enumerate(row)]
    said = [each for each in said if each[2] is not None]
    return [list(column) for column in zip(*said, strict=True)] if said else [[], [], []]


@given(TABLES, LEVELS, st.permutations("pqr"))
def test_names_and_order_change_nothing(table, level, names):
    plain = agreement(*flat(table, "pqr"), level=level, resamples=20)
    other = agreement(*flat(table, names), level=level, resamples=20)
    assert other == plain
    turned = agreement(*flat(table[::-1], "pqr"), level=level, resamples=0)
    assert turned.alpha == pytest.approx(plain.alpha) if plain.alpha is not None else turned.alpha is None


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=2, max_size=10).filter(lambda said: len(set(said)) > 1), LEVELS
)
def test_perfect_agreement_is_one(said, level):
    units = [f"u{at}" for at in range(len(said))]
    found = agreement(units * 2, ["p"] * len(said) + ["q"] * len(said), said * 2, level=level, resamples=50)
    assert found.alpha == pytest.approx(1.0) and found.percent == 1.0


@given(TABLES, LEVELS)
def test_alpha_is_what_its_definition_says(table, level):
    """The definition, pair by pair and without a sum that is clever."""
    rows = [[value for value in row if value is not None] for row in table]
    rows = [row for row in rows if len(row) > 1]
    every = [value for row in rows for value in row]
    found = agreement(*flat(table, "pqr"), level=level, resamples=0)
    times = {value: every.count(value) for value in every}

    def apart(x, y):
        if level == "nominal":
            return float(x != y)
        if level == "interval":
            return (x - y) ** 2
        between = sum(count for value, count in times.items() if min(x, y) <= value <= max(x, y))
        return (between - (times[x] + times[y]) / 2) ** 2

    within = sum(
        apart(x, y) / (len(row) - 1) for row in rows for i, x in enumerate(row) for j, y in enumerate(row) if i != j
    )
    among = sum(apart(x, y) for i, x in enumerate(every) for j, y in enumerate(every) if i != j)
    if not among:
        assert found.alpha is None
    else:
        assert found.alpha == pytest.approx(1 - (len(every) - 1) * within / among)
