from types import SimpleNamespace

import numpy as np
import pytest

from rewardkit.reward_model.scoring import Rewards


class KnownModel:
    """A reward model whose rewards are known: the length of a response, and nothing for "?"."""

    calibration = None
    whole_texts = SimpleNamespace(holds_control=lambda text: False)

    def __init__(self, offset=0.0, apart=(0.0,), noise=None):
        """Each member adds what sets it apart; the noise is that of all texts, if the model tells any."""
        self.offset, self.asked, self.apart, self.noise = offset, [], np.array(apart), noise

    @property
    def members(self):
        return len(self.apart)

    def score(self, prompts, responses):
        self.asked += list(zip(prompts, responses, strict=True))
        reasons = tuple("nothing is left" if text == "?" else "" for text in responses)
        values = [
            np.nan if reason else len(text) + self.offset for text, reason in zip(responses, reasons, strict=True)
        ]
        members, count = np.array(values, dtype=float)[:, None] + self.apart, len(values)
        return Rewards(members, np.zeros((count, 0)), np.zeros(count, dtype=bool), reasons, self._noise(values))

    def _noise(self, values):
        return None if self.noise is None else np.where(np.isnan(values), np.nan, self.noise)


@pytest.fixture
def known():
    return KnownModel


@pytest.fixture
def folder(known, monkeypatch):
    """A folder that holds such a model, and how often it was loaded."""
    from rewardkit.rl import asking
    from rewardkit.scorer import RewardModel

    loads = []
    monkeypatch.setattr(RewardModel, "load", lambda path: loads.append(path) or known())
    asking._loaded.cache_clear()
    yield "runs/known", loads
    asking._loaded.cache_clear()
