from dataclasses import replace

import pytest

from rewardkit.calibration.ece import CalibrationError
from rewardkit.calibration.estimates import Estimate
from rewardkit.calibration.reliability import Reliability, ReliabilityBin
from rewardkit.report.data import Row
from rewardkit.report.verdict import mean_confidence, reach_verdict

S = "\u00a0"
GOOD = Estimate(0.783, 0.712, 0.844, 212, 11, 0.95)
HONEST = CalibrationError(0.031, 0.001, 0.0, 0.082, 8, 212)
AHEAD = Estimate(0.2, 0.1, 0.3, 212, 11, 0.95)
LEVEL = Estimate(0.04, -0.03, 0.11, 212, 11, 0.95)
BEHIND = Estimate(-0.09, -0.15, -0.03, 212, 11, 0.95)


def bins(confidence, share):
    frequency = Estimate(share, share - 0.05, share + 0.05, 212, 11, 0.95)
    return Reliability((ReliabilityBin(212, confidence, frequency),), 212, 11)


@pytest.fixture
def case(data):
    """Build a report whose decisive numbers are given by hand."""

    def build(accuracy=GOOD, ece=HONEST, leads=(AHEAD,), curve=None, **more):
        measured = replace(data.model.measurement, accuracy=accuracy, ece=ece, n_ties=0)
        names = ("longer", "judge", "untrained")
        theirs = replace(measured, accuracy=Estimate(0.55, 0.5, 0.6, 212, 11, 0.95))
        rows = tuple(Row(name, theirs, "", lead) for name, lead in zip(names, leads, strict=False))
        return replace(
            data,
            model=replace(data.model, measurement=measured),
            baselines=rows,
            reliability=curve or bins(0.78, 0.78),
            **more,
        )

    return build


def test_a_good_model_is_said_to_be_good(case):
    verdict = reach_verdict(case())
    assert verdict.tone == "good"
    assert verdict.headline == "Better than every baseline, and its probabilities are honest"
    assert verdict.sentences == (
        f"On 212{S}held-out comparisons from 11{S}prompts, the reward model agrees with people on 78.3{S}%"
        f" (95{S}% interval 71.2–84.4{S}%).",
        f"It beats “longer” (55.0{S}%); that is 20.0{S}points behind (95{S}% interval +10.0 to +30.0).",
        "Its probabilities are honest: calibration error (debiased ECE) 0.031, and a perfectly calibrated model"
        " would show up to 0.082 at this size.",
    )
    assert verdict.cautions == ()


def test_a_difference_whose_interval_includes_0_is_no_difference(case):
    verdict = reach_verdict(case(leads=(AHEAD, LEVEL)))
    assert verdict.tone == "mixed"
    assert verdict.headline == "Better than a coin toss, but not shown to be better than “judge”"
    assert (
        f"It is not shown to be better than “judge” (55.0{S}%; difference +4.0{S}points,"
        f" 95{S}% interval −3.0 to +11.0); the interval includes 0."
    ) in verdict.sentences


def test_an_interval_that_touches_0_includes_it(case):
    assert "not shown" in reach_verdict(case(leads=(replace(AHEAD, low=0.0),))).headline


def test_a_worse_model_is_said_to_be_worse(case):
    verdict = reach_verdict(case(leads=(AHEAD, LEVEL, BEHIND)))
    assert (verdict.tone, verdict.headline) == ("bad", "Worse than “untrained”")
    assert any(
        s.startswith(f"It does worse than “untrained” (55.0{S}%; difference −9.0{S}points") for s in verdict.sentences
    )


@pytest.mark.parametrize(
    ("accuracy", "headline"),
    [
        (Estimate(0.53, 0.45, 0.61, 212, 11, 0.95), "Not shown to be better than a coin toss"),
        (Estimate(0.4, 0.3, 0.49, 212, 11, 0.95), "Worse than a coin toss: it prefers what the labels reject"),
    ],
)
def test_a_coin_is_unmasked(case, accuracy, headline):
    verdict = reach_verdict(case(accuracy=accuracy))
    assert (verdict.tone, verdict.headline) == ("bad", headline)


@pytest.mark.parametrize(
    ("confidence", "share", "word"),
    [(0.9, 0.7, "over-confident"), (0.7, 0.9, "under-confident"), (0.8, 0.8, "miscalibrated")],
)
def test_an_error_above_the_band_is_named(case, confidence, share, word):
    ece = CalibrationError(0.2, 0.04, 0.0, 0.08, 8, 212)
    verdict = reach_verdict(case(ece=ece, curve=bins(confidence, share)))
    assert verdict.tone == "mixed"
    assert verdict.headline == f"Better than every baseline, but its probabilities are {word}"
    assert "honest" not in verdict.sentences[-1]
    assert f"on average it is {100 * confidence:.1f}{S}% sure" in verdict.sentences[-1]


@pytest.mark.parametrize(
    "ece",
    [CalibrationError(0.02, 0.0004, 0.0, 0.2, 8, 212), CalibrationError(0.02, 0.0004, 0.0, 0.08, 1, 48)],
    ids=["wide band", "few comparisons"],
)
def test_honesty_is_not_claimed_from_data_that_could_not_deny_it(case, ece):
    verdict = reach_verdict(case(ece=ece))
    assert verdict.headline.endswith("whether its probabilities are honest takes more data")
    assert verdict.sentences[-1].startswith("Nothing speaks against its probabilities")


def test_a_handful_of_prompts_tells_nothing(case):
    verdict = reach_verdict(case(accuracy=Estimate(0.9, 0.7, 0.97, 40, 4, 0.95)))
    assert verdict.tone == "unknown"
    assert verdict.headline == f"Too little data to tell: 40{S}comparisons from only 4{S}prompts"
    assert verdict.cautions[0].endswith(f"Hold out at least 10{S}prompts.")


def test_a_wide_interval_says_how_much_more_is_needed(case):
    # Half the interval is 0.14; (0.14 / 0.05)² = 7.84.
    verdict = reach_verdict(case(accuracy=Estimate(0.7, 0.56, 0.84, 60, 12, 0.95)))
    assert verdict.cautions == (
        f"This is a small test set: 60{S}comparisons from 12{S}prompts leave agreement uncertain by about ±14{S}points."
        " About 8 times as many prompts would bring it to ±5 points.",
    )


def test_ties_alone_cannot_be_agreed_with(case):
    verdict = reach_verdict(case(accuracy=None))
    assert verdict.tone == "unknown"
    assert "tie" in verdict.headline
    assert verdict.cautions


def test_a_baseline_that_was_not_measured_is_not_beaten(case):
    data = case()
    verdict = reach_verdict(replace(data, baselines=(*data.baselines, Row("judge", None, "no labels"))))
    assert verdict.headline.startswith("Better than every baseline that was measured")
    assert "Not compared: “judge”." in verdict.sentences


def test_without_baselines_nothing_is_beaten(case):
    verdict = reach_verdict(case(leads=()))
    assert verdict.tone == "mixed"
    assert "No baseline was compared, so nothing shows whether this is hard to reach." in verdict.sentences


def test_simulated_annotators_are_not_called_people(case):
    verdict = reach_verdict(case(simulated="The labels come from simulated annotators."))
    assert "agrees with the simulated annotators on" in verdict.sentences[0]
    assert not any("people" in sentence for sentence in verdict.sentences)


def test_the_unit_of_the_intervals_is_named(case):
    assert f"from 11{S}text groups" in reach_verdict(case(unit="text group")).sentences[0]


def test_a_model_that_was_not_measured(data):
    verdict = reach_verdict(replace(data, model=Row("reward model", None, "no held-out labels")))
    assert (verdict.tone, verdict.sentences) == ("unknown", ("no held-out labels",))


def test_mean_confidence_weighs_bins_by_their_size():
    one, three = (Estimate(v, 0.0, 1.0, 1, 1, 0.95) for v in (0.4, 0.8))
    curve = Reliability((ReliabilityBin(1, 0.6, one), ReliabilityBin(3, 0.8, three)), 4, 2)
    assert mean_confidence(curve) == pytest.approx((0.75, 0.7))
