"""`rewardkit generate` as a process of its own: stopped and run again, with a tiny model and with a real one."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from rewardkit.jobs.pipeline import STAGES
from rewardkit.store.store import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def generating(slice_):
    """A job of 24 prompts and two policies on a third party's backend, which can be made slow."""
    policies = [{"name": "warm", "backend": "slow"}, {"name": "cold", "backend": "slow", "temperature": 0.2}]
    return {
        "name": "small",
        "workspace": "w",
        "seed": 3,
        "import": {"files": [str(slice_)], "source": "sample"},
        "generate": {
            "policies": policies,
            "revisions": {"constitution": str(ROOT / "configs/constitutions/fiction.yaml")},
        },
    }


@pytest.fixture
def imported(rewardkit, generating, write, third_party):
    """Its config, when the prompts are in the database."""
    file = generating["import"]["files"][0]
    assert rewardkit("import", file, "--to", "w/rewardkit.db", "--source", "sample").code == 0
    return write(generating)


def written(path):
    """Return what policies wrote, and all comparisons."""
    with Store.open(path, create=False) as store:
        responses = {each.id: each for each in store.responses() if each.generation}
        return responses, {each.comparison.id: each.comparison for each in store.comparisons()}


def wait_for_responses(database, process, least=1):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if len(found := written(database)[0]) >= least:
            return found
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    raise AssertionError("nothing was committed in a minute")


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "least"), [("SIGKILL", 1), ("SIGINT", 1), ("SIGKILL", 70)])
def test_stopped_it_loses_nothing_and_ends_as_an_uninterrupted_run(rewardkit, imported, start, here, sent, least):
    database = here / "w/rewardkit.db"
    with Store.open(database, create=False) as one, Store.open("whole/rewardkit.db") as other:
        other.add(one.prompts())
    assert rewardkit("generate", imported, "--set", "workspace=whole").code == 0
    process = start("generate", imported, SLOW_SECONDS="0.7")
    kept = wait_for_responses(database, process, least)
    process.send_signal(getattr(signal, sent))
    _, err = process.communicate(timeout=60)
    if sent == "SIGINT":
        assert process.returncode == 130 and err.rstrip().endswith("interrupted; the same command resumes")
    survived, formed = written(database)
    whole, comparisons = written(here / "whole/rewardkit.db")
    # Whatever was seen as committed is there, as it was, and nothing is compared before all is written.
    assert kept.items() <= survived.items() and survived.items() < whole.items() and not formed
    assert "run (interrupted)" in rewardkit("generate", imported, "--dry-run").out
    ended = rewardkit("generate", imported)
    assert ended.code == 0, ended.err
    assert written(database) == (whole, comparisons)
    assert len(whole) == 2 * 96 and len(comparisons) == 24 * 4 + 96


@pytest.fixture
def tiny_policies(generating, tiny, write):
    """A job of eight prompts on a random model of bytes, whose replies are cut off."""
    how = {"model": str(tiny), "max_new_tokens": 12, "truncated": "keep", "dtype": "float32", "batch_tokens": 400}
    policies = [{"name": "warm", **how}, {"name": "cold", "temperature": 0.1, "top_p": 0.5, "samples": 1, **how}]
    generating["generate"] = {"policies": policies, "limit": 8}
    return write(generating)


def test_a_local_model_writes_for_all_prompts_and_the_pipeline_goes_on(rewardkit, tiny_policies, tiny):
    ended = rewardkit("run", tiny_policies)
    assert ended.code == 0, ended.err
    responses, comparisons = written("w/rewardkit.db")
    # A random model may end at once, and say nothing.
    assert 20 <= len(responses) <= 24 and len(comparisons) > 16
    revision = {each.generation["revision"] for each in responses.values()}
    assert {each.model for each in responses.values()} == {str(tiny)} and len(revision) == 1
    assert all(len(each.text) <= 12 for each in responses.values())
    assert "24 responses to 8 prompts by 2 policies" in ended.err
    assert [line.split()[1] for line in rewardkit("run", tiny_policies, "--dry-run").out.splitlines()] == ["skip"] * 2
    os.remove("w/rewardkit.db")
    assert rewardkit("run", tiny_policies).code == 0
    assert written("w/rewardkit.db") == (responses, comparisons)


def test_what_it_did_is_there_for_programs(rewardkit, tiny_policies):
    assert rewardkit("run", tiny_policies).code == 0
    told = json.loads(rewardkit("generate", tiny_policies, "--force", "--json").out)
    assert (told["prompts"], told["responses"]) == (8, 0)
    (planned,) = json.loads(rewardkit("generate", tiny_policies, "--dry-run", "--json").out)
    assert (planned["stage"], planned["state"]) == ("generate", "complete")


@pytest.mark.parametrize(
    ("items", "says"),
    [
        (["generate.policies.0.backend=transformers", "generate.policies.0.model=/nowhere"], "no such model folder"),
        (["generate.policies.0.backend=slwo"], "did you mean 'slow'?"),
        (["generate.policies.0.backend=replay"], "replay"),
        (["generate.policies.1.name=warm"], "each needs a name of its own"),
        (["generate.policies.1.temprature=1"], "did you mean"),
        (
            ["generate.policies.0.backend=openai", "generate.policies.0.server.key_variable=NO_SUCH_KEY"],
            "generate.policies: warm: server.key_variable: the environment variable NO_SUCH_KEY is not set",
        ),
        (["generate.tasks=[poem]"], "no prompt in the database has the task poem"),
        (["generate.revisions.constitution=fictoin"], "did you mean 'fiction'?"),
        (["generate.corruptions.kinds=shufle", "generate.corruptions.count=3"], "did you mean 'shuffle'?"),
        (["db=none.db"], "none.db"),
    ],
    ids=lambda value: value[0].split("=")[0] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_one_error_and_nothing_is_written(refused, imported, items, says):
    refused("generate", imported, *(word for item in items for word in ("--set", item)), says=says)


def test_without_the_section_it_says_so(refused, settings, write):
    del settings["judge"]
    refused("generate", write(settings), says="the config has no section 'generate'")
    assert STAGES["generate"].fills_store


@pytest.fixture
def proposing(generating, write, imported):
    generating["generate"]["prompts"] = {"file": "p.yaml", "task": "fiction", "count": 4}
    return write(generating)


def test_prompts_are_proposed_approved_and_answered(rewardkit, proposing, monkeypatch, here):
    from rewardkit.judge import fake

    words = iter("ABCD")
    monkeypatch.setattr(fake, "_words", lambda _: f"1. Write the tale of {next(words)} and of nobody else.")
    ended = rewardkit("generate", proposing, "--propose", "--json")
    assert ended.code == 0, ended.err
    (name,) = json.loads(ended.out)["proposed"]
    monkeypatch.undo()
    monkeypatch.chdir(here)
    approved = rewardkit("generate", proposing, "--approve", name, "--by", "Ana", "--json")
    assert json.loads(approved.out)["prompts added"] == 1
    with Store.open("w/rewardkit.db", create=False) as store:
        assert store.counts()["prompts"] == 25


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--approve", "all"], "a decision is somebody's"),
        (["--by", "Ana"], "it counts only for a decision"),
        (["--approve", "a", "--reject", "b", "--by", "Ana"], "the two exclude each other"),
        (["--approve", "a", "--by", "Ana", "--propose"], "a decision, a proposal and a run are three things"),
        (["--propose", "--force"], "a decision, a proposal and a run are three things"),
        (["--approve", "all", "--by", "Ana"], "the file of proposed prompts does not exist"),
        (["--propose", "--set", "generate.prompts.task=poem"], "no prompt of one message has the task 'poem'"),
        (["--propose", "--set", "generate.prompts=null"], "does not say where prompts are proposed"),
    ],
)
def test_what_is_wrong_with_a_proposal_is_one_error(refused, proposing, words, says):
    refused("generate", proposing, *words, says=says)


@pytest.mark.slow
def test_smollm2_answers_the_demos_prompts(rewardkit, here, monkeypatch):
    monkeypatch.chdir(ROOT)
    small = [
        f"workspace={here}",
        "generate.limit=1",
        "generate.revisions.critique_tokens=20",
        "generate.policies.0.max_new_tokens=40",
        "generate.policies.1.max_new_tokens=40",
    ]
    options = [word for item in small for word in ("--set", item)]
    ended = rewardkit("run", "configs/generate.yaml", *options)
    assert ended.code == 0, ended.err
    assert "; about " in ended.err
    responses, comparisons = written(here / "rewardkit.db")
    revised = [each for each in responses.values() if each.edited_from]
    assert len(responses) == 6 and len(revised) == 3 and len(comparisons) == 6
    for response in responses.values():
        words = response.text.split()
        # Words of a language, and no piece of the template.
        assert len(words) > 3 and "<|" not in response.text and response.text.isprintable() or "\n" in response.text
    assert rewardkit("run", "configs/generate.yaml", "--dry-run", *options).out.count("skip") == 2
