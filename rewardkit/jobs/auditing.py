"""The stage `audit`: every judge in the database against the human labels, on one page. It needs no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rewardkit import runs
from rewardkit.audit.cases import PairCase, RatingCase
from rewardkit.audit.gathering import JudgeRecords, People, gather_pairs, gather_ratings
from rewardkit.audit.judges import JudgeAudit, audit_pairs, audit_ratings, disagreements
from rewardkit.audit.results import Finding, Level, missing, rate
from rewardkit.audit.stress import StressCase, stress_tests
from rewardkit.audit_config import AuditConfig
from rewardkit.errors import ConfigError, DataError
from rewardkit.families import family_of, matches
from rewardkit.jobs.stages import Job, Stage, Summary, given
from rewardkit.jobs.stressing import stress_digest, stressed
from rewardkit.report.audit_data import AuditData
from rewardkit.report.audit_page import NUMBERS_FILE, write_audit
from rewardkit.store.store import Store
from rewardkit.types import Annotator

KINDS = ("prompts", "responses", "comparisons", "annotators", "labels", "ratings")


def audited(job: Job, told: Callable[[int, int, str], None] = lambda *_: None) -> AuditData:
    """Measure the judges that the config asks for.

    Args:
        job: The job.
        told: Called before each judge: how many are measured, how many there are, and its name.

    Raises:
        ConfigError: A name in `audit.judges` is that of no judge.
        DataError: The database has no judge's labels or ratings, or a label says nothing.
    """
    config, stress = given(job.config.audit), stressed(job)
    with Store.open(job.config.database, create=False) as store:
        people = People(store.annotators(), config)
        known = {**stress.judges, **people.annotators}
        records = {judge.id: JudgeRecords() for judge in chosen(known.values(), config)}
        gather_pairs(store.comparisons(), store.labels(superseded=True), people, records)
        gather_ratings(store.responses(), store.records("ratings"), people, records)
    said = {who: found for who, found in records.items() if found.asked or who in stress.judges}
    if not said:
        raise DataError("no judge has labelled or rated anything", where="audit", fix="run rewardkit judge first")
    names = shown_names([known[judge_id] for judge_id in said])
    judges: list[JudgeAudit] = []
    for judge_id, name in names.items():
        told(len(judges), len(names), name)
        judges.append(_audit(name, known[judge_id], said[judge_id], job, stress.cases.get(judge_id, {})))
    return AuditData(
        title=job.config.name,
        created=runs.now(),
        simulated=_simulated(people, said),
        unit="prompt" if config.by == "prompt" else "text group",
        confidence=config.confidence,
        judges=tuple(judges),
        people=_groups(said),
        settings=job.config.resolved(),
        versions=runs.versions(),
    )


def chosen(annotators: Iterable[Annotator], config: AuditConfig) -> list[Annotator]:
    """Return the judges that a config names, or all.

    Raises:
        ConfigError: A name is that of no judge.
    """
    judges = [annotator for annotator in annotators if annotator.kind == "judge"]
    for wanted in config.judges:
        if not any(_is(judge, (wanted,)) for judge in judges):
            known = ", ".join(sorted({judge.name for judge in judges})) or "no judge at all"
            raise ConfigError(
                f"no judge has the name or model {wanted!r}",
                where="audit.judges",
                expected=f"one of those in the database: {known}",
            )
    return [judge for judge in judges if not config.judges or _is(judge, config.judges)]


def shown_names(judges: Iterable[Annotator]) -> dict[str, str]:
    """Return names by id, in order of names: two settings of one judge have one name, and are told apart."""
    found = sorted(judges, key=lambda judge: (judge.name, judge.id))
    often = Counter(judge.name for judge in found)
    return {judge.id: judge.name if often[judge.name] == 1 else f"{judge.name} ({judge.id[:8]})" for judge in found}


def _is(judge: Annotator, wanted: Iterable[str]) -> bool:
    return matches(judge.name, wanted) or (judge.model is not None and matches(judge.model, wanted))


def _audit(
    name: str, judge: Annotator, records: JudgeRecords, job: Job, stress: Mapping[str, Sequence[StressCase]]
) -> JudgeAudit:
    config = given(job.config.audit)
    seed = job.config.seed if config.seed is None else config.seed
    level = Level(config.confidence, config.resamples, seed)
    family = family_of(judge.model, config.families)
    pairs = audit_pairs(records.pairs, family, level) if records.pairs else None
    ratings = audit_ratings(records.ratings, level)
    units, spoke = [unit for unit, _ in records.asked], [float(ok) for _, ok in records.asked]
    answered = rate(spoke, units, level) if units else missing("nothing was asked", 0)
    opposed, tests = disagreements(pairs, ratings), stress_tests(stress, level)
    return JudgeAudit(name, judge.model or "", family, answered, pairs, ratings, opposed, tests)


def _groups(said: Mapping[str, JudgeRecords]) -> dict[str, int]:
    """Count the people beside whom any judge stands, by rater group."""
    cases: list[PairCase | RatingCase] = []
    for records in said.values():
        cases += records.pairs
        cases += chain.from_iterable(records.ratings.values())
    people = {(vote.group, vote.annotator) for case in cases for vote in case.votes}
    return dict(sorted(Counter(group for group, _ in people).items()))


def _simulated(people: People, said: Mapping[str, JudgeRecords]) -> str:
    """Say in plain words what on the page was said by nobody."""
    drawn = [who for who in people.annotators.values() if who.simulated]
    humans = sum(who.kind == "human" for who in drawn)
    judges = [who.name for who in drawn if who.id in said]
    found = f"{humans} of the human annotators in the database are simulated; no person was asked. " if humans else ""
    return found + (f"Simulated judges: {', '.join(sorted(judges))}." if judges else "")


def _work(job: Job, folder: runs.StageFolder) -> Summary:
    data = audited(job)
    page = write_audit(data, folder.path, given(job.config.audit).report)
    return {"report": str(page), **{f"judge {judge.name}": _told(judge) for judge in data.judges}}


def _told(judge: JudgeAudit) -> dict[str, Any]:
    """Return what is worth telling of a judge at once: one number with its interval and n for each thing it does."""
    found = {"answers that say something": judge.answered}
    if judge.pairs is not None:
        found["accuracy"] = judge.pairs.overall.accuracy
    found |= {f"rank correlation on {rating.criterion}": rating.ranks[0].judge for rating in judge.ratings}
    return {what: _brief(finding) for what, finding in found.items()}


def _brief(finding: Finding) -> dict[str, Any]:
    known = finding.to_json()["estimate"]
    return {name: known[name] for name in ("value", "low", "high", "n")} if known else {"note": finding.note}


def _inputs(job: Job) -> dict[str, str]:
    with Store.open(job.config.database, create=False) as store:
        return {"store": store.digest(*KINDS), **stress_digest(job)}


def _size(job: Job) -> str:
    config = given(job.config.audit)
    with Store.open(job.config.database, create=False) as store:
        counts, judges = store.counts(), chosen({**stressed(job).judges, **store.annotators()}.values(), config)
    labels, ratings = counts.get("labels", 0), counts.get("ratings", 0)
    return f"{len(judges)} judges, among {labels} labels and {ratings} ratings"


def _outputs(job: Job) -> tuple[Path, ...]:
    folder = job.folder("audit").path
    return folder / given(job.config.audit).report, folder / NUMBERS_FILE


AUDIT = Stage(
    "audit",
    "audit",
    (
        "audit",
        "aggregation",
        "calibration",
        "corruptions",
        "families",
        "report",
        "store",
        "types",
        "jobs/auditing",
        "jobs/stressing",
    ),
    _inputs,
    _work,
    _size,
    outputs=_outputs,
)
