"""Units and splits: nothing stands on two sides, and nothing moves without a reason."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardkit.aggregation.splits import assign_units, draw_split, place, require_splits
from rewardkit.config import SplitConfig
from rewardkit.errors import DataError
from rewardkit.types import Comparison, Message, Prompt, Response


@dataclass(frozen=True)
class Item:
    comparison: Comparison
    prompt: Prompt
    response_a: Response
    response_b: Response


def _item(prompt, one, other, **fields):
    asked = Prompt.of((Message(role="user", content=prompt),))
    a, b = sorted((Response.of(asked.id, one), Response.of(asked.id, other)), key=lambda r: r.id)
    return Item(Comparison.of(asked.id, a.id, b.id, **fields), asked, a, b)


ITEMS = st.lists(
    st.builds(
        lambda p, texts, g: _item(p, texts[0], texts[1], group=g),
        st.sampled_from("pqrst"),
        st.lists(st.integers(0, 25).map(str), min_size=2, max_size=2, unique=True),
        st.sampled_from([None, None, None, "g", "h"]),
    ),
    max_size=25,
    unique_by=lambda item: item.comparison.id,
)


@given(items=ITEMS, seed=st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_no_text_or_group_stands_on_two_sides(items, seed):
    placed = place(items, SplitConfig(by="text"), seed)
    side = {}
    for item in items:
        here = placed[item.comparison.id]
        keys = [("text", item.response_a.text), ("text", item.response_b.text)]
        for key in keys + ([("group", item.comparison.group)] if item.comparison.group else []):
            assert side.setdefault(key, here) == here


@given(items=ITEMS, seed=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_no_prompt_stands_on_two_sides(items, seed):
    placed = place(items, SplitConfig(by="prompt"), seed)
    side = {}
    for item in items:
        here = placed[item.comparison.id]
        assert here.unit == item.comparison.prompt_id
        assert side.setdefault(here.unit, here.split) == here.split


@given(items=ITEMS, order=st.randoms(use_true_random=False), by=st.sampled_from(["prompt", "text"]))
@settings(max_examples=50, deadline=None)
def test_the_order_of_the_rows_is_irrelevant(items, order, by):
    shuffled = order.sample(items, len(items))
    assert place(items, SplitConfig(by=by), 0) == place(shuffled, SplitConfig(by=by), 0)


def test_components_are_found_and_no_larger_than_needed():
    # 1-2, 2-3 share "2"; 7-8 and 9-10 share a group; 5-6 stands alone, though its prompt is the same.
    items = [
        _item("p", "1", "2"),
        _item("q", "2", "3"),
        _item("p", "7", "8", group="g"),
        _item("p", "9", "10", group="g"),
        _item("p", "5", "6"),
    ]
    units = list(assign_units(items, "text").values())
    assert units[0] == units[1] and units[2] == units[3]
    assert len(set(units)) == 3


def test_adding_data_moves_no_old_unit():
    old = [_item(str(i), f"{i} x", f"{i} y") for i in range(60)]
    new = [_item(str(i), f"{i} x", f"{i} y") for i in range(60, 200)]
    for by in ("prompt", "text"):
        before, after = (place(rows, SplitConfig(by=by), 4) for rows in (old, new + old))
        assert all(after[key] == where for key, where in before.items())


def test_the_fractions_are_kept_and_the_seed_matters():
    config = SplitConfig()
    drawn = [draw_split(f"u{i}", config, 0) for i in range(20_000)]
    share = {split: count / 20_000 for split, count in Counter(drawn).items()}
    assert share == pytest.approx({"train": 0.6, "validation": 0.1, "calibration": 0.15, "test": 0.15}, abs=0.012)
    assert drawn != [draw_split(f"u{i}", config, 1) for i in range(20_000)]
    none = SplitConfig(train=0.7, validation=0.0, calibration=0.0, test=0.3)
    assert {draw_split(f"u{i}", none, 0) for i in range(500)} == {"train", "test"}


def test_a_split_set_at_import_wins_for_its_unit():
    items = [_item("p", "1", "2", split="test"), _item("p", "3", "4"), _item("q", "5", "6", split="train")]
    placed = [where.split for where in place(items, SplitConfig(), 0).values()]
    assert placed == ["test", "test", "train"]


def test_two_splits_in_one_unit_are_refused():
    items = [_item("p", "1", "2", split="test"), _item("p", "3", "4", split="train")]
    with pytest.raises(DataError, match="different splits"):
        place(items, SplitConfig(), 0)


def test_what_cannot_be_divided_is_refused_with_a_way_out():
    one = place([_item("p", "1", "2"), _item("p", "3", "4")], SplitConfig(), 0)
    with pytest.raises(DataError) as caught:
        require_splits(one, SplitConfig())
    assert "one unit" in str(caught.value) and "aggregate.split.by: text" in caught.value.fix
    few = place([_item("p", "1", "2"), _item("q", "3", "4")], SplitConfig(), 0)
    with pytest.raises(DataError, match="nothing falls into"):
        require_splits(few, SplitConfig())
    with pytest.raises(DataError, match="usable label"):
        require_splits({}, SplitConfig())
    all_train = SplitConfig(train=1.0, validation=0.0, calibration=0.0, test=0.0)
    require_splits(place([_item("p", "1", "2")], all_train, 0), all_train)
