"""The contracts of verl, OpenRLHF and NeMo-RL, each called as its source calls.

None of the three is installed here. Their calls were read in
verl: verl/experimental/reward_loop/reward_manager/naive.py and batch.py, verl/utils/import_utils.py;
OpenRLHF: openrlhf/utils/agent.py, openrlhf/trainer/ppo_utils/samples_generator.py;
NeMo-RL: nemo_rl/experience/rollouts.py, nemo_rl/environments/utils.py and interfaces.py.
"""

import asyncio
import importlib
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from rewardkit.chat import ChatTemplate
from rewardkit.errors import ConfigError, DataError
from rewardkit.reward_model.whole_texts import WholeTexts
from rewardkit.rl.nemo_rewards import RewardEnvironment
from rewardkit.rl.openrlhf_rewards import openrlhf_reward
from rewardkit.rl.shaping import Shaping


def ended(coroutine):
    """Run a coroutine to its end, in a thread: tests of the browser leave a loop behind in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


torch = pytest.importorskip("torch")
ASKED = [{"role": "user", "content": "A poem."}]


def verl_function(name, **reward_kwargs):
    """Import by `pkg://`, and bind the config's reward_kwargs, as verl does."""
    module = importlib.import_module("pkg://rewardkit.rl.verl_rewards".removeprefix("pkg://"))
    return partial(getattr(module, name), **reward_kwargs)


def verl_naive(compute_score, answer, extra_info):
    """Ask about one answer in an executor, and read the reply as `run_single` does."""

    async def run():
        loop = asyncio.get_running_loop()
        extra_info.update(num_turns=None, rollout_reward_scores={})
        keywords = {"data_source": "poems", "solution_str": answer, "ground_truth": "", "extra_info": extra_info}
        return await loop.run_in_executor(None, lambda: compute_score(**keywords))

    result = ended(run())
    return result["score"] if isinstance(result, dict) else result


def test_verl_one_by_one(folder):
    path, loads = folder
    compute = verl_function("compute_score", model=path, unreadable=-5.0)
    assert verl_naive(compute, "abc", {"prompt": np.array(ASKED, dtype=object)}) == 3.0
    assert verl_naive(compute, "?", {"prompt": "A poem."}) == -5.0
    assert len(loads) == 1


def test_verl_in_batches(folder):
    compute = verl_function("compute_scores", model=folder[0], unreadable=-5.0)
    found = compute(
        data_sources=np.array(["poems"] * 2),
        solution_strs=["abc", "?"],
        ground_truths=["", ""],
        extra_infos=np.array([{"prompt": ASKED, "index": 1}, {"prompt": ASKED, "index": 2}], dtype=object),
        reward_router_address="…",
        reward_model_tokenizer=None,
    )
    assert found == [{"score": 3.0, "readable": 1.0}, {"score": -5.0, "readable": 0.0}]


def test_verl_needs_the_prompt_in_the_data_and_a_reward_for_the_unreadable(folder):
    with pytest.raises(DataError, match="extra_info holds index") as told:
        verl_naive(verl_function("compute_score", model=folder[0], unreadable=-5.0), "abc", {"index": 3})
    assert "copy the prompt there" in told.value.fix
    with pytest.raises(TypeError, match="unreadable"):
        verl_naive(verl_function("compute_score", model=folder[0]), "abc", {"prompt": ASKED})


def openrlhf_function(tmp_path, text):
    """Import a file and take its `reward_func`, as the executor does."""
    file = tmp_path / "my_reward.py"
    file.write_text(text)
    spec = importlib.util.spec_from_file_location("reward_func", str(file))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.reward_func


def openrlhf_ask(reward_func, query, prompt, label):
    """Ask about one answer in a thread, and make tensors of the reply as the generator of samples does."""
    info = ended(asyncio.to_thread(reward_func, [query], [prompt], [label]))
    told = {"reward": torch.tensor([info["rewards"]]), "score": torch.tensor([info["scores"]])}
    for key, value in info["extra_logs"].items():
        told[key] = torch.tensor([value.flatten()[0].item() if isinstance(value, torch.Tensor) else value])
    return {key: float(value) for key, value in told.items()}


@pytest.fixture
def reward_func(folder, tmp_path):
    lines = (
        "from rewardkit.rl.openrlhf_rewards import openrlhf_reward\n"
        f'reward_func = openrlhf_reward("{folder[0]}", unreadable=-5.0, ends=("<|im_end|>",))\n'
    )
    return openrlhf_function(tmp_path, lines)


def test_openrlhf(reward_func):
    rendered = "<|im_start|>user\nA poem.<|im_end|>\n<|im_start|>assistant\n"
    told = openrlhf_ask(reward_func, rendered + "abc<|im_end|>", rendered, ASKED)
    # sigmoid(3) = 1 / (1 + e⁻³)
    assert told == pytest.approx({"reward": 3.0, "score": 0.952574, "readable": 1.0}, abs=1e-6)
    cut = openrlhf_ask(reward_func, rendered[5:] + "abc", rendered, "A poem.")
    assert (cut["reward"], cut["readable"]) == (-5.0, 0.0)


def test_openrlhf_needs_the_prompt_as_the_label(reward_func):
    with pytest.raises(DataError, match="a label is empty") as told:
        reward_func(["pabc"], ["p"], [""])
    assert "--data.label_key" in told.value.fix


def test_libraries_that_ask_one_by_one_refuse_groups(folder):
    shaping = Shaping(per_group=True)
    with pytest.raises(ConfigError, match="OpenRLHF may ask about one response at a time"):
        openrlhf_reward(folder[0], shaping, unreadable=-5.0)
    with pytest.raises(ConfigError, match="NeMo-RL may ask about one response at a time"):
        RewardEnvironment({"model": folder[0], "unreadable": -5.0, "shaping": {"per_group": True}})


def test_nemo_rl(folder):
    environment = RewardEnvironment({"model": folder[0], "unreadable": -5.0, "enabled": True})
    logs = [[*ASKED, {"role": "assistant", "content": text}] for text in ("abc", "?")]
    observations, metadata, stops, rewards, terminateds, answers = environment.step(logs, [{"row": 1}, None])
    assert torch.stack([rewards[i] for i in (1, 0)]).tolist() == [-5.0, 3.0]
    assert torch.tensor([terminateds[i] for i in range(2)]).all() and answers == ["abc", None]
    assert metadata == stops == [None, None]
    assert [each["role"] for each in observations] == ["environment"] * 2 and observations[0]["content"]
    batch = {"rewards": rewards, "message_log": logs}
    assert environment.global_post_process_and_metrics(batch) == (
        batch,
        {"rewardkit/mean": -1.0, "rewardkit/share_unreadable": 0.5},
    )
    assert environment.global_post_process_and_metrics({}) == ({}, {})


def test_nemo_rl_s_rendered_prompts_are_read_as_their_messages(folder, known, byte_tokenizer, monkeypatch):
    template = (
        "{% for m in messages %}<|s|>{{ m['role'] }}\n{{ m['content'] }}<|e|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|s|>assistant\n{% endif %}"
    )
    tokenizer = byte_tokenizer(template)
    monkeypatch.setattr(known, "whole_texts", WholeTexts(ChatTemplate(tokenizer, "test")))
    environment = RewardEnvironment({"model": folder[0], "unreadable": -5.0})
    asked = [{"role": "system", "content": "Be kind."}, *ASKED]
    # As nemo_rl/data/processors.py does: what the template makes of the prompt is the content of its messages.
    system = tokenizer.apply_chat_template(asked[:1], tokenize=False)
    user = tokenizer.apply_chat_template(asked[1:], tokenize=False, add_generation_prompt=True)
    log = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    answered = [[*log, {"role": "assistant", "content": text}] for text in ("abc", "abcd<|e|>")]
    other = [{"role": "user", "content": f"[INST]<|s|>{user}"}, {"role": "assistant", "content": "abc"}]
    told = environment.step([*answered, other], [None] * 3)
    assert told.rewards.tolist() == [3.0, 4.0, -5.0] and told.answers[2] is None
    assert [(tuple((m.role, m.content) for m in prompt), text) for prompt, text in environment.model.asked] == [
        ((("system", "Be kind."), ("user", "A poem.")), "abc"),
        ((("system", "Be kind."), ("user", "A poem.")), "abcd"),
    ]


def test_nemo_rl_is_told_what_its_config_lacks(folder):
    with pytest.raises(ConfigError, match="Field required") as told:
        RewardEnvironment({"model": folder[0]})
    assert told.value.where == "env.rewardkit.unreadable"


def test_nemo_rl_finds_an_actor_by_its_place():
    pytest.importorskip("ray", reason='needs the extra ray: pip install "rewardkit[ray]"')
    module = importlib.import_module("rewardkit.rl.nemo_rewards")
    # What `create_env` calls: options(…).remote(config).
    assert callable(module.RewardActor.options(runtime_env={}).remote)
    with pytest.raises(AttributeError, match="Nothing"):
        _ = module.Nothing
