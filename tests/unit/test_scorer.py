from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from rewardkit.calibration.calibrators import Calibration
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
        lengths = np.array([float(len(text)) for _, text in conversations])
        reasons = tuple("nothing is left" if text == "?" else "" for _, text in conversations)
        return scoring.Rewards(lengths, np.zeros(len(lengths), dtype=bool), reasons)

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
