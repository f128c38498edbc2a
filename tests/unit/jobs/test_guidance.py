"""Where store, splits and judge meet: what teaches a judge comes from people, and from the train split only."""

from __future__ import annotations

import json
import runpy
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from rewardkit.aggregation.splits import place
from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError, DataError
from rewardkit.jobs import guidance
from rewardkit.jobs.labels import JUDGE
from rewardkit.jobs.stages import Job
from rewardkit.judge.cache import FILE, AnswerCache, payer
from rewardkit.judge.judges import open_judges
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label

PEOPLE = tuple(Annotator.of("human", name) for name in ("Ana", "Ben", "Cy", "Di"))
OTHER = Annotator.of("judge", "other")
MANY = 40
server = runpy.run_path(str(Path(__file__).parents[2] / "judging.py"))["server"]


@pytest.fixture
def study(tmp_path, add_comparisons):
    """A database of comparisons, of which all people prefer A; and jobs on it."""

    def job(**judge):
        data = {"workspace": str(tmp_path), "seed": 3, "judge": {"backend": "fake", **judge}}
        return Job(JobConfig.model_validate({**data, "aggregate": {"split": {"by": "prompt"}}}))

    with Store.open(job().config.database) as store:
        ids = sorted(add_comparisons(store, MANY))
        store.add([*PEOPLE, OTHER])
        store.add([Label.of(item, who.id, choice="a") for item in ids for who in PEOPLE])
    return job


def splits(job):
    with Store.open(job.config.database) as store:
        placed = place(list(store.comparisons()), job.config.aggregate.split, job.config.seed)
    return {item: placement.split for item, placement in placed.items()}


def texts(job):
    with Store.open(job.config.database) as store:
        return {each.comparison.id: each for each in store.comparisons()}


def add(job, labels):
    with Store.open(job.config.database) as store:
        store.add(labels)


def test_examples_are_what_people_prefer_in_the_train_split(study):
    job = study(demonstrations={})
    train = {item for item, split in splits(job).items() if split == "train"}
    found = guidance.examples_of(job)
    assert 0 < len(train) < MANY
    assert {example.comparison for example in found} == train
    known = texts(job)
    for example in found:
        of = known[example.comparison]
        assert (example.better, example.worse) == (of.response_a.text, of.response_b.text)


def test_examples_need_a_clear_majority_of_people_and_judges_do_not_count(study):
    job = study(demonstrations={"majority": 0.75})
    first, second, third, *_ = sorted(item for item, split in splits(job).items() if split == "train")
    changed = [
        *(Label.of(first, who.id, choice="b", supersedes=_id(job, first, who)) for who in PEOPLE[:2]),
        *(Label.of(second, who.id, choice="b", supersedes=_id(job, second, who)) for who in PEOPLE[:3]),
        Label.of(third, OTHER.id, choice="b"),
    ]
    add(job, changed)
    found = {example.comparison: example for example in guidance.examples_of(job)}
    assert first not in found
    assert found[second].better == texts(job)[second].response_b.text
    assert found[third].better == texts(job)[third].response_a.text


def _id(job, item, who):
    with Store.open(job.config.database) as store:
        return next(label.id for label in store.labels() if (label.comparison_id, label.annotator_id) == (item, who.id))


def test_without_demonstrations_nothing_is_read(study):
    assert guidance.examples_of(study()) == []
    assert set(guidance.inputs(study())) == {"rubric"}


def test_a_train_label_changes_the_stage_and_a_test_label_does_not(study):
    job = study(demonstrations={})
    before, placed = guidance.inputs(job), splits(job)
    held_out = next(item for item, split in placed.items() if split == "test")
    add(job, [Label.of(held_out, who.id, choice="b", supersedes=_id(job, held_out, who)) for who in PEOPLE])
    assert guidance.inputs(job) == before
    train = next(item for item, split in placed.items() if split == "train")
    add(job, [Label.of(train, who.id, choice="b", supersedes=_id(job, train, who)) for who in PEOPLE])
    assert guidance.inputs(job) != before


def test_the_judge_stage_shows_examples_and_its_annotator_says_so(study, tmp_path):
    job = study(demonstrations={"count": 2})
    summary = JUDGE.work(job, job.folder("judge"))
    assert summary["labels ok"] == 2 * MANY
    with Store.open(job.config.database) as store:
        judge = next(each for each in store.annotators().values() if each.model == "fake")
    told = judge.settings["demonstrations"]
    assert (told["count"], told["by"]) == (2, "tfidf")
    assert told["examples"] == len(guidance.examples_of(job))


def test_a_judge_of_other_texts_learns_from_the_jobs_own_labels(study, tmp_path):
    job = study(demonstrations={})
    inner = Job(job.config.model_copy(update={"db": str(tmp_path / "other.db")}), taught_by=job.config.database)
    assert guidance.examples_of(inner) == guidance.examples_of(job)


def test_no_human_label_is_one_clear_error(tmp_path, add_comparisons):
    config = {"workspace": str(tmp_path), "judge": {"backend": "fake", "demonstrations": {}}}
    job = Job(JobConfig.model_validate(config))
    with Store.open(job.config.database) as store:
        add_comparisons(store, 3)
    with pytest.raises(DataError, match="people decided no comparison clearly"):
        JUDGE.work(job, job.folder("judge"))


@pytest.fixture
def config(study, tmp_path):
    """A config file of the study, whose judge has notes."""
    path = tmp_path / "job.yaml"
    notes = tmp_path / "deep" / "notes.yaml"
    job = study(notes=str(notes))
    data = job.config.model_dump(mode="json", by_alias=True, exclude_none=True)
    path.write_text(yaml.safe_dump(data))
    return path, notes, job


def test_notes_begin_with_an_empty_file_and_then_come_from_where_the_judge_was_wrong(config, rewardkit):
    path, notes, job = config
    begun = rewardkit("notes", path)
    assert begun.code == 0 and "rewardkit judge CONFIG" in begun.out
    assert yaml.safe_load(notes.read_text()) == {"schema_version": 1, "version": 0, "notes": []}
    assert rewardkit("judge", path).code == 0
    dry = json.loads(rewardkit("notes", path, "--dry-run", "--json").out)
    wrong = dry["on which the judge was wrong"]
    train = [item for item, split in splits(job).items() if split == "train"]
    assert dry["comparisons with labels of the judge and a clear majority of people"] == len(train)
    # All people prefer A, and the judge says what a hash says.
    assert wrong == len(_against(job, train)) > 0
    assert yaml.safe_load(notes.read_text())["version"] == 0
    few = json.loads(rewardkit("notes", path, "--most", "2", "--json").out)
    assert (few["looked at"], few["requests"]) == (2, 1)


def _against(job, train):
    judge = open_judges(job.config.judge).pairs.annotator.id
    said = {}
    with Store.open(job.config.database) as store:
        for label in store.labels():
            if label.annotator_id == judge and label.comparison_id in train:
                said.setdefault(label.comparison_id, []).append(label.p_a)
    # Of two orders the mean counts; in log odds, which has the same sign as p(ab) + p(ba) - 1.
    return [item for item, shares in said.items() if sum(shares) < 1]


def test_a_person_approves_by_name_and_the_judge_is_another_annotator(config, rewardkit):
    path, notes, job = config
    notes.parent.mkdir()
    notes.write_text("notes:\n- {id: abc123, text: Look for exact words.}\n- {id: abd, text: Mind the end.}\n")
    before = open_judges(job.config.judge).pairs
    done = rewardkit("notes", path, "--approve", "abc", "--by", "Ana", "--json")
    told = json.loads(done.out)
    assert told["approved"] == {"abc123": "Look for exact words."}
    assert (told["notes approved"], told["notes proposed"]) == (1, 1)
    after = open_judges(job.config.judge).pairs
    assert after.rubric.description.endswith("- Look for exact words.")
    assert after.annotator.id != before.annotator.id
    assert rewardkit("notes", path, "--reject", "abd", "--by", "Ben").code == 0
    assert [note["by"] for note in yaml.safe_load(notes.read_text())["notes"]] == ["Ana", "Ben"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--approve", "abc"), "a decision is somebody's"),
        (("--by", "Ana"), "it counts only for a decision"),
        (("--approve", "a", "--reject", "b", "--by", "Ana"), "exclude each other"),
        (("--approve", "abc", "--by", "Ana"), "the file of notes does not exist"),
        (("--set", "judge.notes=null"), "the config names no file of notes"),
        (("--set", "judge=null"), "no section 'judge'"),
        (("--set", "judge.notes=."), "cannot be read"),
    ],
)
def test_wrong_commands_are_one_clear_error(config, rewardkit, options, message):
    ended = rewardkit("notes", config[0], *options)
    assert ended.code == 2
    assert message in ended.err and "Traceback" not in ended.err


def test_a_judge_does_not_begin_without_its_notes(config, rewardkit):
    ended = rewardkit("judge", config[0])
    assert (ended.code, "rewardkit notes CONFIG begins one" in ended.err) == (2, True)


def test_what_may_cost_too_much_is_not_asked(study, tmp_path):
    server = {"url": "http://127.0.0.1:9/v1", "key_variable": None, "price_in": 1000.0, "price_out": 1000.0}
    judge = {"backend": "openai", "model": "m", "server": server, "max_cost": 0.01, "notes": str(tmp_path / "n.yaml")}
    job = study(**judge)
    who = open_judges(job.config.judge.model_copy(update={"notes": None})).pairs.annotator
    add(job, [who, *(Label.of(item, who.id, choice="b", p_a=0.1, order_shown="ab") for item in splits(job))])
    planned = guidance.propose(job.config, dry_run=True)
    assert planned["cost at most about"] > 0.01
    with pytest.raises(ConfigError, match="judge.max_cost is 0.01"):
        guidance.propose(job.config)
    # What the judge's labels and what became of none have cost counts.
    most = planned["cost at most about"] + 1.0
    with closing(AnswerCache(job.config.workspace / FILE)) as cache:
        cache.pay("a question", payer("m", server["url"]), 1.5)
    enough = job.config.model_copy(update={"judge": job.config.judge.model_copy(update={"max_cost": most})})
    with pytest.raises(ConfigError, match=r"1.50 are spent, and judge.max_cost is"):
        guidance.propose(enough)
    assert not (tmp_path / "n.yaml").exists()


def test_each_judge_of_a_panel_is_looked_at(study, tmp_path):
    panel = [{"name": "strict", "persona": "You are strict."}, {"name": "mild", "persona": "You are mild."}]
    job = study(panel=panel, notes=str(tmp_path / "n.yaml"))
    found = guidance.propose(job.config, dry_run=True)
    assert set(found) == {"strict", "mild"}
    assert {each["file"] for each in found.values()} == {str(tmp_path / "n.yaml")}


@pytest.fixture
def panel(study, tmp_path):
    """A panel whose judges have notes of their own, but for one that has none; the last one's are not begun."""
    words = {"strict": "{id: abc1, text: Be strict.}, {id: both, text: Look again.}", "mild": "{id: abd2, text: Mild.}"}
    judges = [{"name": name, "notes": str(tmp_path / f"{name}.yaml")} for name in ("strict", "mild", "late")]
    for judge in judges:
        judge["persona"] = f"You are {judge['name']}."
        if judge["name"] in words:
            Path(judge["notes"]).write_text(f"notes: [{words[judge['name']]}]\n")
    return study(panel=[*judges, {"name": "bare", "persona": "You have no notes."}]), tmp_path


def noted(path):
    return {note["id"]: note.get("status", "proposed") for note in yaml.safe_load(path.read_text())["notes"]}


def decided(job, note, status="approved"):
    return guidance.decide(job.config, guidance.Chosen(note, status, "Ana"))


def test_a_note_of_any_judge_of_a_panel_is_decided_where_it_stands(panel):
    job, folder = panel
    before = (folder / "strict.yaml").read_bytes()
    told = decided(job, "abd")
    assert (told["file"], told["approved"]) == (str(folder / "mild.yaml"), {"abd2": "Mild."})
    assert noted(folder / "mild.yaml") == {"abd2": "approved"}
    assert (folder / "strict.yaml").read_bytes() == before
    assert not (folder / "late.yaml").exists()


def test_a_note_that_several_judges_have_is_decided_for_all_of_them(panel):
    job, folder = panel
    (folder / "mild.yaml").write_text("notes: [{id: abd2, text: Mild.}, {id: both, text: Look again.}]\n")
    told = decided(job, "bo", "rejected")
    assert set(told) == {str(folder / "strict.yaml"), str(folder / "mild.yaml")}
    assert noted(folder / "strict.yaml") == {"abc1": "proposed", "both": "rejected"}
    assert noted(folder / "mild.yaml") == {"abd2": "proposed", "both": "rejected"}


@pytest.mark.parametrize(("note", "message"), [("ab", "several notes begin with 'ab'"), ("x", "no note has an id")])
def test_what_is_meant_is_clear_among_the_notes_of_all_judges(panel, note, message):
    job, folder = panel
    with pytest.raises(ConfigError, match=message):
        decided(job, note)
    assert set(noted(folder / "strict.yaml").values()) == {"proposed"}


def test_a_panel_without_any_notes_is_one_clear_error(study, tmp_path):
    bare = [{"name": name, "persona": f"You are {name}."} for name in ("strict", "mild")]
    with pytest.raises(ConfigError, match="the config names no file of notes"):
        decided(study(panel=bare), "abc")
    with pytest.raises(ConfigError, match="the file of notes does not exist"):
        decided(study(panel=bare, notes=str(tmp_path / "n.yaml")), "abc")


def test_who_was_interrupted_does_not_pay_for_the_same_answers_again(study, tmp_path, server, monkeypatch):
    server.reset()
    judge = {"backend": "openai", "model": "m", "server": {"url": server.url, "key_variable": None}}
    job = study(**judge, notes=str(tmp_path / "n.yaml"))
    who = open_judges(job.config.judge.model_copy(update={"notes": None})).pairs.annotator
    add(job, [who, *(Label.of(item, who.id, choice="b", p_a=0.1, order_shown="ab") for item in splits(job))])
    kept = job.config.workspace / "judge-cache.db"
    planned = guidance.propose(job.config, dry_run=True)
    assert planned["requests"] > 1 and not kept.exists()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(guidance, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            guidance.propose(job.config)
    assert len(server.asked) == planned["requests"] and not (tmp_path / "n.yaml").exists()
    told = guidance.propose(job.config)
    assert len(server.asked) == planned["requests"] == told["replies without a note"]
    assert (tmp_path / "n.yaml").exists()
