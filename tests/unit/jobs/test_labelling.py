"""From a job's section `label` to what a study asks for."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from labeling_ui.desk import Desk
from labeling_ui.settings import change_settings
from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError, NoDatabaseError
from rewardkit.jobs.labelling import plan, stock
from rewardkit.store.labelling_tables import items
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Response


@pytest.fixture
def database(tmp_path):
    return tmp_path / "s.db"


@pytest.fixture
def config(database, tmp_path):
    def make(**label):
        return JobConfig(name="study", workspace=tmp_path, db=str(database), label=label)

    return make


def add(store, *, prompts, responses, tag=""):
    """Add prompts with responses and no comparisons; return the responses of each."""
    found = []
    for number in range(prompts):
        prompt = Prompt.of((Message(role="user", content=f"{tag}{number}"),))
        made = sorted((Response.of(prompt.id, f"text {n}") for n in range(responses)), key=lambda each: each.id)
        store.add([prompt, *made])
        found.append(made)
    return found


def compare(store, pairs, **fields):
    made = [Comparison.of(a.prompt_id, a.id, b.id, **fields) for a, b in pairs]
    store.add(made)
    return made


def item_rows(store):
    with store.reading() as connection:
        return connection.execute(sa.select(items)).all()


def study_of(config):
    from labeling_ui.study import Study

    return Study.of(config.label, config.name)


def test_what_a_study_asks_for_is_said_before(config, database):
    with Store.open(database) as store:
        first, second = add(store, prompts=2, responses=4)
        compare(store, [(first[0], first[1]), (second[0], second[1]), (second[2], second[3])])
    said = plan(config(assignment={"overlap": 5, "most_overlap": 5}))
    assert (said.study, said.items, said.labels) == ("study", 3, 15)
    # Fifteen labels of half a minute.
    assert said.hours == round(15 * 30 / 3600, 1)
    assert said.shown()["hours"].startswith("0.1, if a label takes 30 s")
    with Store.open(database) as store:
        assert item_rows(store) == []


def test_what_researchers_settled_is_counted_with_and_said(config, database, capsys):
    with Store.open(database) as store:
        (first,) = add(store, prompts=1, responses=2)
        compare(store, [(first[0], first[1])])
        change_settings(Desk(store, study_of(config())), "somebody", {"overlap": 2})
    assert plan(config()).labels == 2
    assert "label: overlap is 2, as set on the researchers' page; the config says 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("label", "sizes"),
    [
        ({}, [2, 2, 2]),
        ({"limit": 2}, [2, 2]),
        ({"task": "ranking"}, [4]),
        ({"task": "rating", "rubric": "fiction"}, [1] * 6),
    ],
)
def test_each_task_has_its_items(config, database, label, sizes):
    with Store.open(database) as store:
        first, second = add(store, prompts=2, responses=4)
        compare(store, [(first[0], first[1]), (second[0], second[1]), (second[2], second[3])])
        for _ in range(2):
            # The second time, as after a restart, nothing is added.
            stock(store, study_of(config(**label)))
        assert sorted(len(row.responses) for row in item_rows(store)) == sizes


def test_responses_that_nobody_has_paired_are_paired(config, database):
    with Store.open(database) as store:
        add(store, prompts=3, responses=5)
    assert plan(config(pairs_per_prompt=5)).items == 15
    with Store.open(database) as store:
        for _ in range(2):
            stock(store, study_of(config(pairs_per_prompt=5)))
        assert len(item_rows(store)) == store.counts()["comparisons"] == 15


def test_gold_is_no_work_before_the_study_begins_either(config, database):
    with Store.open(database) as store:
        (made,) = add(store, prompts=1, responses=4)
        person = Annotator.of("human", "ann")
        (gold,) = compare(store, [add(store, prompts=1, responses=2, tag="gold ")[0]], source="gold")
        store.add([person, Label.of(gold.id, person.id, choice="a")])
    said = plan(config(gold={"source": "gold"}, pairs_per_prompt=6))
    assert len(made) == 4 and (said.items, said.known) == (6, {"gold": 1})


def test_a_limit_holds_after_later_imports(config, database):
    with Store.open(database) as store:
        for tag in ("", "later "):
            compare(store, [each[:2] for each in add(store, prompts=6, responses=2, tag=tag)])
            stock(store, study_of(config(limit=4)))
            assert len(item_rows(store)) == 4


def test_what_people_made_meanwhile_is_no_work(config, database):
    with Store.open(database) as store:
        (made,) = add(store, prompts=1, responses=4)
        compare(store, [(made[0], made[1])])
        compare(store, [(made[1], made[2])], source="edits")
        stock(store, study_of(config()))
        assert len(item_rows(store)) == 1
        assert plan(config(source="edits", study="other")).items == 1


def test_gold_and_qualification_are_what_humans_agree_on(config, database):
    with Store.open(database) as store:
        for tag, source in (("g", "gold"), ("q", "quiz"), ("w", "work")):
            pairs = compare(store, [each[:2] for each in add(store, prompts=3, responses=2, tag=tag)], source=source)
            people = [Annotator.of("human", name) for name in ("ann", "ben")]
            model = Annotator.of("judge", "m")
            said = [Label.of(pairs[0].id, person.id, choice="a") for person in people]
            said += [Label.of(pairs[1].id, people[0].id, choice="a"), Label.of(pairs[1].id, people[1].id, choice="b")]
            # A judge's opinion, and an answer of the page itself, are no right answers.
            said += [Label.of(pairs[2].id, model.id, choice="b")]
            said += [Label.of(pairs[2].id, people[0].id, choice="a", metadata={"lease": "x"})]
            store.add([*people, model, *said])
        stock(store, study_of(config(gold={"source": "gold"}, qualification={"source": "quiz", "items": 1})))
        rows = item_rows(store)
    assert sorted((row.role, row.expected) for row in rows if row.role != "work") == [
        ("gold", "a"),
        ("qualification", "a"),
    ]
    assert sum(row.role == "work" for row in rows) == 3


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        ({"source": "none"}, "nothing to label of the source 'none'"),
        ({"gold": {"source": "none"}}, "on which humans agree"),
    ],
)
def test_what_is_not_there_is_said(config, database, label, problem):
    with Store.open(database) as store:
        made = add(store, prompts=1, responses=2)
        compare(store, made)
    with pytest.raises(ConfigError, match=problem):
        plan(config(**label))


def test_an_empty_or_missing_database_and_a_missing_section(config, database):
    with pytest.raises(NoDatabaseError):
        plan(config())
    with pytest.raises(ConfigError, match="no section 'label'"):
        plan(JobConfig(db=str(database)))
    with Store.open(database):
        pass
    with pytest.raises(ConfigError, match="nothing to label"):
        plan(config())


def test_a_judge_that_has_said_nothing_is_not_reviewed(config, database):
    job = config(review={"judge": "wise"})
    with Store.open(database) as store:
        ((a, b),) = add(store, prompts=1, responses=2)
        compare(store, [(a, b)])
        with pytest.raises(ConfigError, match="no judge is called 'wise'") as raised:
            plan(job)
        assert raised.value.where == "label.review.judge" and "none yet" in raised.value.expected
        store.add([Annotator.of("judge", "m/pairwise.v1/joke", model="m"), Annotator.of("human", "wise")])
        with pytest.raises(ConfigError, match="no judge is called 'wise'") as raised:
            stock(store, study_of(job))
        assert raised.value.expected == "one of m, m/pairwise.v1/joke" and not item_rows(store)
        for name in ("m", "m/pairwise.v1/joke"):
            stock(store, study_of(config(review={"judge": name})))
        assert len(item_rows(store)) == 1


def test_a_plan_says_what_comes_on_top(config, database):
    with Store.open(database) as store:
        ((a, b),) = add(store, prompts=1, responses=2)
        compare(store, [(a, b)])
    assert plan(config()).note == "5 labels where all disagree; 5% repeats, gold and qualification come on top"
    assert plan(config(chat={})).note == "each annotator may have 3 conversations of 8 pairs of replies"
