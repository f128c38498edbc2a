"""The work of the stage `judge`: comparisons and responses from the store to a judge, what it says into the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rewardkit import runs
from rewardkit.jobs.costs import JUDGING, Work
from rewardkit.jobs.stages import Job, Summary, given, model_revision
from rewardkit.progress import Advance, log, progress
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label, Prompt, Rating, Record, Response

JUDGED_AT_A_TIME = 32
LOCAL = "transformers"


@dataclass(frozen=True)
class ResponseTexts:
    """A response with its prompt."""

    response: Response
    prompt: Prompt


def judge(job: Job, folder: runs.StageFolder) -> Summary:
    """Label and rate what the config's judge has not labelled and rated yet."""
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


def inputs(job: Job) -> dict[str, str]:
    """Return name and hash of all that the judge reads."""
    from rewardkit.rubric import load_rubric

    config = given(job.config.judge)
    found = {
        "rubric": load_rubric(config.rubric).content_hash,
        **_store_digest(job, "prompts", "responses", "comparisons"),
    }
    return {**found, **model_revision(config.model, "judge")} if config.backend == LOCAL else found


def size(job: Job) -> str:
    """Say how much there is to label, without labelling it."""
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


def work_ahead(job: Job) -> Work | None:
    """Return how much text a local model would read; None where no such model is asked."""
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
