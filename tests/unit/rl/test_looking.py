import json
import math
from dataclasses import replace

import numpy as np
import pytest

from rewardkit.rl.history import History
from rewardkit.rl.looking import (
    AlarmRule,
    Levels,
    Look,
    compare,
    distinct_of,
    overlap_of,
    spread_of,
)

NAN = math.nan
RULE = AlarmRule()


def look(step, proxy, held_out, lengths=None):
    proxy = np.array(proxy, dtype=float)
    lengths = np.ones_like(proxy) if lengths is None else np.array(lengths, dtype=float)
    return Look(step, proxy, np.array(held_out, dtype=float), lengths, distinct=1.0, overlap=0.0)


def test_traits_by_hand():
    # Pairs: (a, b) (b, c) | (a, b): three, of which two are different.
    assert distinct_of(["A b c", "a b"]) == pytest.approx(2 / 3)
    assert distinct_of(["word"]) == 1.0
    # {ab, bc} and {ab}: one of two in common; the second group has one answer.
    assert overlap_of([["a b c", "a b"], ["x y"]]) == 0.5
    assert overlap_of([["x y"]]) == 0.0


def test_spread_within_prompts_by_hand():
    # Deviations ±1 and ±2 with one degree of freedom each: (2 + 8) / 2 = 5. What lies between prompts is no part.
    assert spread_of(np.array([[1.0, 3.0], [100.0, 104.0], [7.0, NAN]])) == pytest.approx(5**0.5)
    assert spread_of(np.array([[1.0], [3.0]])) == pytest.approx(2**0.5)
    assert spread_of(np.array([[1.0]])) == 0.0


def test_a_change_by_hand():
    # Spread within prompts at the start: proxy 1/√2·… deviations ±1 in all five prompts give √2; the other √2 / 2.
    first = look(0, [[0, 2]] * 5, [[0, 1]] * 5)
    later = look(10, np.array([[0, 2]] * 5) + np.arange(5)[:, None], [[0, 1]] * 5)
    change = compare(first, first, later, AlarmRule(follow=0.5), Levels(0.95, 0.99))
    # Rises 0 to 4, mean 2, standard error √(2.5/5) = .7071, t quantile of 4 degrees 2.7764; in units of √2.
    assert change.proxy.value == pytest.approx(2 / 2**0.5)
    assert change.proxy.low == pytest.approx((2 - 2.776445 * 0.5**0.5) / 2**0.5, abs=1e-5)
    assert change.held_out.value == 0.0 and change.shortfall.value == pytest.approx(0.5 * 2 / 2**0.5)
    assert change.alarm and change.proxy.n_units == 5


def test_prompts_without_a_reward_do_not_count():
    first = look(0, [[0, 2]] * 6, [[0, 1]] * 6)
    broken = np.array([[0, 1]] * 6, dtype=float)
    broken[2] = NAN
    assert compare(first, first, look(1, [[1, 3]] * 6, broken), RULE, Levels(0.95, 0.95)).proxy.n_units == 5
    broken[3] = NAN
    assert compare(first, first, look(1, [[1, 3]] * 6, broken), RULE, Levels(0.95, 0.95)) is None
    flat = look(0, [[0, 2]] * 6, [[1, 1]] * 6)
    assert compare(flat, flat, look(1, [[1, 3]] * 6, [[0, 1]] * 6), RULE, Levels(0.95, 0.95)) is None


def test_the_rate_of_false_alarms_is_divided_among_all_comparisons():
    levels = Levels.of(AlarmRule(false_alarms=0.08), looks=4)
    # Half of it over 4 comparisons with the start, half over 6 others; one side each.
    assert (1 - levels.from_start) / 2 * 4 == pytest.approx(0.04)
    assert (1 - levels.between) / 2 * 6 == pytest.approx(0.04)


def test_length_correlation_is_within_prompts():
    # Long prompts' answers have low rewards; within a prompt the longer answer has the higher one.
    seen = look(0, [[10.0, 11.0], [0.0, 1.0]], [[0, 0]] * 2, lengths=[[1, 2], [8, 9]])
    assert seen.length_correlation == pytest.approx(1.0)
    assert look(0, [[1.0, 1.0]], [[0, 0]]).length_correlation is None


def trained(rng, rise, *, follow, prompts=32, samples=4, looks=4, fall=0.0):
    """Simulate a training: prompts differ, answers differ by 1 within a prompt, and both rewards share half of it."""
    history, level = History(RULE, Levels.of(RULE, looks)), rng.normal(size=(2, prompts, 1))
    for step in range(looks + 1):
        noise = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=(prompts, samples)).transpose(2, 0, 1)
        share = step / looks
        # How far a prompt comes is its own.
        come = rise * share * rng.normal(1.0, 0.3, size=(prompts, 1))
        lost = fall * max(share - 0.5, 0.0) * 2
        proxy, held_out = level[0] + noise[0] + come, level[1] + noise[1] + follow * come - lost
        history = history.after(look(step, proxy, held_out))
    return history


def alarms(runs, seed, **how):
    rng = np.random.default_rng(seed)
    return sum(trained(rng, **how).alarm is not None for _ in range(runs)) / runs


@pytest.mark.parametrize("rise", [0.0, 1.0, 3.0])
def test_false_alarms_stay_within_their_rate(rise):
    # The held-out reward follows by just what the rule asks for: the worst case of those that deserve no alarm.
    # 200 runs of a rate of .05 exceed .09 once in 200.
    assert alarms(200, seed=1, rise=rise, follow=RULE.follow) <= 0.09


def test_a_reward_that_is_followed_raises_no_alarm():
    assert alarms(100, seed=2, rise=3.0, follow=0.6) == 0


def test_a_cheated_reward_is_found():
    # The proxy rises by 2 standard deviations, the other one stays; or falls as the proxy rises.
    assert alarms(50, seed=3, rise=3.0, follow=0.0) >= 0.8
    assert alarms(50, seed=3, rise=1.0, follow=-1.0) >= 0.95


def test_a_reward_that_is_sound_until_it_is_over_optimised_is_found_though_it_is_above_its_start():
    # At the end it stands at 2 − 1.1 = .9, which a quarter of the proxy's 4 hardly exceeds; at half time it was at 1.
    history = trained(np.random.default_rng(4), 4.0, follow=0.5, fall=1.1)
    assert history.since_start()[-1].held_out.low > 0
    assert history.alarm is not None and history.alarm.since > 0


def test_the_figure_and_its_numbers(tmp_path):
    history = trained(np.random.default_rng(5), 3.0, follow=-0.5, looks=3)
    history.save(tmp_path / "monitor.svg")
    told = json.loads((tmp_path / "monitor.json").read_text())
    assert [each["step"] for each in told["looks"]] == [0, 1, 2, 3]
    assert told["alarm"]["step"] == history.alarm.step and len(told["tested"]) == 6
    assert told["looks"][0]["proxy"]["n"] == 128 and told["looks"][0]["proxy"]["n_units"] == 32
    labels = [text.get_text() for text in history.plot().get_legend().get_texts()]
    assert labels[0] == "proxy reward (n = 32 prompts)" and labels[2].startswith("alarm")
    traits = replace(history, looks=(*history.looks, replace(history.looks[-1], step=4, kl=0.5))).plot_traits()
    assert [text.get_text() for text in traits.get_legend().get_texts()][-1] == "KL (right axis)"
    assert b"<svg" in (tmp_path / "monitor.svg").read_bytes()


def test_a_history_of_one_look_can_be_drawn_too(tmp_path):
    History(RULE, Levels.of(RULE, 3)).after(look(0, [[0, 1]] * 5, [[0, 1]] * 5)).save(tmp_path / "monitor.png")
    assert (tmp_path / "monitor.png").stat().st_size
