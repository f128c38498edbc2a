"""Proposed prompts wait for a person, and only what is approved enters the database."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError, DataError, NoDatabaseError
from rewardkit.generation.proposals import load_proposals
from rewardkit.jobs import proposing
from rewardkit.jobs.guidance import Chosen
from rewardkit.judge import backends
from rewardkit.judge.contract import Completion
from rewardkit.judge.fake import FakeBackend
from rewardkit.store.store import Store
from rewardkit.types import Message, Prompt

REPLY = "4. A tale of the {}.\n5. Write about thing 1.\n6. Describe {} in a lift."
server = runpy.run_path(str(Path(__file__).parents[2] / "judging.py"))["server"]


@pytest.fixture
def job(tmp_path):
    def build(policy=None, generate=None, **prompts):
        section = {"file": str(tmp_path / "new/p.yaml"), "task": "fiction", "count": 8, "most_alike": 1.0, **prompts}
        writer = {"name": "p", "backend": "fake", **(policy or {})}
        data = {"policies": [writer], "prompts": section, **(generate or {})}
        return JobConfig.model_validate({"workspace": str(tmp_path), "generate": data})

    with Store.open(tmp_path / "rewardkit.db") as store:
        said = [Message(role="user", content=f"Write about thing {n}.") for n in range(5)]
        store.add([Prompt.of((each,), task="fiction") for each in said])
        store.add([Prompt.of((each,), task="talk") for each in (Message(role="user", content="Hello there!"),)])
    return build


@pytest.fixture
def says(monkeypatch):
    """The fake backend writes lists of prompts, others for each question."""

    def answer(request):
        return Completion(reply=REPLY.format(request.seed, request.seed))

    monkeypatch.setitem(backends.BACKENDS, "fake", lambda config: FakeBackend(answer))


def prompts_in(config):
    with Store.open(config.database, create=False) as store:
        return {each.id: each for each in store.prompts()}


def decide(config, status, which):
    return proposing.decide(config, Chosen(which, status, "Ana"))


def test_proposals_wait_in_a_file_and_change_no_database(job, says):
    config = job()
    before = prompts_in(config)
    told = proposing.propose(config)
    found = load_proposals(Path(told["file"])).prompts
    assert len(found) == told["prompts proposed"] == 4 and told["requests"] == 2
    # What each reply repeats of the seeds is left out.
    assert told["left out, as they are like a prompt that is there"] == 2
    assert prompts_in(config) == before
    assert all(set(each.seeds) <= set(before) and each.proposed_by == "fake" for each in found)


def test_asked_again_it_asks_others_and_proposes_nothing_twice(job, says):
    first = proposing.propose(job())["proposed"]
    told = proposing.propose(job())
    assert not set(first) & set(told["proposed"]) and told["prompts proposed"] == 8


def test_what_a_person_approves_enters_the_database_and_nothing_else(job, says):
    config = job()
    before, first = prompts_in(config), next(iter(proposing.propose(config)["proposed"]))
    told = decide(config, "approved", first[:7])
    assert (told["prompts added"], told["prompts approved"], told["prompts proposed"]) == (1, 1, 3)
    (added,) = prompts_in(config).keys() - before.keys()
    made = prompts_in(config)[added]
    assert made.task == "fiction" and (made.metadata["written_by"], made.metadata["approved_by"]) == ("fake", "Ana")
    assert decide(config, "rejected", "all")["prompts rejected"] == 3
    assert len(prompts_in(config)) == len(before) + 1
    # What a model wrote is no seed, and what was rejected is not proposed again.
    told = proposing.propose(config)
    assert told["seeds"] == 5 and told["prompts rejected"] == 3


def test_what_is_in_the_database_is_not_taken_back(job, says):
    config = job()
    first = next(iter(proposing.propose(config)["proposed"]))
    decide(config, "approved", first)
    with pytest.raises(ConfigError, match=f"{first} was approved by Ana, and is in the database"):
        decide(config, "rejected", first)
    assert len(load_proposals(Path(config.generate.prompts.file)).of("approved")) == 1


def test_a_dry_run_asks_and_writes_nothing(job, tmp_path):
    told = proposing.propose(job(), dry_run=True)
    assert (told["seeds"], told["requests"], told["model"]) == (5, 2, "fake")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rewardkit.db"]


def test_what_is_missing_is_said_and_nothing_is_written(job, says, tmp_path):
    config = job()
    bare = config.model_copy(update={"generate": config.generate.model_copy(update={"prompts": None})})
    with pytest.raises(ConfigError, match="does not say where prompts are proposed"):
        proposing.propose(bare)
    with pytest.raises(ConfigError, match="no section 'generate'"):
        proposing.propose(config.model_copy(update={"generate": None}))
    with pytest.raises(DataError, match="no prompt of one message has the task 'poem'"):
        proposing.propose(job(task="poem"))
    with pytest.raises(ConfigError, match="the file of proposed prompts does not exist"):
        decide(config, "approved", "all")
    proposing.propose(config)
    before = Path(config.generate.prompts.file).read_bytes()
    with pytest.raises(NoDatabaseError):
        decide(config.model_copy(update={"db": str(tmp_path / "none.db")}), "approved", "all")
    assert Path(config.generate.prompts.file).read_bytes() == before
    with pytest.raises(ValueError, match="no policy is called 'q': p"):
        job(policy={}, file="x.yaml", task="t", generate={"prompts": {"file": "f", "task": "t", "policy": "q"}})


def test_answers_are_paid_once_and_never_beyond_the_budget(job, server):
    server.reset()
    where = {"url": server.url, "key_variable": None, "price_in": 0, "price_out": 1000}
    far = {"backend": "openai", "model": "m", "server": where}
    # Two questions of 400 tokens at most: .80.
    with pytest.raises(ConfigError, match="it may cost 0.80, 0.00 are spent, and generate.max_cost is 0.5"):
        proposing.propose(job(far, {"max_cost": 0.5}))
    assert not server.asked
    proposing.propose(job(far, {"max_cost": 0.9}))
    assert len(server.asked) == 2
    # Nothing was proposed: the same is asked, and answered from before.
    proposing.propose(job(far, {"max_cost": 0.9}))
    assert len(server.asked) == 2
