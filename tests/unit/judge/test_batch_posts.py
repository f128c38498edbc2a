"""Files of results: whatever stands in them, each row is a result or none, and none is an error of the job's."""

from __future__ import annotations

import json

import anthropic
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.judge.anthropic_api import AnthropicDialect
from rewardkit.judge.attempts import Terms, Wrong
from rewardkit.judge.batch_posts import AnthropicPost, OpenAIPost, Result, results_of
from rewardkit.judge.contract import Completion, Request
from rewardkit.judge.openai_api import OpenAIDialect
from rewardkit.judge_config import ServerConfig

POSTS = {"openai": OpenAIPost(openai), "anthropic": AnthropicPost(anthropic)}
DIALECTS = {"openai": OpenAIDialect, "anthropic": AnthropicDialect}
KEYS = ("custom_id", "response", "status_code", "body", "error", "message", "result", "type", "choices", "content", "x")
WORDS = (200, 400, 0, -1, "succeeded", "errored", "k", None, "text", "stop", [], {})
SHAPES = st.recursive(
    st.none() | st.sampled_from(WORDS) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("provider", sorted(POSTS))
@given(rows=st.lists(SHAPES | st.dictionaries(st.sampled_from(KEYS), SHAPES, max_size=4), max_size=4))
def test_any_row_is_a_result_or_none_and_any_answer_is_read_or_named(provider, rows):
    text = "\n".join([*map(json.dumps, rows), '{"custom_id": "half'])
    found = list(results_of(text, POSTS[provider].result))
    assert len(found) <= len(rows) and all(isinstance(each, Result) for each in found)
    server = ServerConfig(key_variable=None)
    terms = Terms(DIALECTS[provider]("m", server), "m", server, 100, "key", lambda _: True)
    for each in found:
        if each.answer is None:
            continue
        try:
            assert isinstance(terms.read(Request("", "Which?", "", (), reply_tokens=9), each.answer), Completion)
        except Wrong as wrong:
            assert wrong.what


def test_what_a_reply_takes_for_the_end_of_a_line_ends_none():
    body = {"choices": [], "model": "m\u2028n\x85o"}
    row = {"custom_id": "k", "response": {"status_code": 200, "body": body}}
    (found,) = results_of(json.dumps(row, ensure_ascii=False), POSTS["openai"].result)
    assert found.key == "k" and found.answer.model == "m\u2028n\x85o"


def test_errors_have_the_numbers_that_they_have_elsewhere():
    def row(kind):
        return json.dumps({"custom_id": "k", "result": {"type": "errored", "error": {"error": {"type": kind}}}})

    (busy,), (odd,) = (results_of(row(kind), POSTS["anthropic"].result) for kind in ("overloaded_error", "new_error"))
    assert (busy.status, odd.status, busy.said) == (529, 500, "it does not say why")
