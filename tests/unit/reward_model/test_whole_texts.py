from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.chat import ChatTemplate
from rewardkit.reward_model.rendering import Renderer, Unrendered
from rewardkit.reward_model.whole_texts import MOST_MESSAGES, Whole, WholeTexts
from rewardkit.types import Message

OPENED = "<|s|>"
WITH_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|s|>system\nBe kind.<|e|>\n{% endif %}"
    "{% for m in messages %}<|s|>{{ m['role'] }}\n{{ m['content'] }}<|e|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|s|>assistant\n{% endif %}"
)
# The last turn thinks, those before do not; the day is told; roles alternate; BOS comes first.
DIFFICULT = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<|b|>Today is {{ strftime_now('%d %B %Y') }}.<|e|>"
    "{% for m in messages %}[{{ m['role'] }}]"
    "{% if m['role'] == 'assistant' and loop.last %}(hm){% endif %}{{ m['content'] }}<|e|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
BARE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"


def told(*contents, first="user"):
    roles = ("user", "assistant") if first == "user" else ("system", "user", "assistant")
    shown = [roles[place % len(roles)] for place in range(len(contents))]
    return tuple(Message(role=role, content=content) for role, content in zip(shown, contents, strict=True))


def rendered(tokenizer, messages, **how):
    plain = [message.model_dump() for message in messages]
    return tokenizer.apply_chat_template(plain, tokenize=False, **how)


@pytest.fixture
def reader(byte_tokenizer):
    """A reader of a template's texts, with its tokenizer: `reader(template)`."""

    def build(*template, **tokens):
        tokenizer = byte_tokenizer(*template, **tokens)
        return WholeTexts(ChatTemplate(tokenizer, "test")), tokenizer

    return build


@pytest.mark.parametrize(
    "messages",
    [
        told("Tell me.", "A joke."),
        told("Be brief.", "Tell me.", "A joke.", first="system"),
        told("One.", "Two.", "Three.", "Four."),
        told("\n two lines\n", "", "", " user\n"),
        (*told("A", "B", "C"), Message(role="tool", content="7"), Message(role="assistant", content="seven")),
    ],
    ids=["short", "system", "turns", "spaces", "tool"],
)
@pytest.mark.parametrize("template", [(), (WITH_SYSTEM,)], ids=["plain", "own-system"])
def test_a_rendered_conversation_is_read_back(reader, template, messages):
    texts, tokenizer = reader(*template)
    assert texts.read(Whole(rendered(tokenizer, messages))) == (messages[:-1], messages[-1].content)


def test_what_a_trainer_sends_is_prompt_and_reply(reader):
    texts, tokenizer = reader()
    prompt = rendered(tokenizer, told("Tell me."), add_generation_prompt=True)
    expected = told("Tell me."), "A joke."
    for tail in ("", "<|e|>", "<|e|>\n", "<|e|><|e|><|e|>", "<|e|>\n<|p|><|p|>"):
        assert texts.read(Whole(f"{prompt}A joke.{tail}", prompt)) == expected


def test_a_template_that_opens_turns_in_many_ways(reader):
    texts, tokenizer = reader(DIFFICULT, bos_token="<|b|>", eos_token="<|e|>")
    messages = told("One.", "Two.", "Three.", "Four.")
    whole = rendered(tokenizer, messages)
    assert "01 Jan 2025" not in whole and "(hm)Four" in whole and "(hm)Two" not in whole
    # BOS may have been left out, or doubled by whoever tokenised it; a reply may follow the prompt without the thought.
    prompt = rendered(tokenizer, messages[:-1], add_generation_prompt=True)
    for text in (whole, whole.removeprefix("<|b|>"), f"<|b|>{whole}", f"{prompt}Four.<|e|>"):
        assert texts.read(Whole(text)) == (messages[:-1], "Four.")


def test_plain_text_is_a_response(reader):
    texts, _ = reader(pad_token="<|p|>")
    assert texts.read(Whole("Just words.")) == ((), "Just words.")
    assert texts.read(Whole("<|s|>Just words.<|e|><|p|><|p|>")) == ((), "Just words.")
    assert texts.read(Whole("<|s|>Q: why? A: so.<|e|>", "<|s|>Q: why? ")) == (told("Q: why? "), "A: so.")
    assert texts.read(Whole("Q: why? A: so.", "Q: why? ")) == (told("Q: why? "), "A: so.")
    # What does not begin with its prompt was not made of it.
    assert texts.read(Whole("A: so.", "Q: why? ")) == ((), "A: so.")


def test_what_the_template_says_of_itself_may_be_left_out(reader):
    texts, _ = reader(WITH_SYSTEM)
    expected = told("Tell me."), "A joke."
    assert texts.read(Whole("<|s|>user\nTell me.<|e|>\n<|s|>assistant\nA joke.<|e|>\n")) == expected


@pytest.mark.parametrize(
    "text",
    ["user\nHi<|e|>\n<|s|>assistant\nHo", "<|s|>Hi<|e|>Ho<|e|>", "[INST] Hi <|s|> Ho", " <|s|>user\nHi<|e|>"],
)
def test_what_another_template_made_is_not_guessed_at(reader, text):
    texts, _ = reader()
    reason = "it holds control tokens, and is not rendered with the model's own chat template"
    assert texts.read(Whole(text)) == texts.read(Whole(text, text[:9])) == Unrendered(reason)


def test_a_template_without_control_tokens(reader):
    texts, tokenizer = reader(BARE)
    messages = told("One.", "Two.")
    assert texts.read(Whole(rendered(tokenizer, messages).rstrip())) == (messages[:-1], "Two.")


def test_what_is_no_reply_has_a_reason(reader):
    texts, tokenizer = reader()
    found = texts.read(Whole(rendered(tokenizer, told("One.", "Two.", "Three."))))
    assert found == Unrendered("the conversation ends with the turn of the user, not of the assistant")
    many = rendered(tokenizer, told(*"ab" * (MOST_MESSAGES // 2 + 1)))
    assert texts.read(Whole(many)) == Unrendered(f"the conversation has more than {MOST_MESSAGES} messages")


@given(data=st.data())
def test_ids_are_those_of_the_messages(byte_tokenizer, data):
    """Whatever people write, as long as it does not spell the template's own pieces."""
    tokenizer = byte_tokenizer(WITH_SYSTEM)
    texts, renderer = WholeTexts(ChatTemplate(tokenizer, "test")), Renderer(tokenizer, 60, "truncate_prompt")
    content = st.text(st.characters(codec="utf-8"), max_size=12).filter(lambda text: "<|" not in text)
    messages = told(*data.draw(st.lists(content, min_size=2, max_size=4).filter(lambda each: len(each) % 2 == 0)))
    found = texts.read(Whole(rendered(tokenizer, messages)))
    assert renderer.render(*found) == renderer.render(messages[:-1], messages[-1].content)
