"""The seam between texts and token ids; what requests to judges add is tested in judge/test_encoding.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken

from rewardkit.chat import ChatTemplate, ControlTokenError
from rewardkit.errors import ModelError

TURNS = "{% for m in messages %}<|s|>{{ m['role'] }}\n{{ m['content'] }}<|e|>\n{% endfor %}"


@pytest.fixture(scope="module")
def chat(byte_tokenizer):
    return ChatTemplate(byte_tokenizer(TURNS + "{% if add_generation_prompt %}<|s|>assistant\n{% endif %}"), "tiny")


def test_the_pieces_stand_around_the_messages(chat):
    assert chat.pieces(["user", "assistant"]) == ["<|s|>user\n", "<|e|>\n<|s|>assistant\n", "<|e|>\n"]
    assert chat.pieces(["user"], generation_prompt=True) == ["<|s|>user\n", "<|e|>\n<|s|>assistant\n"]


@pytest.mark.parametrize(
    "template",
    [
        "no messages at all",
        TURNS + TURNS,
        "{% for m in messages|reverse %}{{ m['content'] }} {% endfor %}",
        "{{ messages[0]['content'] }}",
        "{{ raise_exception('no') }}",
        "{{ messages[9]['content']['x'] }}",
    ],
    ids=["silent", "twice", "reversed", "first only", "refuses", "fails"],
)
def test_a_template_that_does_not_show_each_message_once_has_no_pieces(byte_tokenizer, template):
    assert ChatTemplate(byte_tokenizer(template), "tiny").pieces(["user", "assistant"]) is None


def test_a_template_that_trims_messages_still_has_its_pieces(byte_tokenizer):
    trimmed = ChatTemplate(byte_tokenizer(TURNS.replace("m['content']", "m['content'] | trim")), "tiny")
    assert trimmed.pieces(["user"]) == ["<|s|>user\n", "<|e|>\n"]


def test_a_tokenizer_without_a_template_is_a_model_error(byte_tokenizer):
    with pytest.raises(ModelError, match=r"tiny: the tokenizer has no chat template(.|\n)*instruction-tuned"):
        ChatTemplate(byte_tokenizer(None), "tiny")


def test_control_text_is_control_and_plain_text_is_not(chat):
    turn_end = chat.tokenizer.eos_token_id
    assert chat.control("<|e|>") == [turn_end] and chat.control("") == []
    assert turn_end not in chat.plain("<|e|>") and len(chat.plain("<|e|>")) == 5


@given(text=st.text(max_size=30))
def test_plain_text_comes_back_as_it_was(chat, text):
    ids = chat.plain(text)
    assert chat.tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text.encode("utf-8", "replace").decode()
    assert len(ids) == len(text.encode("utf-8", "replace"))


@given(parts=st.lists(st.sampled_from(["<|e|>", "<|s|>", "<|", "e|>", "<", " "]), max_size=8))
def test_no_join_of_pieces_makes_a_control_token(chat, parts):
    text = "".join(parts)
    assert {chat.tokenizer.eos_token_id, chat.tokenizer.bos_token_id}.isdisjoint(chat.plain(text))


def test_what_only_the_tokenizer_reads_as_control_is_refused(byte_tokenizer, monkeypatch):
    chat = ChatTemplate(byte_tokenizer(), "tiny")
    chat.tokenizer.add_tokens([AddedToken("<go>", special=False, normalized=True)])
    monkeypatch.setattr(ChatTemplate, "_control_pattern", None)
    with pytest.raises(ControlTokenError):
        chat.plain("go <go>")


@pytest.mark.parametrize(("ids", "expected"), [([7], [256, 7]), ([256, 7], [256, 7]), ([256, 256, 256, 7], [256, 7])])
def test_there_is_exactly_one_bos(chat, ids, expected):
    assert chat.tokenizer.bos_token_id == 256
    assert chat.one_bos(ids) == expected


def test_a_tokenizer_without_bos_gets_none(byte_tokenizer):
    tokenizer = byte_tokenizer()
    tokenizer.bos_token = None
    assert ChatTemplate(tokenizer, "tiny").one_bos([7, 7]) == [7, 7]


def test_templates_clocks_stand_still(byte_tokenizer):
    dated = ChatTemplate(byte_tokenizer("{{ strftime_now('%Y-%m-%d') }} " + TURNS), "tiny")
    assert dated.pieces(["user"]) == ["01 Jan 2025 <|s|>user\n", "<|e|>\n"]


def test_the_hash_changes_with_what_changes_the_ids(byte_tokenizer):
    first = ChatTemplate(byte_tokenizer(), "tiny").hash
    assert ChatTemplate(byte_tokenizer(), "elsewhere").hash == first
    other_bos = byte_tokenizer()
    other_bos.bos_token = "<|e|>"
    assert len({first, ChatTemplate(byte_tokenizer(TURNS), "tiny").hash, ChatTemplate(other_bos, "tiny").hash}) == 3
