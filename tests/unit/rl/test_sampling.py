import pytest

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def policy(tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_model()
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def test_answers_do_not_touch_the_training(policy):
    from rewardkit.rl.sampling import Drawing, sample

    model, tokenizer = policy
    model.train()
    side = tokenizer.padding_side
    torch.manual_seed(3)
    untouched = torch.rand(1)
    torch.manual_seed(3)
    prompts = ["A poem.", [{"role": "user", "content": "A much longer prompt about rain."}], "A poem."]
    first = sample(model, tokenizer, prompts, Drawing(max_new_tokens=6, batch=2, seed=1))
    assert torch.rand(1) == untouched and model.training and tokenizer.padding_side == side
    assert len(first) == 3 and first == sample(model, tokenizer, prompts, Drawing(max_new_tokens=6, batch=2, seed=1))
    assert first != sample(model, tokenizer, prompts, Drawing(max_new_tokens=6, batch=2, seed=2))


def test_what_the_model_itself_wishes_is_not_followed(policy):
    from rewardkit.rl.sampling import Drawing, sample

    model, tokenizer = policy
    drawing = Drawing(max_new_tokens=12, seed=1)
    plain = sample(model, tokenizer, ["A poem."] * 4, drawing)
    before = model.generation_config
    model.generation_config = type(before)(**before.to_diff_dict() | {"do_sample": True, "top_k": 1, "typical_p": 0.1})
    try:
        assert sample(model, tokenizer, ["A poem."] * 4, drawing) == plain
        asked = Drawing(max_new_tokens=12, seed=1, options={"top_k": 1})
        assert sample(model, tokenizer, ["A poem."] * 4, asked) != plain
    finally:
        model.generation_config = before


def test_answers_are_drawn_as_in_the_training():
    from types import SimpleNamespace

    from rewardkit.rl.sampling import LONGEST, Drawing

    assert Drawing.as_trained(SimpleNamespace()) == Drawing(LONGEST)
    args = SimpleNamespace(
        max_completion_length=20, temperature=0.7, top_p=0.9, top_k=0, min_p=None, repetition_penalty=1.1,
        generation_kwargs={"temperature": 0.6, "typical_p": 0.9}, chat_template_kwargs={"enable_thinking": False},
    )  # fmt: skip
    drawn = Drawing.as_trained(args, max_new_tokens=None, temperature=None, batch=3, seed=4)
    assert (drawn.max_new_tokens, drawn.temperature, drawn.batch, drawn.seed) == (20, 0.6, 3, 4)
    assert drawn.options == {"top_p": 0.9, "top_k": 0, "repetition_penalty": 1.1, "typical_p": 0.9}
    assert drawn.template == {"enable_thinking": False}
    assert Drawing.as_trained(args, temperature=1.5).temperature == 1.5


def test_texts_begin_as_the_tokenizer_begins_them_and_messages_as_the_template_does(policy):
    from tokenizers.processors import TemplateProcessing

    from rewardkit.rl.sampling import Drawing, _ids

    _, tokenizer = policy
    before = tokenizer.backend_tokenizer.post_processor
    bos = (tokenizer.bos_token, tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{bos[0]} $A", special_tokens=[bos])
    try:
        text = _ids(tokenizer, "A poem.", Drawing(6))
        assert text == tokenizer("A poem.").input_ids and text[0] == bos[1]
        said = [{"role": "user", "content": "A poem."}]
        shown = tokenizer.apply_chat_template(said, tokenize=True, add_generation_prompt=True, return_dict=False)
        assert _ids(tokenizer, said, Drawing(6)) == list(shown)
    finally:
        tokenizer.backend_tokenizer.post_processor = before
