"""The callback on its own: a sampler that answers from a list, and rewards that are known."""

import json
from types import SimpleNamespace

import pytest

from rewardkit.errors import ConfigError, DataError

pytest.importorskip("transformers")
from rewardkit.rl.history import Levels  # noqa: E402
from rewardkit.rl.monitor import OverOptimisationMonitor, Watching  # noqa: E402

PROMPTS = [f"prompt {place}" for place in range(8)]
MESSAGES = [[{"role": "user", "content": text}] for text in PROMPTS]


def longer_each_step(policy, tokenizer, prompts, drawing):
    """Answer with as many words as the policy has learnt to write, and one more for every second answer."""
    return ["word " * (policy.step + 2 + place % 2 + hash_of(prompt)) for place, prompt in enumerate(prompts)]


def hash_of(prompt):
    return len(str(prompt)) % 3


def length(prompts, completions):
    return [float(len(text_of(completion))) for completion in completions]


def brevity(prompts, completions):
    return [-value for value in length(prompts, completions)]


async def later(prompts, completions):
    return brevity(prompts, completions)


def text_of(completion):
    return completion if isinstance(completion, str) else completion[-1]["content"]


def train(monitor, tmp_path, steps=4, world_size=1, begin=0):
    """Call as transformers' CallbackHandler does; return the control and the state."""
    args = SimpleNamespace(output_dir=str(tmp_path), max_completion_length=24, temperature=0.7, world_size=world_size)
    state = SimpleNamespace(global_step=begin, max_steps=steps, log_history=[], is_world_process_zero=True)
    control = SimpleNamespace(should_training_stop=False)
    policy = SimpleNamespace(step=0)
    kwargs = {"model": policy, "processing_class": None, "optimizer": None}
    monitor.on_train_begin(args, state, control, **kwargs)
    while state.global_step < steps and not control.should_training_stop:
        state.global_step = policy.step = state.global_step + 1
        control = monitor.on_step_end(args, state, control, **kwargs)
        monitor.on_log(args, state, control, logs={"kl": state.global_step / 10}, **kwargs)
    return control, state


def test_a_cheated_reward_stops_the_training(tmp_path, capsys):
    monitor = OverOptimisationMonitor(length, brevity, MESSAGES, Watching(every=1, stop=True), sampler=longer_each_step)
    control, state = train(monitor, tmp_path)
    assert control.should_training_stop and state.global_step == monitor.history.alarm.step == 1
    said = capsys.readouterr().err
    assert "ALARM at step 1" in said and "correlates with length by 1.00" in said
    assert said.count("ALARM") == 1
    assert json.loads((tmp_path / "monitor.json").read_text())["alarm"]["since"] == 0


def test_a_sound_reward_is_left_alone(tmp_path, capsys):
    monitor = OverOptimisationMonitor(length, length, PROMPTS, Watching(every=2), sampler=longer_each_step)
    control, state = train(monitor, tmp_path, steps=5)
    assert not control.should_training_stop and monitor.history.alarm is None
    # The start, every second step, and the end.
    assert [look.step for look in monitor.history.looks] == [0, 2, 4, 5]
    assert [look.kl for look in monitor.history.looks] == [None, 0.1, 0.3, 0.4]
    assert "monitor/held_out" in state.log_history[0] and "ALARM" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("begin", "end", "every", "looks"), [(0, 5, 2, 3), (15, 31, 10, 3), (0, 20, 10, 2), (8, 8, 4, 1)]
)
def test_false_alarms_are_divided_among_the_looks_to_come(tmp_path, begin, end, every, looks):
    monitor = OverOptimisationMonitor(length, length, PROMPTS, Watching(every=every), sampler=longer_each_step)
    train(monitor, tmp_path, steps=end, begin=begin)
    assert monitor.history.levels == Levels.of(monitor.watching.rule, looks)
    assert len(monitor.history.looks) == 1 + (looks if end > begin else 0)


def test_an_alarm_is_told_once_and_a_training_goes_on_by_default(tmp_path, capsys):
    monitor = OverOptimisationMonitor(length, later, PROMPTS, Watching(every=1), sampler=longer_each_step)
    control, _ = train(monitor, tmp_path, steps=3)
    assert not control.should_training_stop and capsys.readouterr().err.count("ALARM") == 1


def test_answers_are_drawn_as_in_the_training(tmp_path):
    drawn = []

    def sampler(policy, tokenizer, prompts, drawing):
        drawn.append(drawing)
        return longer_each_step(policy, tokenizer, prompts, drawing)

    train(OverOptimisationMonitor(length, length, PROMPTS, Watching(every=1), sampler=sampler), tmp_path, steps=1)
    assert [(each.max_new_tokens, each.temperature, each.seed) for each in drawn] == [(24, 0.7, 0)] * 2


def test_what_has_no_reward_is_missing_and_never_zero(tmp_path):
    def some(prompts, completions):
        return [None if place == 3 else 1.0 + place for place, _ in enumerate(completions)]

    monitor = OverOptimisationMonitor(length, some, PROMPTS, Watching(samples=2), sampler=longer_each_step)
    train(monitor, tmp_path, steps=1)
    nothing = OverOptimisationMonitor(length, lambda **texts: [None] * 32, PROMPTS, sampler=longer_each_step)
    _, state = train(nothing, tmp_path / "nothing", steps=1)
    assert "monitor/held_out" not in state.log_history[0] and nothing.history.changes == ()
    told = json.loads((tmp_path / "monitor.json").read_text())["looks"][0]
    assert told["missing"] == {"proxy": 0, "held_out": 1} and told["held_out"]["n"] == 15


def test_what_cannot_work_is_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="4 prompts to look at"):
        OverOptimisationMonitor(length, length, PROMPTS[:4])
    several = OverOptimisationMonitor(length, length, PROMPTS, Watching(stop=True), sampler=longer_each_step)
    with pytest.raises(ConfigError, match="one process only"):
        train(several, tmp_path, world_size=2)
    few = OverOptimisationMonitor(lambda prompts, completions: [1.0], length, PROMPTS, sampler=longer_each_step)
    with pytest.raises(DataError, match="1 rewards for 32 completions"):
        train(few, tmp_path)
