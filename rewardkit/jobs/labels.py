"""The stages that fill the store: import, simulate, judge."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rewardkit import runs
from rewardkit.config import ImportConfig
from rewardkit.errors import DataError
from rewardkit.jobs.costs import JUDGING, Work
from rewardkit.jobs.stages import Job, Stage, Summary, given, model_revision
from rewardkit.paths import looked_in
from rewardkit.progress import Advance, log, progress
from rewardkit.store.exporting import export
from rewardkit.store.importing import ImportSummary, import_files
from rewardkit.store.importing_detect import plan_import
from rewardkit.store.importing_rejects import check_place
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label, Prompt, Rating, Record, Response

JUDGED_AT_A_TIME = 32
LOCAL = "transformers"


@dataclass(frozen=True)
class ResponseTexts:
    """A response with its prompt."""

    response: Response
    prompt: Prompt


def import_into(database: str, config: ImportConfig, rejects: Path) -> ImportSummary:
    """Read files into a database (`rewardkit import`).

    Raises:
        DataError: A file is missing or of no known format; nothing has been written.
    """
    for file in config.files:
        if not Path(file).exists():
            raise DataError("no such file or folder", where=file, fix=f"check the path{looked_in(file)}")
    # All of this is refused before a database is made.
    plans = plan_import(config.files, config.source, config.map)
    runs.make_folder(rejects.parent)
    check_place(rejects, [plan.path for plan in plans])
    with Store.open(database) as store:
        return import_files(store, config.files, config, rejects=rejects)


def export_from(database: str, to: Path, form: str) -> Summary:
    """Write a database's records to a file (`rewardkit export`).

    Raises:
        ConfigError: There is no such format.
        StoreError: The database is missing or foreign.
        OutputError: The file cannot be written, or is the database.
    """
    with Store.open(database, create=False) as store:
        return vars(export(store, to, form))


def summarise(summary: ImportSummary) -> Summary:
    """Return an import's counts as plain values."""
    return {
        "added": dict(summary.added),
        "already there or given twice": _again(summary),
        "rejected": summary.rejected,
        "rejected most often because": summary.reason or None,
        "rejects": str(summary.rejects) if summary.rejects else None,
        "responses without another to compare": summary.alone or None,
        "seconds": round(summary.seconds, 2),
    }


def _again(summary: ImportSummary) -> dict[str, int]:
    """Count what rows say that was there: labels and ratings, else comparisons, else responses.

    That rows share a prompt, a response or a comparison is how labels come, and no row of them is lost.
    """
    for said in (("labels", "ratings"), ("comparisons",), ("responses",)):
        if any(kind in counts for kind in said for counts in (summary.added, summary.known)):
            return {kind: count for kind in said if (count := summary.known.get(kind))}
    return {}


def _import(job: Job, folder: runs.StageFolder) -> Summary:
    config = given(job.config.import_)
    result = summarise(import_into(job.config.database, config, folder.path / "rejects.jsonl"))
    if result["rejected"]:
        reason = result["rejected most often because"]
        log(f"import: {result['rejected']} rows rejected, most often because: {reason}; see {result['rejects']}")
    return result


def _import_inputs_exist(job: Job) -> None:
    for file in given(job.config.import_).files:
        if not Path(file).exists():
            fix = f"check the path, or import.files{looked_in(file)}"
            raise DataError("no such file or folder", where=file, fix=fix)


def _import_inputs(job: Job) -> dict[str, str]:
    _import_inputs_exist(job)
    config = given(job.config.import_)
    return {file: runs.file_hash(Path(file)) for file in config.files}


def _import_size(job: Job) -> str:
    _import_inputs_exist(job)
    config = given(job.config.import_)
    size = sum(f.stat().st_size for name in config.files for f in [Path(name), *Path(name).rglob("*")] if f.is_file())
    return f"{len(config.files)} files, {size / 1e6:.1f} MB"


def _simulate(job: Job, folder: runs.StageFolder) -> Summary:
    from rewardkit.simulation.annotators import form_comparisons, simulate_labels

    config = given(job.config.simulate)
    with Store.open(job.config.database, create=False) as store:
        comparisons = form_comparisons(
            _by_prompt(store), config.level, config.min_level_difference, source=job.config.name
        )
        formed = store.add(comparisons)
        labels = store.add(simulate_labels(store.comparisons(), config, job.config.seed))
    return {"comparisons": formed.added.get("comparisons", 0), "labels": labels.added.get("labels", 0)}


def _by_prompt(store: Store) -> dict[str, list[Response]]:
    found: dict[str, list[Response]] = defaultdict(list)
    for response in store.responses():
        found[response.prompt_id].append(response)
    return found


def _simulate_inputs(job: Job) -> dict[str, str]:
    return _store_digest(job, "prompts", "responses")


def _simulate_size(job: Job) -> str:
    config = given(job.config.simulate)
    return f"{len(config.annotators)} simulated annotators, {config.labels_per_comparison} labels a comparison"


def _judge(job: Job, folder: runs.StageFolder) -> Summary:
    from rewardkit.judge import estimating, judges, running

    config = given(job.config.judge)
    opened = judges.open_judges(config)
    counts: Counter[str] = Counter()
    with Store.open(job.config.database, create=False) as store:
        pairs = opened.pairs
        done = store.labelled(pairs.annotator.id)
        already = {(item, order or "ab", repeat) for item, order, repeat in done}
        estimate = estimating.estimate_comparisons(store.comparisons(), pairs, config, already=already)
        log(f"judge: {estimate}, {len(already)} labels are there already")
        payers = [each.annotator.id for each in (opened.pairs, opened.ratings) if each]
        total, spent = store.counts().get("comparisons", 0), sum(map(store.spent, payers))
        stream = running.judge_comparisons(
            store.comparisons(), pairs, config, already=already, total=total, spent=spent
        )
        _keep(store, stream, "judge", estimate.records, counts)
        if opened.ratings is not None:
            rated = store.rated(opened.ratings.annotator.id)
            estimate = estimating.estimate_ratings(_texts(store), opened.ratings, config, already=rated)
            log(f"judge: ratings: {estimate}, {len(rated)} are there already")
            spent = sum(map(store.spent, payers))
            ratings = running.judge_ratings(_texts(store), opened.ratings, config, already=rated, spent=spent)
            _keep(store, ratings, "judge: ratings", estimate.records + estimate.checked, counts)
    return dict(counts)


def _texts(store: Store) -> Iterator[ResponseTexts]:
    prompts = {prompt.id: prompt for prompt in store.prompts()}
    for response in store.responses():
        yield ResponseTexts(response, prompts[response.prompt_id])


def _keep(store: Store, records: Iterator[Any], title: str, total: int, counts: Counter[str]) -> None:
    """Commit records as they come, so that an interruption loses none that was made."""
    batch: list[Record] = []
    with progress(title, total) as advance:
        try:
            for record in records:
                batch.append(record)
                if len(batch) >= JUDGED_AT_A_TIME:
                    _commit(store, batch, counts, advance)
                    batch = []
        finally:
            # A judge that could not even be loaded leaves nothing, not even its name.
            if any(isinstance(record, Label | Rating) for record in batch):
                _commit(store, batch, counts, advance)


def _commit(store: Store, batch: list[Record], counts: Counter[str], advance: Advance) -> None:
    store.add(batch)
    answers = [record for record in batch if isinstance(record, Label | Rating)]
    counts.update(f"{type(answer).__name__.lower()}s {answer.status}" for answer in answers)
    counts["annotators"] += sum(isinstance(record, Annotator) for record in batch)
    advance(len(answers))


def _judge_inputs(job: Job) -> dict[str, str]:
    from rewardkit.rubric import load_rubric

    config = given(job.config.judge)
    found = {
        "rubric": load_rubric(config.rubric).content_hash,
        **_store_digest(job, "prompts", "responses", "comparisons"),
    }
    return {**found, **model_revision(config.model, "judge")} if config.backend == LOCAL else found


def _judge_size(job: Job) -> str:
    config = given(job.config.judge)
    with Store.open(job.config.database, create=False) as store:
        counts = store.counts()
    comparisons, responses = counts.get("comparisons", 0), counts.get("responses", 0)
    asked = min(comparisons, config.limit or comparisons)
    rated = min(responses, config.limit or responses) if config.rating_protocol else 0
    ratings = f", and {rated} of {responses} responses rated" if rated else ""
    # Not every backend has a model: the default's name says nothing of one that has none.
    named = config.backend == LOCAL or "model" in config.model_fields_set
    who = config.model if named else f"the backend {config.backend}"
    return f"{asked} of {comparisons} comparisons in {len(config.orders)} orders{ratings}, with {who}"


def _judge_work(job: Job) -> Work | None:
    from rewardkit.rubric import load_rubric

    config = given(job.config.judge)
    if config.backend != LOCAL:
        return None
    rubric = load_rubric(config.rubric)
    instruction = len(rubric.model_dump_json())
    with Store.open(job.config.database, create=False) as store:
        prompts = {prompt.id: sum(len(m.content) for m in prompt.messages) for prompt in store.prompts()}
        asked = [
            instruction + prompts[texts.prompt.id] + len(texts.response_a.text) + len(texts.response_b.text)
            for texts in islice(store.comparisons(), config.limit)
        ]
        rated = [instruction + prompts[r.prompt_id] + len(r.text) for r in islice(store.responses(), config.limit)]
    ratings = len(rubric.criteria) * sum(rated) if config.rating_protocol else 0
    return Work(config.model, config.dtype, read=len(config.orders) * sum(asked) + ratings, share=JUDGING)


def _store_digest(job: Job, *kinds: str) -> dict[str, str]:
    with Store.open(job.config.database, create=False) as store:
        return {"store: " + " ".join(kinds): store.digest(*kinds)}


IMPORT = Stage(
    "import", "import_", ("store", "types", "jobs/labels"), _import_inputs, _import, _import_size, fills_store=True
)
SIMULATE = Stage(
    "simulate",
    "simulate",
    ("simulation", "store", "types", "jobs/labels"),
    _simulate_inputs,
    _simulate,
    _simulate_size,
    fills_store=True,
)
JUDGE = Stage(
    "judge",
    "judge",
    ("judge", "rubric", "checks", "chat", "batching", "hardware", "models", "store", "types", "jobs/labels"),
    _judge_inputs,
    _judge,
    _judge_size,
    _judge_work,
    fills_store=True,
)
