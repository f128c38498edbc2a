"""Votes: how many are asked for, with which seeds, and what comes of them."""

from __future__ import annotations

import pytest
from scipy.stats import beta

from rewardkit.errors import ConfigError
from rewardkit.judge.contract import Completion, PairVerdict
from rewardkit.judge.estimating import estimate_comparisons
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.judges import Judge, open_judges
from rewardkit.judge.pairwise import PairwiseTextV1, PairwiseV1
from rewardkit.judge.reasoning import ReasonedV1
from rewardkit.judge.running import judge_comparisons
from rewardkit.judge.votes import Voted, _leaders, certainty
from rewardkit.judge_config import JudgeConfig, VotesConfig

CONFIG = JudgeConfig(backend="fake", orders=["ab"], max_failure_rate=1.0)


def voting(words, **votes):
    """Return a judge whose votes say these words, one after the other, and its backend."""
    coming = iter(words)
    backend = FakeBackend(lambda _: Completion(reply=f"Verdict: {next(coming)}", tokens=5, reply_tokens=2))
    return Voted(PairwiseTextV1(), VotesConfig(**votes)), backend


def label_of(item, rubric, protocol, backend):
    _, label = judge_comparisons([item], Judge(backend, protocol, rubric), CONFIG)
    return label


@pytest.mark.parametrize(("most", "second"), [(1, 0), (4, 0), (3, 1), (6, 1), (5, 5), (20, 9)])
def test_the_certainty_is_the_upper_half_of_the_beta_posterior(most, second):
    assert certainty(most, second) == pytest.approx(beta.sf(0.5, most + 1, second + 1))


@pytest.mark.parametrize(
    ("words", "asked", "p_a"),
    [
        # 4 votes of one mind: 31/32 is more than .95; 3 (15/16) are not enough.
        ("AAAA", 4, 1.0),
        # 3 to 1 asks for 3 more: 6 to 1 is 247/256, and 5 to 1 only 120/128.
        ("AABAAAA", 7, 6 / 7),
        ("BABABABA", 8, 0.5),
    ],
)
def test_it_is_asked_until_the_majority_is_certain(texts, rubric, words, asked, p_a):
    label = label_of(texts(), rubric, *voting(words, count=8))
    assert label.p_a == pytest.approx(p_a)
    assert len(label.metadata["votes"]) == asked
    assert label.metadata["agreement"] == pytest.approx(max(p_a, 1 - p_a))
    assert label.tokens == 7 * asked


def test_the_rounds_hold_what_could_settle_it(texts, rubric):
    protocol, _ = voting("", count=8)
    asking = protocol.compare(texts(), rubric, "ab")
    reply = {word: Completion(reply=f"Verdict: {word}") for word in ("A", "B", "tie")}
    assert len(next(asking)) == 4
    assert len(asking.send((reply["A"], reply["A"], reply["B"], reply["A"]))) == 3
    # 4 to 3 cannot be settled with one more: it is the last one.
    assert len(asking.send((reply["A"], reply["B"], reply["B"]))) == 1
    with pytest.raises(StopIteration) as stop:
        asking.send((reply["tie"],))
    verdict = stop.value.value
    assert isinstance(verdict, PairVerdict)
    assert verdict.p_first == pytest.approx(4.5 / 8)
    assert verdict.rationale == "Verdict: A"


def test_a_stop_of_one_asks_for_all(texts, rubric):
    label = label_of(texts(), rubric, *voting("A" * 6, count=6, stop=1.0))
    assert len(label.metadata["votes"]) == 6


def test_votes_differ_in_their_seeds_and_the_same_question_has_the_same_ones(texts, rubric):
    seen = []
    for _ in range(2):
        protocol, backend = voting("A" * 8, count=4, temperature=1.3)
        _, *_ = judge_comparisons(
            [texts()], Judge(backend, protocol, rubric), CONFIG.model_copy(update={"orders": ("ab", "ba")})
        )
        seen.append([(each.seed, each.temperature) for each in backend.seen])
    assert seen[0] == seen[1]
    assert len({seed for seed, _ in seen[0]}) == 8
    assert {temperature for _, temperature in seen[0]} == {1.3}


def test_a_label_after_a_thought_is_read_and_not_drawn(texts, rubric):
    def answer(request):
        return None if request.labels else Completion(reply=f"Thought {request.seed}.")

    backend = FakeBackend(answer)
    label = label_of(texts(), rubric, Voted(ReasonedV1(), VotesConfig(count=3)), backend)
    labels = [each for each in backend.seen if each.labels]
    assert len(labels) == 3 and all(each.seed is None and each.temperature is None for each in labels)
    p_firsts = [each for each in (backend.complete([r])[0].logprobs for r in labels)]
    shares = [1 / (1 + 2.718281828459045 ** (p["B"] - p["A"])) for p in p_firsts]
    assert label.p_a == pytest.approx(sum(shares) / 3)


def test_a_vote_counts_for_what_its_own_label_would_say(texts, rubric):
    class Mixed(PairwiseTextV1):
        def compare(self, texts, rubric, order):
            yield from super().compare(texts, rubric, order)
            return PairVerdict(0.65, 0.0, p_tie=0.25, p_both_bad=0.25)

    # .4 for the first, .1 for the second, and twice .25: a winner in every vote, and so in their label.
    backend = FakeBackend(lambda _: Completion(reply="Verdict: A"))
    label = label_of(texts(), rubric, Voted(Mixed(), VotesConfig(count=4)), backend)
    assert label.choice == "a" and label.metadata["agreement"] == 1.0
    tied = PairVerdict(0.5, 0.0, p_tie=0.6)
    bad = PairVerdict(0.5, 0.0, p_both_bad=0.6)
    assert _leaders([tied, bad, tied]) == (2, 1)


def test_votes_that_cannot_be_read_are_counted_and_spoil_it_where_they_are_most(texts, rubric):
    few = label_of(texts(), rubric, *voting(["A", "C", "A", "A", "A"], count=5))
    assert (few.p_a, len(few.metadata["votes"]), few.metadata["votes_failed"]) == (1.0, 4, 1)
    most = label_of(texts(), rubric, *voting(["A", "C", "C", "C", "B"], count=5))
    assert (most.status, most.reason) == ("failed", "3 of 5 votes failed: no verdict in the reply")


def test_estimates_reckon_with_all_votes(texts, rubric):
    protocol, backend = voting("", count=6)
    estimate = estimate_comparisons([texts()], Judge(backend, protocol, rubric), CONFIG)
    assert (estimate.records, estimate.requests) == (1, 6)


def test_the_votes_are_part_of_the_judge(rubric):
    judges = [Judge(FakeBackend(), Voted(PairwiseTextV1(), VotesConfig(count=n)), rubric).annotator for n in (3, 4)]
    assert judges[0].id != judges[1].id
    assert judges[0].settings["votes"] == {"count": 3, "temperature": 0.7, "stop": 0.95}
    assert judges[0].name == Judge(FakeBackend(), PairwiseTextV1(), rubric).annotator.name


def test_a_judge_that_draws_nothing_has_no_votes():
    with pytest.raises(ConfigError, match="however often it is asked"):
        Voted(PairwiseV1(), VotesConfig())
    with pytest.raises(ConfigError, match=r"judge\.votes"):
        open_judges(JudgeConfig(backend="fake", votes=VotesConfig()))
