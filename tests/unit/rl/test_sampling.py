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
