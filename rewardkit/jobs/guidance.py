"""What people teach a judge: examples of what they decided, and notes on where it was wrong.

Here the store, the splits and the judge meet. Whatever a judge is shown comes from the train split, by the job's own
`aggregate.split` and seed: labels that are calibrated or tested on teach nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rewardkit import runs
from rewardkit.aggregation.splits import place
from rewardkit.aggregation.votes import Tally, count_votes
from rewardkit.config import JobConfig, SplitConfig
from rewardkit.errors import ConfigError
from rewardkit.jobs import paying
from rewardkit.jobs.stages import Job, Summary, given
from rewardkit.store.rows import ComparisonTexts
from rewardkit.store.store import Store
from rewardkit.types import Label, content_id

if TYPE_CHECKING:
    from rewardkit.judge.cache import AnswerCache
    from rewardkit.judge.contract import Backend, Request
    from rewardkit.judge.demonstrations import Example
    from rewardkit.judge.distilling import Case
    from rewardkit.judge.notes import Decision, Note, Notes
    from rewardkit.judge_config import JudgeConfig

MAJORITY = 0.75
"""Share of people who must agree for a judge to be wrong."""
MOST_CASES = 24


def examples_of(job: Job) -> list[Example]:
    """Return what people decided clearly in the train split; nothing where the judge is shown no demonstrations."""
    from rewardkit.judge.demonstrations import Example

    config = given(job.config.judge).demonstrations
    if config is None:
        return []
    found = []
    with Store.open(job.labelled_in, create=False) as store:
        for texts, tally in _train(job, store, judge=None):
            p_a = tally.human_p_a
            if p_a is not None and max(p_a, 1 - p_a) >= config.majority:
                both = [texts.response_a.text, texts.response_b.text]
                better, worse = both if p_a > 0.5 else reversed(both)
                found.append(Example(texts.comparison.id, texts.prompt, better, worse))
    return found


def inputs(job: Job) -> dict[str, str]:
    """Return, as inputs of a stage, what people teach the job's judge."""
    from rewardkit.judge.notes import guided_rubric

    config = given(job.config.judge)
    found = {"rubric": guided_rubric(config).content_hash}
    if config.demonstrations is not None:
        pool = sorted(f"{example.comparison} {content_id('text', example.better)}" for example in examples_of(job))
        found["demonstrations"] = content_id("demonstrations", *pool)
    return found


def propose(config: JobConfig, *, most: int = MOST_CASES, dry_run: bool = False) -> Summary:
    """Distil notes from where the job's judge was wrong, and write them beside those that are there.

    Answers that are bought are kept with the judge's own: whoever was interrupted does not pay for them again.

    Args:
        config: The job's config, whose section `judge` names the file. Of a panel each judge is looked at in turn.
        most: Comparisons on which the judge was wrong that are looked at; those of which it was surest come first.
        dry_run: Only say how many there are.

    Raises:
        ConfigError: The config names no file of notes, it is none, or the backend gives no replies in words.
        OutputError: The file cannot be written.
    """
    from rewardkit.judge.cache import FILE, AnswerCache

    found, answers = {}, config.workspace / FILE
    with closing(AnswerCache(answers)) as cache:
        for judged in _judges(config):
            job = Job(config.model_copy(update={"judge": judged}))
            # To look for an answer makes the file.
            plan = _planned(job, judged, most, None if dry_run and not answers.exists() else cache)
            found[judged.name] = plan.size() if dry_run else _proposed(plan, judged)
    # A judge that is alone has no name.
    return found if len(found) > 1 else next(iter(found.values()))


@dataclass(frozen=True)
class _Plan:
    """What a judge's model would be asked, to find out what the judge overlooked."""

    file: Path
    notes: Notes
    backend: Backend
    labelled: int
    wrong: int
    cases: Sequence[Case]
    asked: Sequence[Request]
    cost: float
    spent: float

    def size(self) -> Summary:
        """Say how much it is."""
        return {
            "file": str(self.file),
            "comparisons with labels of the judge and a clear majority of people": self.labelled,
            "on which the judge was wrong": self.wrong,
            "looked at": len(self.cases),
            "requests": len(self.asked),
            "cost at most about": self.cost or None,
        }


def _planned(job: Job, judged: JudgeConfig, most: int, cache: AnswerCache | None) -> _Plan:
    from rewardkit.judge.distilling import questions
    from rewardkit.judge.estimating import price_of
    from rewardkit.judge.judges import open_judges

    path = _file(judged)
    notes = _begun(path)
    # A file that is not there yet has no approved note either.
    known = judged if path.exists() else judged.model_copy(update={"notes": None})
    opened = open_judges(known, cache, examples=examples_of(job))
    judge = opened.pairs
    with Store.open(job.config.database, create=False) as store:
        spent = paying.spent(store, judge, opened.annotators)
    labelled, wrong = _wrong(job, judge.annotator.id)
    asked = questions(judge.rubric, notes, wrong[:most])
    cost = sum(price_of(judge.backend, request) for request in asked)
    return _Plan(path, notes, judge.backend, labelled, len(wrong), wrong[:most], asked, cost, spent)


def _proposed(plan: _Plan, judged: JudgeConfig) -> Summary:
    """Ask, and write the proposals beside the notes that are there."""
    from rewardkit.judge.budget import Budget
    from rewardkit.judge.contract import Priced
    from rewardkit.judge.distilling import distil

    budget = Budget(judged.max_cost, judged.warn_cost, plan.spent)
    if not budget.reserve(plan.cost):
        before = f", {plan.spent:.2f} are spent" if plan.spent else ""
        what = f"it may cost {plan.cost:.2f}{before}, and judge.max_cost is {judged.max_cost:g}"
        raise ConfigError(what, where="judge", fix="raise judge.max_cost, or look at fewer with --most")
    if not plan.labelled:
        _write(plan.file, plan.notes)
        return {**plan.size(), "next": "rewardkit judge CONFIG: there is no label of this judge yet to learn from"}
    if isinstance(plan.backend, Priced):
        plan.backend.allow = budget.reserve
    distilled = distil(plan.backend, plan.asked, plan.cases, datetime.now(UTC))
    joined = plan.notes.joined(distilled.proposals)
    _write(plan.file, joined)
    failed = {f"failed: {reason}": distilled.failures.count(reason) for reason in dict.fromkeys(distilled.failures)}
    new = [note for note in joined.notes if note.id not in {each.id for each in plan.notes.notes}]
    empty = {"replies without a note": distilled.without or None}
    return {**plan.size(), **failed, **empty, "proposed": _listed(new), **_standing(joined)}


@dataclass(frozen=True)
class Chosen:
    """A person's decision about a note.

    Attributes:
        note: The note's id, or the beginning of it.
        status: What was decided.
        by: Who did.
    """

    note: str
    status: Literal["approved", "rejected"]
    by: str


def chosen(approve: str | None, reject: str | None, by: str | None) -> Chosen | None:
    """Return the decision that a command holds; None where it holds none.

    Raises:
        ConfigError: It holds two of them, or half of one.
    """
    note = approve or reject
    if approve and reject:
        raise ConfigError("the two exclude each other", where="--approve and --reject", fix="leave one out")
    if bool(note) != bool(by and by.strip()):
        what = "a decision is somebody's" if note else "it counts only for a decision"
        raise ConfigError(what, where="--by", expected="--approve ID --by NAME, or --reject ID --by NAME")
    return Chosen(note, "approved" if approve else "rejected", by.strip()) if note and by else None


def decide(config: JobConfig, made: Chosen) -> Summary:
    """Write down what a person decided about a note, in each file of the job's judges that holds it.

    Args:
        config: The job's config, whose section `judge` names the file, or the files of a panel.
        made: The decision.

    Raises:
        ConfigError: There is no such file or note.
        OutputError: The file cannot be written.
    """
    from rewardkit.judge.notes import Decision

    decision = Decision(status=made.status, by=made.by, at=datetime.now(UTC))
    files = _files(config)
    chosen = _chosen(files.values(), made.note, decision)
    found: Summary = {}
    for path, before in files.items():
        if any(note.id == chosen.id for note in before.notes):
            after = before.decided(chosen.id, decision)
            _write(path, after)
            found[str(path)] = {"file": str(path), made.status: _listed([chosen]), **_standing(after)}
    return found if len(found) > 1 else next(iter(found.values()))


def _chosen(files: Iterable[Notes], note: str, decision: Decision) -> Note:
    """Return the one note of all files that is meant; a note of the same words has the same id in each of them."""
    from rewardkit.judge.notes import Notes

    known = Notes(notes=tuple({each.id: each for notes in files for each in notes.notes}.values()))
    (decided,) = set(known.decided(note, decision).notes) - set(known.notes)
    return decided


def _files(config: JobConfig) -> dict[Path, Notes]:
    """Return the files of notes of all judges; of a panel those that were begun, if there is one."""
    from rewardkit.judge.notes import load_notes

    named = list(dict.fromkeys(_file(judged) for judged in _judges(config) if judged.notes is not None))
    named = named or [_file(_judge(config))]
    return {path: load_notes(path) for path in [path for path in named if path.exists()] or named[:1]}


def _train(job: Job, store: Store, judge: str | None) -> Iterator[tuple[ComparisonTexts, Tally]]:
    """Yield the comparisons of the train split with what people, and one judge if it is named, said of them."""
    aggregate = job.config.aggregate
    comparisons, annotators = list(store.comparisons()), store.annotators()
    placed = place(comparisons, aggregate.split if aggregate else SplitConfig(), job.config.seed)
    train = {item for item, placement in placed.items() if placement.split == "train"}
    heard = {each.id for each in annotators.values() if each.kind == "human" or each.id == judge}
    labels: Iterable[Label] = (label for label in store.labels(superseded=True) if label.annotator_id in heard)
    tallies: Mapping[str, Tally] = count_votes(train, labels, annotators.values()).tallies
    for texts in comparisons:
        if (tally := tallies.get(texts.comparison.id)) is not None:
            yield texts, tally


def _wrong(job: Job, judge: str) -> tuple[int, list[Case]]:
    """Return how many comparisons both decided, and those on which the judge was wrong, the surest first."""
    from rewardkit.judge.distilling import Case

    found: list[tuple[float, Case]] = []
    both = 0
    with Store.open(job.labelled_in, create=False) as store:
        for texts, tally in _train(job, store, judge):
            human, judged = tally.human_p_a, tally.judge_p_a
            if human is None or judged is None or max(human, 1 - human) < MAJORITY:
                continue
            both += 1
            if (human - 0.5) * (judged - 0.5) < 0:
                sides = [texts.response_a.text, texts.response_b.text]
                better, worse = sides if human > 0.5 else reversed(sides)
                found.append((abs(judged - 0.5), Case(texts.comparison.id, texts.prompt, better, worse)))
    found.sort(key=lambda each: (-each[0], each[1].comparison))
    return both, [case for _, case in found]


def _judge(config: JobConfig) -> JudgeConfig:
    if config.judge is None:
        raise ConfigError("the config has no section 'judge'", fix="add judge: to it")
    return config.judge


def _judges(config: JobConfig) -> tuple[JudgeConfig, ...]:
    """Return the judges of a panel, or the one that there is."""
    return _judge(config).members()


def _file(judge: JudgeConfig) -> Path:
    if judge.notes is None:
        fix = "set it, for example to configs/notes/NAME.yaml"
        raise ConfigError("the config names no file of notes", where="judge.notes", fix=fix)
    return Path(judge.notes)


def _begun(path: Path) -> Notes:
    from rewardkit.judge.notes import Notes, load_notes

    return load_notes(path) if path.exists() else Notes()


def _write(path: Path, notes: Notes) -> None:
    runs.make_folder(path.parent)
    runs.write_text(path, notes.as_yaml())


def _listed(notes: Iterable[Note]) -> dict[str, str]:
    return {note.id: note.text for note in notes}


def _standing(notes: Notes) -> dict[str, Any]:
    return {f"notes {status}": len(notes.of(status)) for status in ("proposed", "approved", "rejected")}
