"""The stage `judge` with a protocol for lists: groups as lists, everything else pair by pair."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from rewardkit.aggregation.orders import swap_average
from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError
from rewardkit.jobs import panels
from rewardkit.jobs.judging_groups import pair_ids
from rewardkit.jobs.names import check_names
from rewardkit.jobs.pipeline import run_one
from rewardkit.jobs.stages import Job
from rewardkit.store.store import Store
from rewardkit.types import Comparison, Message, Prompt, Response

LISTS, PAIRS = "fake/listwise.v1/fiction", "fake/pairwise.v1/fiction"
ALONE = 5


def ranking(question, many):
    prompt = Prompt.of((Message(role="user", content=question),))
    responses = [Response.of(prompt.id, f"response {n}") for n in range(many)]
    pairs = [Comparison.of(prompt.id, a.id, b.id, group=f"rank {question}") for a, b in combinations(responses, 2)]
    return [prompt, *responses, *pairs]


@pytest.fixture
def config(tmp_path, add_comparisons):
    def build(**judge):
        judge = {"backend": "fake", "list_protocol": "listwise.v1", **judge}
        return JobConfig.model_validate({"workspace": str(tmp_path), "judge": judge})

    with Store.open(build().database) as store:
        add_comparisons(store, ALONE)
        # Rankings of 3, 4 and 9 responses: 3, 6 and 36 pairs.
        store.add([*ranking("one", 3), *ranking("two", 4), *ranking("large", 9)])
    return build


def said(config):
    """Return the labels by the judge's name."""
    with Store.open(config.database, create=False) as store:
        names = {each.id: each.name for each in store.annotators().values()}
        found = {}
        for label in store.labels():
            found.setdefault(names[label.annotator_id], []).append(label)
    return found


def test_groups_are_judged_as_lists_and_the_rest_pair_by_pair(config, capsys):
    summary = run_one("judge", config().model_copy()).summary
    found = said(config())
    assert {name: len(labels) for name, labels in found.items()} == {LISTS: 2 * 9, PAIRS: 2 * (ALONE + 36)}
    assert summary["labels ok"] == 2 * (9 + ALONE + 36)
    assert Counter(label.metadata["group_size"] for label in found[LISTS]) == {3: 6, 4: 12}
    listed, paired = ({label.comparison_id for label in found[name]} for name in (LISTS, PAIRS))
    assert not listed & paired
    err = capsys.readouterr().err
    assert "2 items, 4 requests" in err
    assert "groups of more responses than listwise.v1 shows, judged pair by pair: 1" in err


def test_both_presentations_are_both_orders_of_each_pair(config):
    run_one("judge", config())
    by_pair = {}
    for label in said(config())[LISTS]:
        by_pair.setdefault(label.comparison_id, {})[label.order_shown] = label.p_a
    assert all(set(orders) == {"ab", "ba"} for orders in by_pair.values())
    assert all(swap_average(orders).position_residual is not None for orders in by_pair.values())


def test_what_is_there_is_not_said_again_and_what_is_missing_is(config):
    run_one("judge", config(orders=["ba"]))
    before = {label.id for label in said(config())[LISTS]}
    summary = run_one("judge", config()).summary
    after = {label.id for label in said(config())[LISTS]}
    assert len(before) == 9
    assert before < after
    assert summary["labels ok"] == 9 + ALONE + 36


def test_a_limit_chooses_the_comparisons_that_it_chooses_without_groups(config):
    run_one("judge", config(limit=30))
    with Store.open(config().database, create=False) as store:
        first = sorted(store.ids("comparisons"))[:30]
        pairs = list(pair_ids(store, config(limit=30).judge))
    found = said(config())
    labelled = {label.comparison_id for labels in found.values() for label in labels}
    assert labelled == set(first)
    assert {label.comparison_id for label in found[PAIRS]} == set(pairs)
    assert {label.sampling_prob for labels in found.values() for label in labels} == {30 / 50}
    run_one("judge", config())
    labels = said(config())[LISTS]
    assert len(labels) == 2 * 9, "what the limit left out is said later, and nothing twice"


def test_without_it_groups_are_judged_pair_by_pair(config):
    run_one("judge", config(list_protocol=None))
    assert {name: len(labels) for name, labels in said(config()).items()} == {PAIRS: 2 * (ALONE + 45)}


def test_a_panel_has_lists_of_its_own(config):
    run_one("judge", config(panel=[{"name": "one"}, {"name": "two", "list_protocol": None}]))
    names = {name: len(labels) for name, labels in said(config()).items()}
    assert names == {f"{LISTS}/one": 18, f"{PAIRS}/one": 82, f"{PAIRS}/two": 100}


def test_it_is_said_before(config):
    assert "in 2 orders (groups by listwise.v1)" in panels.size(Job(config()))


def test_a_name_that_is_none_is_refused_before_the_first_stage(config):
    with pytest.raises(ConfigError, match="listwize"):
        check_names(config(list_protocol="listwize.v1"))
