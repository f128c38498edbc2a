"""The contract of GRPOTrainer (trl/trainer/grpo_trainer.py, `_calculate_rewards`), called as it calls."""

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rewardkit.errors import ConfigError, DataError
from rewardkit.rl.shaping import Shaping
from rewardkit.rl.trl_rewards import trl_reward, trl_reward_async
from rewardkit.types import Message


def ended(coroutine):
    """Run a coroutine to its end, in a thread: tests of the browser leave a loop behind in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


ASKED = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "A poem."}]


def said(text):
    return [{"role": "assistant", "content": text}]


class Logged:
    """The two doors through which a reward function logs."""

    def __init__(self):
        self.metrics, self.columns = {}, {}

    def keywords(self, count):
        return {
            "completion_ids": [[1]] * count,
            "trainer_state": object(),
            "task": ["poem"] * count,
            "log_extra": self.columns.__setitem__,
            "log_metric": self.metrics.__setitem__,
        }


@pytest.fixture
def logged():
    return Logged()


def test_a_group_that_several_processes_share_is_not_normalised_by_parts(known, monkeypatch):
    trl_reward(known(), Shaping(per_group=True))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="a part of a group") as told:
        trl_reward(known(), Shaping(per_group=True))
    assert told.value.where == "per_group"
    trl_reward(known(), Shaping(centre=(0.5,)))


def test_plain_texts_and_conversations_are_asked_alike(known, logged):
    model = known()
    reward = trl_reward(model)
    assert reward(prompts=["A poem."] * 2, completions=["abc", "a"], **logged.keywords(2)) == [3.0, 1.0]
    assert reward(prompts=[ASKED], completions=[said("abcd")], **logged.keywords(1)) == [4.0]
    assert model.asked[0] == ((Message(role="user", content="A poem."),), "abc")
    assert model.asked[2] == (tuple(Message(**each) for each in ASKED), "abcd")


def test_what_cannot_be_read_has_no_reward_and_is_never_zero(known, logged):
    reward = trl_reward(known())
    picture = [{"role": "assistant", "content": [{"type": "image", "image": "…"}]}]
    completions = [said("?"), said("ab"), [{"role": "user", "content": "no"}], picture]
    assert reward(prompts=[ASKED] * 4, completions=completions, **logged.keywords(4)) == [None, 2.0, None, None]
    assert logged.metrics["reward_model/missing"] == 3
    first, _, role, image = logged.columns["reward_model/why_none"]
    assert first == "nothing is left" and "role user" in role and "image" in image


def test_of_a_completion_with_tools_the_last_message_is_asked_about(known):
    model = known()
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "look_up"}]}
    told = {"role": "tool", "name": "look_up", "content": [{"type": "text", "text": "Rain."}]}
    assert trl_reward(model)([ASKED], [[call, told, *said("abc")]]) == [3.0]
    prompt, text = model.asked[0]
    assert [m.role for m in prompt] == ["system", "user", "assistant", "tool"] and prompt[-1].content == "Rain."
    assert text == "abc"


def test_the_spread_within_prompts_is_logged(known, logged):
    # Lengths 1 and 3 have a standard deviation of √2, lengths 2 and 2 of 0.
    trl_reward(known(), name="poems")(list("ppqq"), ["a", "abc", "ab", "ab"], **logged.keywords(4))
    assert logged.metrics == {"poems/missing": 0.0, "poems/std_within_prompt": pytest.approx(0.5**0.5)}
    # Also where nothing is missing: TRL's table of completions needs each column in each batch.
    assert logged.columns == {"poems/why_none": [""] * 4}


def test_shaping_sees_all_models_and_keeps_the_raw_rewards(known, logged):
    reward = trl_reward([known(), known(offset=2.0)], Shaping(uncertainty=1.0))
    # The two say 3 and 5: mean 4, standard deviation √2.
    assert reward(["p"], ["abc"], **logged.keywords(1)) == [pytest.approx(4 - 2**0.5)]
    assert logged.columns["reward_model/raw"] == [4.0]


def test_trl_knows_the_functions_by_name_and_kind(known):
    utils = pytest.importorskip("trl.trainer.utils")
    plain, later = trl_reward(known(), name="taste"), trl_reward_async(known(), name="taste")
    assert utils.get_callable_name(plain) == utils.get_callable_name(later) == "taste"
    assert utils.is_async_callable(later) and not utils.is_async_callable(plain)
    assert inspect.iscoroutinefunction(later)


def test_the_event_loop_goes_on_while_the_model_runs(known):
    running = threading.Event()

    class Waiting(type(known())):
        def score(self, prompts, responses):
            # It can only end when the loop has gone on meanwhile.
            assert running.wait(timeout=30)
            return super().score(prompts, responses)

    async def both():
        asked = asyncio.create_task(trl_reward_async(Waiting())(["p"], ["abc"]))
        await asyncio.sleep(0)
        running.set()
        return await asked

    assert ended(both()) == [3.0]


def test_a_folder_is_loaded_once(folder):
    path, loads = folder
    assert trl_reward(path)(["p"], ["ab"]) == trl_reward(path)(["p"], ["ab"]) == [2.0]
    assert len(loads) == 1


def test_batches_that_do_not_match_are_one_clear_error(known):
    with pytest.raises(DataError, match="1 models, 1 prompts, 2 completions"):
        trl_reward(known())(["p"], ["a", "b"])


def test_the_members_of_an_ensemble_disagree_by_hand(known, logged):
    """Members give 4 and 6 for four letters: a mean of 5 less a standard deviation of √2."""
    reward = trl_reward(known(apart=(0.0, 2.0)), Shaping(uncertainty=1.0))
    assert reward(["p"], ["four"], **logged.keywords(1)) == [pytest.approx(5 - 2**0.5)]
