"""Labels to tallies, by hand."""

import math

import pytest

from rewardkit.aggregation.votes import count_votes
from rewardkit.errors import DataError
from rewardkit.types import Annotator, Label

ANN = Annotator.of("human", "ann")
BEN = Annotator.of("human", "ben", simulated=True)
JUDGE = Annotator.of("judge", "j")
OTHER = Annotator.of("judge", "k")


def _count(*labels):
    return count_votes(["c"], labels, [ANN, BEN, JUDGE, OTHER])


def _logit(p):
    return math.log(p / (1 - p))


def test_human_labels_become_votes():
    ballot = _count(
        Label.of("c", ANN.id, choice="a", strength=2.0),
        Label.of("c", BEN.id, choice="tie"),
    )
    tally = ballot.tallies["c"]
    assert tally.human_p_a == 0.75
    assert [(vote.value, vote.strength) for vote in tally.votes] == [(1.0, 2.0), (0.5, None)]
    assert tally.judge_logit is None and tally.simulated


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"choice": "a"}, 1.0),
        ({"choice": "b"}, 0.0),
        ({"choice": "tie"}, 0.5),
        ({"choice": "both_bad"}, 0.5),
        ({"choice": "a", "p_a": 0.7}, 0.7),
        ({"p_a": 0.2}, 0.2),
    ],
)
def test_the_value_of_a_human_label(fields, value):
    assert _count(Label.of("c", ANN.id, **fields)).tallies["c"].human_p_a == value


def test_repeats_of_one_human_are_one_vote():
    tally = _count(*(Label.of("c", ANN.id, choice=choice, repeat=i) for i, choice in enumerate("aab"))).tallies["c"]
    assert len(tally.votes) == 1 and tally.human_p_a == pytest.approx(2 / 3)


def test_a_judges_orders_are_averaged_as_logits():
    tally = _count(
        Label.of("c", JUDGE.id, choice="a", p_a=0.9, order_shown="ab"),
        Label.of("c", JUDGE.id, choice="b", p_a=0.4, order_shown="ba"),
    ).tallies["c"]
    assert tally.judge_logit == pytest.approx((_logit(0.9) + _logit(0.4)) / 2)
    # Seen first, A gains: half of the difference is what the position is worth.
    assert tally.judges[0].position_residual == pytest.approx((_logit(0.9) - _logit(0.4)) / 2)
    assert tally.judge_p_a == pytest.approx(1 / (1 + math.exp(-tally.judge_logit)))
    assert tally.human_p_a is None and not tally.simulated


def test_repeats_in_one_order_do_not_outweigh_the_other():
    tally = _count(
        Label.of("c", JUDGE.id, choice="a", order_shown="ab"),
        Label.of("c", JUDGE.id, choice="a", order_shown="ab", repeat=1),
        Label.of("c", JUDGE.id, choice="b", order_shown="ba"),
    ).tallies["c"]
    assert tally.judge_logit == pytest.approx(0.0)
    assert tally.judges[0].position_residual == pytest.approx(_logit(0.98))


def test_judges_are_clipped_by_the_kind_of_their_verdict():
    hard = _count(Label.of("c", JUDGE.id, choice="b", order_shown="ab")).tallies["c"]
    soft = _count(Label.of("c", JUDGE.id, choice="a", p_a=1.0)).tallies["c"]
    assert hard.judge_logit == pytest.approx(_logit(0.02))
    assert hard.judges[0].position_residual is None
    assert soft.judge_logit == pytest.approx(_logit(1 - 1e-4))


def test_every_judge_counts_the_same():
    tally = _count(
        Label.of("c", JUDGE.id, p_a=0.8, order_shown="ab"),
        Label.of("c", JUDGE.id, p_a=0.8, order_shown="ba"),
        Label.of("c", OTHER.id, p_a=0.2),
    ).tallies["c"]
    assert tally.judge_p_a == pytest.approx(0.5) and len(tally.judges) == 2


def test_judges_are_named_with_their_labels():
    ballot = _count(
        Label.of("c", JUDGE.id, p_a=0.8, order_shown="ab"),
        Label.of("c", JUDGE.id, p_a=0.8, order_shown="ba"),
        Label.of("c", OTHER.id, p_a=0.2),
        Label.of("c", ANN.id, choice="a"),
    )
    named = {f"{judge.name} ({judge.id[:8]})": count for judge, count in ((JUDGE, 2), (OTHER, 1))}
    assert ballot.judges == dict(sorted(named.items()))


def test_what_is_no_vote_is_counted():
    first = Label.of("c", ANN.id, choice="a")
    ballot = _count(
        first,
        Label.of("c", ANN.id, choice="b", supersedes=first.id),
        Label.of("c", BEN.id, status="abstained"),
        Label.of("c", JUDGE.id, status="failed", reason="no verdict"),
        Label.of("elsewhere", JUDGE.id, choice="a"),
    )
    assert ballot.tallies["c"].human_p_a == 0.0
    assert (ballot.used, ballot.abstained, ballot.failed, ballot.superseded, ballot.elsewhere) == (1, 1, 1, 1, 1)


def test_a_comparison_with_nothing_usable_has_no_tally():
    assert not _count(Label.of("c", JUDGE.id, status="failed")).tallies


def test_labels_that_cannot_be_used_are_refused():
    with pytest.raises(DataError, match="unknown"):
        _count(Label.of("c", "nobody", choice="a"))
    with pytest.raises(DataError, match="neither a choice nor p_a"):
        _count(Label.of("c", ANN.id))
