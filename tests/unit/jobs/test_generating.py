"""The stage `generate` with models that say what they are told to: what is stored, compared, left out and counted."""

from __future__ import annotations

import json
import runpy
from collections import Counter
from pathlib import Path

import pytest

from rewardkit.config import JobConfig
from rewardkit.corruptions import corruption_named
from rewardkit.errors import ConfigError, DataError, JobFailed
from rewardkit.jobs import generating, writing
from rewardkit.jobs.pipeline import plan, run_one, stages_of
from rewardkit.judge import backends
from rewardkit.judge.contract import Completion
from rewardkit.judge.fake import FakeBackend
from rewardkit.store.store import Store
from rewardkit.types import Message, Prompt, Response

TWO = [{"name": "warm", "backend": "fake"}, {"name": "cold", "backend": "fake", "temperature": 0.2}]
STORY = "The lamp {n} was out. Nobody saw the keeper. Anna climbed up. She sat in the dark and waited for day."
server = runpy.run_path(str(Path(__file__).parents[2] / "judging.py"))["server"]


@pytest.fixture
def job(tmp_path):
    """Configs on a database of four prompts, three of them about fiction."""

    def build(**section):
        section = section if "policies" in section or "corruptions" in section else {"policies": TWO, **section}
        return JobConfig.model_validate({"name": "g", "workspace": str(tmp_path), "seed": 3, "generate": section})

    with Store.open(tmp_path / "rewardkit.db") as store:
        store.add(prompts())
    return build


def prompts():
    return [Prompt.of((Message(role="user", content=f"Story {n}?"),), task="fiction") for n in range(3)] + [
        Prompt.of((Message(role="user", content="Joke?"),), task="joke")
    ]


@pytest.fixture
def says(monkeypatch):
    """Let the fake backend give this answer: `says(lambda request: …)`."""

    def tell(answer):
        monkeypatch.setitem(backends.BACKENDS, "fake", lambda config: FakeBackend(answer))

    return tell


def stored(config, path=None):
    with Store.open(path or config.database, create=False) as store:
        return {
            "responses": {each.id: each for each in store.responses()},
            "comparisons": {each.comparison.id: each.comparison for each in store.comparisons()},
            "labels": list(store.labels()),
            "annotators": store.annotators(),
        }


def test_each_policy_answers_each_prompt_and_what_they_wrote_is_compared(job):
    config = job()
    told = run_one("generate", config).summary
    assert (told["prompts"], told["responses"], told["comparisons"]) == (4, 16, 16)
    found = stored(config)
    assert len(found["responses"]) == 16 and len(found["comparisons"]) == 16
    for response in found["responses"].values():
        assert response.model == "fake" and response.generation.keys() >= {"revision", "temperature", "top_p", "seed"}
        assert response.generation["temperature"] == {"warm": 0.8, "cold": 0.2}[response.metadata["policy"]]
    for comparison in found["comparisons"].values():
        a, b = (found["responses"][each] for each in (comparison.response_a, comparison.response_b))
        assert a.prompt_id == b.prompt_id == comparison.prompt_id and a.text != b.text
        assert comparison.source == "g" and comparison.group is None


def test_tasks_and_limit_choose_prompts_by_id(job):
    config = job(tasks="fiction", limit=2, pairs={"per_prompt": 1, "within": False})
    assert run_one("generate", config).summary["comparisons"] == 2
    found = stored(config)
    assert {each.prompt_id for each in found["responses"].values()} == set(sorted(p.id for p in prompts()[:3])[:2])
    policies = {each.id: each.metadata["policy"] for each in found["responses"].values()}
    assert all(policies[each.response_a] != policies[each.response_b] for each in found["comparisons"].values())


def test_a_rerun_adds_nothing_and_a_change_only_what_is_new(job):
    config = job()
    run_one("generate", config)
    before = stored(config)
    assert plan(config)[0].state == "complete"
    told = run_one("generate", config, force=True).summary
    assert (told["responses"], told["comparisons"]) == (0, 0) and stored(config) == before
    more = job(policies=[*TWO, {"name": "third", "backend": "fake", "temperature": 1.2, "samples": 1}])
    assert run_one("generate", more).summary["responses"] == 4
    assert before["responses"].items() <= stored(config)["responses"].items()


def test_new_prompts_are_answered_and_the_others_left_alone(job):
    config = job()
    run_one("generate", config)
    with Store.open(config.database) as store:
        store.add([Prompt.of((Message(role="user", content="Another?"),))])
    assert plan(config)[0].state == "stale"
    assert run_one("generate", config).summary["responses"] == 4


def test_the_same_text_twice_is_one_response_and_never_compared_with_itself(job, says):
    says(lambda request: Completion(reply="The same."))
    config = job()
    told = run_one("generate", config).summary
    assert (told["responses"], told["responses already there"], told["comparisons"]) == (4, 12, 0)


def left_out(config):
    path = config.workspace / "runs/g/generate" / writing.FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_what_came_to_nothing_is_written_down_and_no_failure(job, says, capsys):
    says(
        lambda request: Completion(reply="Once", was_cut=True) if request.temperature == 0.2 else Completion(reply=" ")
    )
    config = job(max_failure_rate=0.0)
    told = run_one("generate", config).summary
    assert told["responses empty"] == told["responses cut off"] == 8 and not stored(config)["responses"]
    rows = left_out(config)
    assert len(rows) == 16 and rows[-1].keys() == {"prompt", "seed", "policy", "what", "status", "reason"}
    assert Counter((row["policy"], row["status"], row["reason"]) for row in rows) == Counter(
        {("warm", "left_out", "empty"): 8, ("cold", "left_out", "cut off"): 8}
    )
    assert "cold: 8 texts were cut off and dropped: raise max_new_tokens (512)" in capsys.readouterr().err


def test_what_came_to_nothing_is_not_asked_for_again_unless_it_would_be_kept_now(job, says):
    asked = []
    cut, empty = Completion(reply="Once", was_cut=True), Completion(reply=" ")
    says(lambda request: asked.append(request) or (cut if request.temperature == 0.2 else empty))
    run_one("generate", job())
    assert len(asked) == 16
    told = run_one("generate", job(), force=True).summary
    assert len(asked) == 16 and told["responses"] == 0
    keep = job(policies=[TWO[0], {**TWO[1], "truncated": "keep"}])
    told = run_one("generate", keep).summary
    # Both samples say the same: one response to each prompt.
    assert len(asked) == 24 and told["responses"] == 4 and told["responses already there"] == 4
    assert Counter(row["reason"] for row in left_out(keep)) == Counter({"empty": 8, "already there": 4})


def test_what_failed_is_asked_for_again(job, says):
    says(lambda request: Completion(failure="out of order"))
    assert run_one("generate", job(max_failure_rate=1.0)).summary["responses failed"] == 16
    says(None)
    config = job()
    assert run_one("generate", config).summary["responses"] == 16 and left_out(config) == []


def test_too_many_failures_end_it_and_what_was_written_stays(job, says):
    says(lambda request: Completion(failure="out of order") if "Joke" in request.user else None)
    told = run_one("generate", job(max_failure_rate=0.5)).summary
    assert (told["responses"], told["responses failed"]) == (12, 4)
    config = job(policies=[{"name": "hot", "backend": "fake", "temperature": 1.5}], max_failure_rate=0.1)
    with pytest.raises(JobFailed, match="2 of 8 responses failed: 2 x out of order") as error:
        run_one("generate", config)
    assert error.value.expected == "at most 10% (generate.max_failure_rate)"
    assert len(stored(config)["responses"]) == 18 and plan(config)[0].state == "interrupted"


def test_revisions_are_compared_with_what_they_revise_and_labelled_by_nobody(job):
    config = job(tasks="joke", revisions={"per_response": 2})
    told = run_one("generate", config).summary
    assert (told["responses"], told["revisions"], told["comparisons with a revision"]) == (4, 8, 8)
    found = stored(config)
    revised = {each.id: each for each in found["responses"].values() if each.edited_from}
    assert len(revised) == 8 and not found["labels"]
    pairs = [each for each in found["comparisons"].values() if "principle" in each.metadata]
    for pair in pairs:
        (revision,) = {pair.response_a, pair.response_b} & set(revised)
        assert {revised[revision].edited_from, revision} == {pair.response_a, pair.response_b}
        assert pair.metadata["principle"] == revised[revision].metadata["principle"]
    # Revisions are in no other comparison: those are among what was written first.
    assert len(found["comparisons"]) == 4 + len(pairs)
    before = stored(config)
    run_one("generate", config, force=True)
    assert stored(config) == before


def test_spoilt_texts_stand_in_a_database_of_their_own_with_what_is_known(job):
    config = job(corruptions={"count": 3, "kinds": ["shuffle", "cut_off", "padding"]})
    original = [Response.of(prompts()[0].id, STORY.format(n=n)) for n in range(5)]
    edited = Response.of(prompts()[0].id, STORY.format(n="edited"), edited_from=original[0].id)
    with Store.open(config.database) as store:
        store.add([*original, edited])
    before = stored(config)
    told = run_one("generate", config).summary
    assert stored(config) == before and told["corrupted texts: pairs"] == 9
    assert told["corrupted texts: of a known better side"] == 6
    found = stored(config, config.workspace / "runs/g/generate" / told["corrupted texts"])
    unchanged = {each.id for each in original}
    for label in found["labels"]:
        pair, who = found["comparisons"][label.comparison_id], found["annotators"][label.annotator_id]
        better = {"a": pair.response_a, "b": pair.response_b}[label.choice]
        assert better in unchanged and who.name == f"corruption/{pair.metadata['corruption']}"
        assert corruption_named(pair.metadata["corruption"]).effect == "worse"
        # Whoever looks at labels of people, or of models, never takes it for one.
        assert (who.kind, who.simulated, who.rater_group, who.model) == ("judge", True, "construction", None)
    assert all(each.text != edited.text for each in found["responses"].values())


def test_a_set_of_spoilt_texts_that_is_gone_is_made_again(job):
    config = job(corruptions={"count": 2, "kinds": "padding"}, policies=TWO)
    place = config.workspace / "runs/g/generate" / run_one("generate", config).summary["corrupted texts"]
    before = stored(config, place)
    place.unlink()
    assert plan(config)[0].state == "stale"
    run_one("generate", config)
    assert stored(config, place) == before


def test_what_cannot_be_done_is_refused(job, tmp_path):
    with pytest.raises(DataError, match="no prompt in the database has the task poem") as error:
        run_one("generate", job(tasks=["poem"]))
    assert error.value.expected == "one of fiction, joke"
    with pytest.raises(DataError, match="no text can be changed"):
        run_one("generate", job(corruptions={}))
    with pytest.raises(ConfigError, match="no constitution is called 'none'"):
        run_one("generate", job(revisions={"constitution": "none"}))
    with Store.open(tmp_path / "empty.db"):
        pass
    with pytest.raises(DataError, match="no prompt is there"):
        run_one("generate", job().model_copy(update={"db": str(tmp_path / "empty.db")}))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, "nothing is to be generated: add policies, or corruptions"),
        ({"corruptions": {}, "revisions": {}}, "revisions are written by a policy"),
        ({"policies": [TWO[0], {**TWO[1], "name": "warm"}]}, "each needs a name of its own"),
        ({"policies": [TWO[0], {**TWO[0], "name": "w", "samples": 9}]}, "two differ in nothing but name and samples"),
        ({"policies": [{"name": "x", "temperature": 0}]}, "all 2 samples would be the same"),
        ({"policies": [{"name": "x", "backend": "openai"}], "max_cost": 1}, "server.price_out of the policy x"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(section, message):
    with pytest.raises(ValueError, match=message):
        JobConfig.model_validate({"generate": section})


def test_it_comes_before_whoever_labels(job):
    config = job().model_copy(update={"judge": JobConfig.model_validate({"judge": {"backend": "fake"}}).judge})
    assert [stage.name for stage in stages_of(config)] == ["generate", "judge"]
    assert plan(config)[0].size == "16 responses to 4 prompts by 2 policies"


@pytest.fixture
def far(job, server):
    """A policy behind a server that is paid: about .01 for each response at most."""
    server.reset()
    prices = {"price_in": 0.0, "price_out": 1000.0}
    policy = {"name": "far", "backend": "openai", "model": "m", "max_new_tokens": 10, "samples": 1}

    def build(**fields):
        where = {"url": server.url, "key_variable": None, **prices}
        return job(policies=[{**policy, "server": where}], **fields)

    return build


def test_a_server_is_asked_and_its_answers_are_kept(far, server):
    config = far()
    assert plan(config)[0].size.endswith("far: 4 items, 4 requests, about 48 tokens, at most about 0.04 to pay")
    assert run_one("generate", config).summary["responses"] == 4
    assert [(body["temperature"], body["max_tokens"]) for _, _, body in server.asked] == [(0.8, 10)] * 4
    assert len({body["seed"] for _, _, body in server.asked}) == 4
    (config.workspace / "rewardkit.db").unlink()
    with Store.open(config.database) as store:
        store.add(prompts())
    assert run_one("generate", config).summary["responses"] == 4 and len(server.asked) == 4


def test_no_more_is_paid_than_allowed_earlier_runs_included(far, server):
    with pytest.raises(JobFailed, match="the budget is used up") as error:
        run_one("generate", far(max_cost=0.0125))
    assert error.value.where == "generate.max_cost"
    paid = len(server.asked)
    assert 0 < paid < 4 and len(stored(far())["responses"]) == paid
    with pytest.raises(JobFailed, match="the budget is used up"):
        run_one("generate", far(max_cost=0.0125))
    assert len(server.asked) <= paid + 1
    run_one("generate", far(max_cost=1))
    assert len(stored(far())["responses"]) == 4


def test_an_answer_that_was_interrupted_before_it_was_stored_is_not_bought_again(far, server, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(generating.Own, "comparisons", killed)
        with pytest.raises(KeyboardInterrupt):
            run_one("generate", far())
    assert run_one("generate", far()).summary["responses"] == 0 and len(server.asked) == 4
