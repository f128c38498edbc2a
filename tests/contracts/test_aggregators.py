"""What every registered aggregator must do, on any valid labels."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardkit.aggregation.aggregators import AGGREGATORS, aggregate, examples
from rewardkit.config import AggregateConfig
from rewardkit.registry import registered
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Response

NAMES = sorted(registered("aggregators", AGGREGATORS))
TURNED = {"a": "b", "b": "a", "tie": "tie", "both_bad": "both_bad", None: None}
SPLIT = {"train": 0.5, "validation": 0.0, "calibration": 0.0, "test": 0.5}


@dataclass(frozen=True)
class Item:
    comparison: Comparison
    prompt: Prompt
    response_a: Response
    response_b: Response


def _item(i):
    prompt = Prompt.of((Message(role="user", content=f"prompt {i}"),))
    a, b = sorted((Response.of(prompt.id, f"{i} {t}") for t in "xy"), key=lambda r: r.id)
    return Item(Comparison.of(prompt.id, a.id, b.id, split=("train", "test")[i % 2]), prompt, a, b)


ITEMS = [_item(i) for i in range(8)]
PEOPLE = [Annotator.of("human" if i < 3 else "judge", f"n{i}") for i in range(5)]


def _turned(item):
    """The same comparison, with its responses the other way round."""
    comparison = item.comparison.model_copy(
        update={"response_a": item.comparison.response_b, "response_b": item.comparison.response_a}
    )
    return replace(item, comparison=comparison, response_a=item.response_b, response_b=item.response_a)


def _turned_label(label):
    p_a = None if label.p_a is None else 1 - label.p_a
    order = {"ab": "ba", "ba": "ab", None: None}[label.order_shown]
    return label.model_copy(update={"choice": TURNED[label.choice], "p_a": p_a, "order_shown": order})


def _label(item, annotator, said, strength, order, repeat):
    status, choice, p_a = said
    return Label.of(
        ITEMS[item].comparison.id,
        PEOPLE[annotator].id,
        status=status,
        choice=choice,
        p_a=p_a,
        strength=strength,
        order_shown=order,
        repeat=repeat,
    )


SAID = st.one_of(
    st.tuples(st.just("ok"), st.sampled_from(["a", "b", "tie", "both_bad"]), st.none()),
    st.tuples(st.just("ok"), st.sampled_from(["a", "b", None]), st.floats(0, 1)),
    st.tuples(st.sampled_from(["abstained", "failed"]), st.none(), st.none()),
)
LABELS = st.lists(
    st.builds(
        _label,
        st.integers(0, 7),
        st.integers(0, 4),
        SAID,
        st.one_of(st.none(), st.floats(1e-300, 1e300)),
        st.sampled_from(["ab", "ba", None]),
        st.integers(0, 2),
    ),
    max_size=40,
    unique_by=lambda label: label.id,
).map(lambda some: some + [_label(i, 0, ("ok", "a", None), None, "ab", 9) for i in (0, 1)])
SCALE = st.sampled_from([0.0, 0.5, 1e6])


def _run(name, items, labels, people=PEOPLE, scale=0.0):
    config = AggregateConfig.model_validate({"method": name, "split": SPLIT, "strength_scale": scale})
    return aggregate(items, labels, people, config, 0)


def _numbers(preference):
    return (preference.p_a, preference.human_p_a, preference.judge_p_a, preference.sample_weight)


@pytest.mark.parametrize("name", NAMES)
@given(labels=LABELS, scale=SCALE)
@settings(max_examples=60, deadline=None)
def test_any_valid_labels_give_probabilities(name, labels, scale):
    got = _run(name, ITEMS, labels, scale=scale)
    labelled = {label.comparison_id for label in labels if label.status == "ok"}
    assert [p.comparison_id for p in got.preferences] == [
        item.comparison.id for item in ITEMS if item.comparison.id in labelled
    ]
    for preference in got.preferences:
        assert 0.0 <= preference.p_a <= 1.0 and preference.sample_weight >= 0.0
        assert preference.method == name and preference.n_human + preference.n_judge > 0
    assert "NaN" not in got.diagnostics.model_dump_json() and len(list(examples(ITEMS, got))) == len(got.preferences)


@pytest.mark.parametrize("name", NAMES)
@given(labels=LABELS, scale=SCALE, which=st.sets(st.integers(0, 7)))
@settings(max_examples=60, deadline=None)
def test_swapping_responses_turns_p_a_round(name, labels, scale, which):
    ids = {ITEMS[i].comparison.id for i in which}
    items = [_turned(item) if item.comparison.id in ids else item for item in ITEMS]
    turned = [_turned_label(label) if label.comparison_id in ids else label for label in labels]
    before, after = _run(name, ITEMS, labels, scale=scale), _run(name, items, turned, scale=scale)
    for one, other in zip(before.preferences, after.preferences, strict=True):
        if one.comparison_id in ids:
            for field in ("p_a", "human_p_a", "judge_p_a"):
                value, swapped = getattr(one, field), getattr(other, field)
                assert (value is None) == (swapped is None)
                assert value is None or swapped == pytest.approx(1 - value, abs=1e-7)
        else:
            assert _numbers(other) == pytest.approx(_numbers(one), abs=1e-7)
        assert one.sample_weight == other.sample_weight


@pytest.mark.parametrize("name", NAMES)
@given(labels=LABELS, order=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_orders_and_names_change_nothing(name, labels, order):
    renamed = {person.id: Annotator.of(person.kind, f"other {4 - i}") for i, person in enumerate(PEOPLE)}
    told = [label.model_copy(update={"annotator_id": renamed[label.annotator_id].id}) for label in labels]
    shuffled_items, shuffled = order.sample(ITEMS, len(ITEMS)), order.sample(told, len(told))
    before = _run(name, ITEMS, labels)
    after = _run(name, shuffled_items, shuffled, people=list(renamed.values()))
    assert set(before.preferences) == set(after.preferences)
    unnamed = [result.diagnostics.model_copy(update={"judges": {}}) for result in (before, after)]
    assert unnamed[0] == unnamed[1]
    assert sorted(before.diagnostics.judges.values()) == sorted(after.diagnostics.judges.values())
