from __future__ import annotations

import pytest

from rewardkit import errors
from rewardkit.errors import DataError, JobFailed, MissingExtraError, RewardkitError, UserError

ALL = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, RewardkitError)]


def test_the_message_joins_what_is_known():
    error = DataError("no column 'x'", where="rows.jsonl:3", expected="prompt", fix="did you mean 'y'?")
    assert str(error) == "rows.jsonl:3: no column 'x'\n  expected: prompt\n  fix: did you mean 'y'?"
    assert str(DataError("no rows")) == "no rows"
    assert str(DataError("no rows", fix="add some")) == "no rows\n  fix: add some"


def test_a_missing_package_comes_with_its_pip_line():
    error = MissingExtraError("torch", "train")
    assert str(error) == (
        "the package 'torch' is needed here and is not installed\n  fix: pip install \"rewardkit[train]\""
    )


@pytest.mark.parametrize("kind", ALL)
def test_what_the_user_can_fix_ends_with_2_and_the_rest_with_1(kind):
    assert kind.exit_code == (2 if issubclass(kind, UserError) else 1)


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = [word for word in errors.__doc__.split() if word.endswith(("Error", "Failed"))]
    for kind in ALL:
        assert kind.__name__ in drawn
    assert JobFailed.__bases__ == (RewardkitError,) and issubclass(MissingExtraError, UserError)
