"""Failures are counted by reason, and stop a job in which they are too many."""

from __future__ import annotations

import pytest

from rewardkit.errors import JobFailed
from rewardkit.judge.failures import FailureGuard
from rewardkit.types import Label


def guard_of(*reasons):
    guard = FailureGuard(0.2)
    for number, reason in enumerate(reasons):
        guard.count(Label.of(str(number), "who", status="failed", reason=reason))
    return guard


@pytest.mark.parametrize(
    ("reason", "counted"),
    [
        (
            "HTTP 500: an error (request ID req_0000{:02x}) (8 attempts)",
            "HTTP 500: an error (request ID …)",
        ),
        ("HTTP 529: Overloaded: 6f1d2b3c-aaaa-4b4b-8c8c-0123456789{:02x}", "HTTP 529: Overloaded: …"),
        ("the request is longer than max_tokens ({})", "the request is longer than max_tokens (…)"),
        ("the labels hold less than 0.{} of the probability", "the labels hold less than … of the probability"),
        ("trace deadbeefcafe{:02x} of chatcmpl-AbCdEf{}gh", "trace … of …"),
    ],
)
def test_reasons_that_differ_in_numbers_and_ids_are_one_reason(reason, counted):
    guard = guard_of(*(reason.format(number, number) for number in range(40, 80)))
    assert guard.reasons == {counted: 40} and guard.failed == 40
    with pytest.raises(JobFailed, match="40 of 40 judgements failed") as raised:
        guard.check()
    assert f": 40 x {counted}" in raised.value.what


def test_reasons_that_differ_in_words_or_in_the_number_of_http_are_several():
    words = (
        "HTTP 429: slow down",
        "HTTP 500: slow down",
        "the judge refuses: defaced",
        "the judge refuses: unprincipled",
    )
    assert guard_of(*words).reasons == dict.fromkeys(words, 1)
