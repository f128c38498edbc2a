"""The stage `stress`: a judge reads texts beside changed ones of which the answer is known.

The changed texts and the labels stand in a database of their own in the stage's folder: nothing of them gets among the
labels that a model learns from. `rewardkit audit` shows what the judge made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from pathlib import Path
from random import Random

from rewardkit import runs
from rewardkit.audit.results import Level
from rewardkit.audit.stress import KEY, WRITER, StressCase, StressTest, gather_stress, stress_tests
from rewardkit.audit_config import AuditConfig, StressConfig
from rewardkit.corruptions import CORRUPTIONS, GROUP, corruption_named
from rewardkit.errors import ConfigError, DataError
from rewardkit.jobs.labels import JUDGE
from rewardkit.jobs.stages import Job, Stage, Summary, given
from rewardkit.registry import registered
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Prompt, Record, Response, content_id

DATABASE = "database"


@dataclass(frozen=True)
class Stressed:
    """What came of stress tests.

    Attributes:
        judges: Who was tested, by id.
        cases: What they made of the changed texts, by id of the judge and name of the change.
    """

    judges: Mapping[str, Annotator] = field(default_factory=dict)
    cases: Mapping[str, Mapping[str, Sequence[StressCase]]] = field(default_factory=dict)


def stressed(job: Job) -> Stressed:
    """Return what came of a job's last finished stress tests; nothing where there are none."""
    manifest = job.folder("stress").manifest()
    if manifest is None:
        return Stressed()
    with Store.open(job.folder("stress").path / manifest.summary[DATABASE], create=False) as store:
        by_text = (job.config.audit or AuditConfig()).by == "text"
        cases = gather_stress(store.comparisons(), store.labels(), by_text)
        return Stressed({who: each for who, each in store.annotators().items() if who in cases}, cases)


def stress_digest(job: Job) -> dict[str, str]:
    """Return, as an input, what stress tests there are."""
    manifest = job.folder("stress").manifest()
    return {"stress": manifest.fingerprint} if manifest else {}


def changed_texts(responses: Iterable[Response], config: StressConfig, seed: int) -> Iterator[tuple[Response, Record]]:
    """Yield texts with each changed form of them, as a comparison and the response that was made.

    Args:
        responses: Those whose texts may be changed.
        config: How many, and how.
        seed: Of the choice of texts.
    """
    names = config.kinds or tuple(sorted(registered(GROUP, CORRUPTIONS)))
    # By the hash of what they are: the same ones each time, and none for what it says.
    chosen = nsmallest(config.count, responses, key=lambda each: content_id("stress", str(seed), each.text, each.id))
    for response in chosen:
        for name in names:
            text = corruption_named(name).change(response.text, Random(content_id(name, response.text)))
            if text is not None and text != response.text:
                made = Response.of(response.prompt_id, text, model=f"{WRITER}{name}", edited_from=response.id)
                yield response, made
                yield response, Comparison.of(response.prompt_id, response.id, made.id, metadata={KEY: name})


def _work(job: Job, folder: runs.StageFolder) -> Summary:
    config = given(job.config.stress)
    with Store.open(job.config.database, create=False) as store:
        records = _records(store, config, job.config.seed)
    pairs = [record for record in records if isinstance(record, Comparison)]
    if not pairs:
        raise DataError("no text in the database can be changed", where="stress", fix="import responses first")
    # What was chosen names the file: other texts are other tests, and the labels of these stay.
    chosen = content_id("stress", *sorted(pair.id for pair in pairs))
    place = folder.path / f"stress-{chosen[:8]}.db"
    with Store.open(place) as made:
        made.add(records)
    # How many are asked about is `stress.count`; the judge's own limit is meant for the comparisons in the store.
    judge = given(job.config.judge).model_copy(update={"limit": None})
    inner = Job(job.config.model_copy(update={"db": str(place), "judge": judge}), taught_by=job.config.database)
    told = JUDGE.work(inner, folder)
    return {DATABASE: place.name, **told, **_found(place, job)}


def _records(store: Store, config: StressConfig, seed: int) -> list[Record]:
    prompts: dict[str, Prompt] = {prompt.id: prompt for prompt in store.prompts()}
    found = list(changed_texts(store.responses(), config, seed))
    originals = {original.id: original for original, _ in found}
    needed = {original.prompt_id: prompts[original.prompt_id] for original in originals.values()}
    return [*needed.values(), *originals.values(), *(record for _, record in found)]


def _found(place: Path, job: Job) -> Summary:
    with Store.open(place, create=False) as store:
        judges = store.annotators()
        cases = gather_stress(store.comparisons(), store.labels(), by_text=False)
    level = Level(seed=job.config.seed)
    return {judges[judge].name: _told(stress_tests(found, level)) for judge, found in cases.items()}


def _told(tests: Sequence[StressTest]) -> dict[str, str]:
    found = {}
    for test in tests:
        known = test.unchanged.estimate
        if known:
            shown = f"{known.value:.2f} ({known.low:.2f}–{known.high:.2f}, n = {known.n})"
            found[f"{test.name}: prefers the unchanged text"] = shown
    return found


def _inputs(job: Job) -> dict[str, str]:
    _judge_is_told(job)
    with Store.open(job.config.database, create=False) as store:
        said = content_id("judge", given(job.config.judge).model_dump_json())
        return {"judge": said, "store": store.digest("prompts", "responses"), **JUDGE.inputs(job)}


def _judge_is_told(job: Job) -> None:
    if job.config.judge is None:
        raise ConfigError("stress tests need a judge", where="stress", fix="add judge: to the config")


def _size(job: Job) -> str:
    _judge_is_told(job)
    config = given(job.config.stress)
    kinds = len(config.kinds or registered(GROUP, CORRUPTIONS))
    orders = len(given(job.config.judge).orders)
    return f"{config.count} texts at most, changed in {kinds} ways, each pair shown in {orders} orders"


STRESS = Stage(
    "stress",
    "stress",
    tuple(sorted({*JUDGE.rooms, "audit", "aggregation", "calibration", "corruptions", "jobs/stressing"})),
    _inputs,
    _work,
    _size,
    extra=JUDGE.extra,
)
