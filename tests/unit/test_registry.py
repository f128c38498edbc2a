from __future__ import annotations

from pathlib import Path

import pytest

from rewardkit.errors import ConfigError
from rewardkit.judge.backends import BACKENDS, GROUP, open_backend
from rewardkit.judge_config import JudgeConfig
from rewardkit.registry import lookup, registered, suggestion

THIRD_PARTY = Path(__file__).parents[1] / "thirdparty"
BUILTIN = {"plain": 1, "plainer": 2}


@pytest.fixture
def third_party(monkeypatch):
    monkeypatch.syspath_prepend(THIRD_PARTY)


def test_a_name_gives_what_is_registered_under_it():
    assert lookup("nothing", BUILTIN, "plain") == 1 and registered("nothing", BUILTIN) == BUILTIN


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(ConfigError) as caught:
        lookup("things", BUILTIN, "plian")
    assert str(caught.value) == (
        "unknown name 'plian' among things\n  expected: plain, plainer\n  fix: did you mean 'plain'?"
    )
    with pytest.raises(ConfigError, match=r"^judge\.thing: unknown name"):
        lookup("things", BUILTIN, "zebra", where="judge.thing")
    assert suggestion("zebra", BUILTIN) == ""


def test_third_parties_add_names_by_entry_points(third_party):
    assert "slow" in registered(GROUP, BACKENDS)
    assert open_backend(JudgeConfig(backend="slow")).name == "slow"


def test_third_parties_cannot_take_rewardkits_own_names(third_party):
    assert registered(GROUP, BACKENDS)["fake"] is BACKENDS["fake"]


def test_without_the_third_party_its_name_is_unknown():
    with pytest.raises(ConfigError, match="unknown name 'slow'"):
        open_backend(JudgeConfig(backend="slow"))
