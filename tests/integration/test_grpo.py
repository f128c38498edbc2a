"""TRL's own GRPOTrainer with a reward model of rewardkit's and the monitor, on a tiny random policy."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

pytest.importorskip("trl", reason='needs the extra rl: pip install "rewardkit[rl]"')

# TRL and transformers warn of what they will rename; that is not under test here.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
PROMPTS = [
    [{"role": "user", "content": f"A poem about {thing}."}] for thing in ("rain", "salt", "tea", "dust", "goats")
]


@pytest.fixture
def model(tiny_model):
    from pathlib import Path

    from rewardkit.config import TrainConfig
    from rewardkit.reward_model import folder
    from rewardkit.scorer import RewardModel

    config = TrainConfig(model=str(tiny_model()), max_length=64)
    return RewardModel(folder.create(config, seed=3), None, Path("model"))


def trained(tiny_model, tmp_path, reward, **more):
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    folder = tiny_model()
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        processing_class=AutoTokenizer.from_pretrained(folder),
        reward_funcs=reward,
        train_dataset=Dataset.from_list([{"prompt": prompt, "task": "poem"} for prompt in PROMPTS]),
        args=GRPOConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            num_generations=2,
            max_completion_length=8,
            max_steps=2,
            logging_steps=1,
            bf16=False,
            use_cpu=True,
            beta=0.1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            log_completions=True,
        ),
        **more,
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize("kind", ["trl_reward", "trl_reward_async"])
def test_a_reward_model_trains_a_policy(model, tiny_model, tmp_path, kind):
    from rewardkit.rl import trl_rewards

    trainer = trained(tiny_model, tmp_path, getattr(trl_rewards, kind)(model, name="taste"))
    logged = [entry for entry in trainer.state.log_history if "rewards/taste/mean" in entry]
    assert len(logged) == 2
    assert all(entry["taste/missing"] == 0 and entry["taste/std_within_prompt"] > 0 for entry in logged)
    table = pq.read_table(tmp_path / "completions" / "completions_00002.parquet")
    assert {"taste", "taste/why_none"} <= set(table.column_names)


def test_the_monitor_looks_and_changes_nothing(model, tiny_model, tmp_path):
    from rewardkit.rl.monitor import OverOptimisationMonitor, Watching
    from rewardkit.rl.trl_rewards import trl_reward

    def held_out(prompts, completions):
        return [float(len(completion[-1]["content"])) for completion in completions]

    monitor = OverOptimisationMonitor(model, held_out, PROMPTS, Watching(every=1, samples=2))
    watched = trained(tiny_model, tmp_path / "watched", trl_reward(model), callbacks=[monitor])
    alone = trained(tiny_model, tmp_path / "alone", trl_reward(model))
    assert [look.step for look in monitor.history.looks] == [0, 1, 2]
    assert [look.kl is None for look in monitor.history.looks] == [True, True, False]
    told = json.loads((tmp_path / "watched" / "monitor.json").read_text())
    assert told["looks"][0]["proxy"]["n"] == 10 and (tmp_path / "watched" / "monitor.svg").exists()

    def losses(trainer):
        return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    assert losses(watched) == losses(alone)
