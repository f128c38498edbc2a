from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from rewardkit.calibration.calibrators import Calibration
from rewardkit.calibration.likeness import Familiar
from rewardkit.errors import DataError, ModelError
from rewardkit.scorer import RewardModel, messages_of
from rewardkit.types import Message

PROMPT = "A poem about rain."


def calibration(**fields):
    return Calibration(
        method="temperature",
        params={"temperature": 2.0},
        n=120,
        n_units=60,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        comparisons_digest="0",
        **fields,
    )


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory):
    from rewardkit.config import TrainConfig
    from rewardkit.reward_model import folder

    path = tmp_path_factory.mktemp("reward") / "model"
    folder.save(folder.create(TrainConfig(model=str(tiny_model()), max_length=64), seed=1), path)
    return path


@pytest.fixture
def model(folder, monkeypatch):
    """A model whose rewards are known: the length of a response."""
    import numpy as np

    from rewardkit.reward_model import scoring

    def reward(_, conversations):
        lengths = np.array([[float(len(text))] for _, text in conversations])
        reasons = tuple("nothing is left" if text == "?" else "" for _, text in conversations)
        count = len(lengths)
        return scoring.Rewards(lengths, np.zeros((count, 0)), np.zeros(count, dtype=bool), reasons)

    monkeypatch.setattr(scoring, "reward", reward)
    return RewardModel(SimpleNamespace(), calibration(), folder)


def test_what_a_comparison_says_by_hand(model):
    # A margin of 2 at a temperature of 2 is a logit of 1; the interval of log T gives logits of 2/e and 2.
    model.calibration = calibration(log_temperature_low=0.0, log_temperature_high=1.0)
    said = model.compare(PROMPT, "four", "of")
    assert (said.reward_a, said.reward_b, said.margin, said.n) == (4.0, 2.0, 2.0, 120)
    assert (said.p_a, said.low, said.high) == pytest.approx((0.731059, 0.676068, 0.880797), abs=1e-6)
    turned = model.compare(PROMPT, "of", "four")
    assert (turned.p_a, turned.low, turned.high) == pytest.approx((1 - said.p_a, 1 - said.high, 1 - said.low))


def test_a_calibration_that_the_data_do_not_bound_has_no_interval(model):
    said = model.compare(PROMPT, "four", "of")
    assert said.low is None and said.high is None


def test_what_cannot_be_compared_is_one_clear_error(model):
    with pytest.raises(DataError, match="nothing is left"):
        model.compare(PROMPT, "?", "four")
    model.calibration = None
    with pytest.raises(ModelError, match="not calibrated"):
        model.compare(PROMPT, "four", "of")


@pytest.mark.parametrize(
    ("prompts", "responses", "what"),
    [
        ([PROMPT], ["a", "b"], "1 prompts and 2 responses"),
        ([3], ["a"], "neither text nor a list of messages"),
        ([PROMPT], [None], "of the type NoneType"),
    ],
)
def test_what_cannot_be_scored_is_one_clear_error(model, prompts, responses, what):
    with pytest.raises(DataError, match=what):
        model.score(prompts, responses)


def test_a_prompt_is_text_or_messages():
    told = ({"role": "system", "content": "Be kind."}, Message(role="user", content=PROMPT))
    assert messages_of(PROMPT) == (Message(role="user", content=PROMPT),)
    assert messages_of(told) == (Message(role="system", content="Be kind."), told[1])
    assert messages_of("") == messages_of(None) == ()


def test_a_folder_answers_as_it_was_written(folder):
    model = RewardModel.load(folder)
    found = model.score([PROMPT, "", [{"role": "user", "content": PROMPT}]], ["It rains."] * 3)
    assert found.reasons == ("", "", "") and model.calibration is None
    assert found.values[0] == found.values[2] != found.values[1]


def test_what_is_unlike_the_calibrations_texts_is_said(model):
    assert model.unlike(PROMPT, "four") == ()
    texts = [(messages_of(PROMPT), "rain " * n) for n in range(1, 9)]
    model.calibration = calibration(texts=Familiar.of(texts, [str(n) for n in range(1, 9)]))
    said = model.compare(PROMPT, "rain rain", "qzqz " * 20)
    assert said.unlike == ("response: longer", "response: other words")
    assert model.unlike("Une autre question, assez longue.", "rain rain") == ("prompt: longer", "prompt: other words")


def test_members_that_disagree_by_hand(model, monkeypatch):
    """Members say 3 and 1 of one text, 0 and 2 of the other: margins of 3 and −1."""
    import numpy as np

    from rewardkit.reward_model import scoring

    found = scoring.Rewards(
        np.array([[3.0, 1.0], [0.0, 2.0]]), np.zeros((2, 0)), np.zeros(2, dtype=bool), ("", ""), np.zeros(2)
    )
    monkeypatch.setattr(scoring, "reward", lambda *_: found)
    said = model.compare(PROMPT, "x", "y")
    assert (said.reward_a, said.reward_b) == (2.0, 1.0)
    assert said.disagreement == pytest.approx(8**0.5)
    assert found.spread.tolist() == pytest.approx([2**0.5, 2**0.5])


def test_a_reward_is_explained_paragraph_by_paragraph(folder):
    model = RewardModel.load(folder)
    text = "One. " * 30 + "\n\n" + "Two. " * 30
    with pytest.raises(DataError, match="says nothing"):
        model.explain(PROMPT, " \n")
    model.model.renderer.max_length = 1024
    said = model.explain(PROMPT, text)
    assert [text[part.start : part.end] for part in said.parts] == [("One. " * 30).strip(), ("Two. " * 30).strip()]
    assert said.reward == pytest.approx(said.empty + sum(part.gain for part in said.parts), abs=1e-6)
    whole, first, nothing = model.score([PROMPT] * 3, [text, text[: said.parts[0].end], ""]).values
    assert [said.reward, said.empty, said.parts[0].gain] == pytest.approx([whole, nothing, first - nothing], abs=1e-5)


def test_a_reward_is_explained_where_the_prompt_must_be_cut(folder):
    model = RewardModel.load(folder)
    asked, text = "Why? " * 60, "Because. " * 3
    said = model.explain(asked, text)
    assert said.truncated and said.reward == pytest.approx(model.score([asked], [text]).values[0], abs=1e-5)


def test_an_interval_that_no_number_holds_is_none(model):
    model.calibration = calibration(log_temperature_low=-2000.0, log_temperature_high=3.0)
    said = model.compare(PROMPT, "four", "of")
    assert said.low is None and said.high is None and said.p_a == pytest.approx(0.731059, abs=1e-6)
