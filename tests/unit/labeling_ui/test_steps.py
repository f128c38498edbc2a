"""What comes before the work, as a pure function of what is kept of somebody."""

from __future__ import annotations

import pytest

from labeling_ui.steps import checked, qualifies, step_of
from labeling_ui.study import Study
from labeling_ui.wordings import CONSENT
from rewardkit.errors import ConfigError
from rewardkit.label_config import CheckConfig, LabelConfig, QualificationConfig, QuestionConfig

QUESTION = QuestionConfig(text="Is longer better?", options=("yes", "no"), right=2)
PLAIN = Study("plain")
ASKING = Study("asking", LabelConfig(check=CheckConfig(questions=(QUESTION, QUESTION), tries=2)))


def test_consent_comes_first_and_again_when_the_words_change(tmp_path):
    assert step_of({}, PLAIN) == "consent"
    agreed = {"consent": PLAIN.version}
    assert step_of(agreed, PLAIN) == "work"
    file = tmp_path / "guidelines.md"
    file.write_text("Shorter is better.")
    assert step_of(agreed, Study.of(LabelConfig(guidelines=str(file)), "plain")) == "consent"


def test_the_check_is_passed_or_failed():
    kept = {"consent": ASKING.version}
    assert step_of(kept, ASKING) == "check"
    kept |= checked(kept, ASKING, [2, 1])
    assert kept["check"] == {"tries": 1, "passed": False, "wrong": [2]} and step_of(kept, ASKING) == "check"
    assert step_of(kept | checked(kept, ASKING, [2, 2]), ASKING) == "work"
    assert step_of(kept | checked(kept, ASKING, [1, 2]), ASKING) == "failed"


def test_a_break_and_a_failed_qualification():
    kept = {"consent": PLAIN.version}
    assert step_of({**kept, "break": 12.0}, PLAIN) == "break"
    assert step_of({**kept, "break": None, "qualification": "passed"}, PLAIN) == "work"
    assert step_of({**kept, "break": 12.0, "qualification": "failed"}, PLAIN) == "failed"


@pytest.mark.parametrize(
    ("right", "answered", "outcome"), [(0, 4, "open"), (4, 5, "passed"), (3, 5, "failed"), (5, 5, "passed")]
)
def test_qualification_needs_four_of_five(right, answered, outcome):
    study = Study("s", LabelConfig(qualification=QualificationConfig(source="x", items=5, passed=0.8)))
    assert qualifies(right, answered, study) == outcome


def test_a_study_reads_what_its_config_names(tmp_path):
    study = Study.of(LabelConfig(rubric="fiction", study="mine"), "job")
    assert (study.name, study.scale, study.rubric_version) == ("mine", (1, 5), "1")
    assert study.criteria[:2] == ["originality", "craft"]
    assert "pseudonym" in study.consent.html and CONSENT["comparison"][:20] in study.consent.html
    for wrong, problem in (
        (LabelConfig(guidelines=str(tmp_path / "none.md")), "there is no such file"),
        (LabelConfig(task="rating"), "need a rubric"),
        (LabelConfig(rubric="fictoin"), "no rubric"),
    ):
        with pytest.raises(ConfigError, match=problem):
            Study.of(wrong, "job")


@pytest.mark.parametrize(
    ("settings", "guidelines", "consent", "reason"),
    [
        ({}, "which response is better", "say which you prefer", "better written"),
        ({"task": "ranking"}, "in order, the best first", "put them in order", "better written"),
        ({"task": "rating", "rubric": "fiction"}, "rate the response on each criterion", "rate them", "well written"),
        ({"chat": {}}, "gets two replies", "What you write is kept too", "better written"),
    ],
)
def test_what_is_read_first_fits_what_is_done(settings, guidelines, consent, reason):
    study = Study.of(LabelConfig.model_validate(settings), "job")
    assert guidelines in study.guidelines.text and consent in study.consent.text and "pseudonym" in study.consent.text
    assert reason in study.reasons
    assert Study.of(LabelConfig.model_validate({**settings, "reasons": []}), "job").reasons == ()


def test_what_is_rated_needs_a_rubric():
    for settings in ({"task": "rating"}, {"criteria": "rate"}):
        with pytest.raises(ConfigError, match="ratings need a rubric"):
            Study.of(LabelConfig.model_validate(settings), "job")
