from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from rewardkit.chat import ControlTokenError
from rewardkit.errors import ModelError
from rewardkit.judge.contract import Request
from rewardkit.judge.encoding import RequestEncoder

CHATML = (
    "{% for m in messages %}<|s|>{{ m['role'] }}\n{{ m['content'] }}<|e|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|s|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
    + CHATML.partition("%}")[2]
)
DATED = "Today is {{ strftime_now('%d %b %Y') }}.\n" + CHATML
SPECIAL = ("<|s|>", "<|e|>")


def tokenizer(template=CHATML, merges=(("Ġ", "A"), ("Ġ", "B")), normalizer=None):
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*alphabet, *("".join(pair) for pair in merges)])}
    core = Tokenizer(models.BPE(vocab=vocab, merges=list(merges)))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    if normalizer is not None:
        core.normalizer = normalizer
    fast = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|e|>", chat_template=template)
    fast.add_special_tokens({"additional_special_tokens": ["<|s|>"]})
    fast.add_tokens([AddedToken("<think>", special=False, normalized=False), "word"])
    return fast


def request(user="Which?", **fields):
    return Request(**{"system": "Judge.", "user": user, "prefill": "Answer:", "labels": ("A", "B"), **fields})


def test_the_template_stands_around_the_texts():
    fast = tokenizer()
    ids = RequestEncoder(fast, "tiny").encode(request())
    text = "<|s|>system\nJudge.<|e|>\n<|s|>user\nWhich?<|e|>\n<|s|>assistant\nAnswer:"
    assert fast.decode(ids, clean_up_tokenization_spaces=False) == text
    assert ids == fast(text, add_special_tokens=False).input_ids


def test_without_a_system_message_none_is_shown_and_a_templates_own_words_stand():
    own = "{% if messages[0]['role'] != 'system' %}Be kind.\n{% endif %}" + CHATML
    for template, before in ((CHATML, ""), (own, "Be kind.\n")):
        fast = tokenizer(template)
        ids = RequestEncoder(fast, "tiny").encode(request(system=""))
        text = before + "<|s|>user\nWhich?<|e|>\n<|s|>assistant\nAnswer:"
        assert fast.decode(ids, clean_up_tokenization_spaces=False) == text


@given(st.lists(st.sampled_from(["<|e|>", "<|s|>", "<think>", "assistant\n", "A", "<", "|s|>", " é"]), max_size=8))
def test_no_text_makes_a_control_token(parts):
    fast = HOSTILE
    text = "".join(parts)
    ids = RequestEncoder(fast, "tiny").encode(request(text))
    controls = [fast.convert_tokens_to_ids(token) for token in (*SPECIAL, "<think>")]
    assert [sum(i == control for i in ids) for control in controls] == [3, 2, 0]
    assert text in fast.decode(ids, clean_up_tokenization_spaces=False)


HOSTILE = tokenizer()


def test_added_words_that_control_nothing_are_left_whole():
    fast = tokenizer()
    assert fast.convert_tokens_to_ids("word") in RequestEncoder(fast, "tiny").encode(request("a word here"))


def test_a_text_that_only_normalising_turns_into_a_control_token_is_refused():
    fast = tokenizer(normalizer=normalizers.NFKC())
    fast.add_tokens([AddedToken("<go>", special=False, normalized=True)])
    with pytest.raises(ControlTokenError):
        RequestEncoder(fast, "tiny").encode(request("\uff1cgo\uff1e"))


def test_a_template_without_a_system_role_gets_both_in_the_users_message():
    fast = tokenizer(NO_SYSTEM)
    ids = RequestEncoder(fast, "tiny").encode(request())
    assert fast.decode(ids) == "<|s|>user\nJudge.\n\nWhich?<|e|>\n<|s|>assistant\nAnswer:"


def test_no_date_of_today_comes_in():
    fast = tokenizer(DATED)
    assert fast.decode(RequestEncoder(fast, "tiny").encode(request())).startswith("Today is 01 Jan 2025.\n")


@pytest.mark.parametrize(("template", "what"), [(None, "no chat template"), ("nothing", "does not show")])
def test_a_tokenizer_that_cannot_chat_is_a_model_error(template, what):
    with pytest.raises(ModelError, match=what):
        RequestEncoder(tokenizer(template), "tiny")


def test_labels_are_single_tokens_in_their_place():
    fast = tokenizer()
    ids = RequestEncoder(fast, "tiny").label_ids(request())
    assert fast.convert_ids_to_tokens(ids) == ["ĠA", "ĠB"]
    bare = RequestEncoder(fast, "tiny").label_ids(request(prefill=""))
    assert fast.convert_ids_to_tokens(bare) == ["A", "B"]


def test_a_label_whose_space_is_a_token_of_its_own_comes_after_the_space():
    fast = tokenizer()
    encoder, asked = RequestEncoder(fast, "tiny"), request(labels=("1", "2"))
    assert fast.convert_ids_to_tokens(encoder.label_ids(asked)) == ["1", "2"]
    assert fast.decode(encoder.encode(asked), clean_up_tokenization_spaces=False).endswith("Answer: ")


def test_labels_that_share_their_first_token_are_refused():
    with pytest.raises(ModelError, match="'CA' is not one token"):
        RequestEncoder(tokenizer(), "tiny").label_ids(request(labels=("CA", "CB")))


def test_a_label_of_several_tokens_is_named():
    with pytest.raises(ModelError, match="'Best' is not one token after 'Answer:'"):
        RequestEncoder(tokenizer(), "tiny").label_ids(request(labels=("A", "Best")))


def test_two_labels_that_are_one_token_are_refused():
    with pytest.raises(ModelError, match="not distinct"):
        RequestEncoder(tokenizer(), "tiny").label_ids(request(labels=("A", "A")))
