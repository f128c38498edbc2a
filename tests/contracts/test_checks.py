"""Every registered check keeps the contract: whatever the text, a share from 0 to 1, and the same one each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.checks import CHECKS, GROUP, check_named
from rewardkit.registry import registered
from rewardkit.rubric import CheckConfig

# What those need that cannot do without.
SETTINGS = {
    "characters": {"most": 5},
    "contains": {"words": ["rain", "a clock"]},
    "lines": {"least": 2},
    "without": {"words": ["rain"]},
    "words": {"least": 1, "most": 3},
}
ALL = sorted(registered(GROUP, CHECKS))


@pytest.mark.parametrize("name", ALL)
@given(text=st.text())
def test_every_text_has_its_share(name, text):
    check = check_named(name, SETTINGS.get(name, {}))
    assert 0.0 <= check(text) <= 1.0 and check(text) == check(text)


@pytest.mark.parametrize("name", ALL)
def test_a_rubric_can_name_it(name):
    config = CheckConfig(name=name, **SETTINGS.get(name, {}))
    assert config.run()("It rained.") == check_named(name, SETTINGS.get(name, {}))("It rained.")
    with pytest.raises(ValueError, match="unexpected keyword argument 'nonsense'"):
        CheckConfig(name=name, **SETTINGS.get(name, {}), nonsense=1)
