"""The stage `aggregate`: labels in the store become soft preferences with their texts, in one file.

From here on nothing needs the store: the file can be carried to another machine and trained on there.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from rewardkit import runs
from rewardkit.errors import DataError
from rewardkit.jobs.stages import Job, Stage, Summary, given
from rewardkit.store.store import Store
from rewardkit.types import PreferenceExample

FILE = "preferences.jsonl"
DIAGNOSTICS = "diagnostics.json"


def read_preferences(path: Path) -> list[PreferenceExample]:
    """Read the file that `aggregate` wrote.

    Raises:
        DataError: A line is not a preference example.
    """
    found = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                found.append(PreferenceExample.model_validate_json(line))
            except ValidationError as error:
                raise DataError(
                    f"not a preference example: {error.errors()[0]['msg']}",
                    where=f"{path}:{number}",
                    fix="run rewardkit aggregate again",
                ) from error
    return found


def write_preferences(path: Path, examples: Iterable[PreferenceExample]) -> int:
    """Write preference examples, one a line; returns how many."""
    count = 0
    with runs.atomic_writer(path) as file:
        for example in examples:
            file.write(example.model_dump_json().encode("utf-8") + b"\n")
            count += 1
    return count


def _aggregate(job: Job, folder: runs.StageFolder) -> Summary:
    from rewardkit.aggregation.aggregators import aggregate, examples, responses_placed
    from rewardkit.aggregation.ratings import rate

    config = given(job.config.aggregate)
    with Store.open(job.config.database, create=False) as store:
        comparisons = list(store.comparisons())
        annotators = store.annotators().values()
        result = aggregate(comparisons, store.labels(superseded=True), annotators, config, job.config.seed)
        rated = rate(store.records("ratings"), annotators, responses_placed(comparisons, result), config.method)
    count = write_preferences(folder.path / FILE, examples(comparisons, result, rated.ratings))
    diagnostics = result.diagnostics.model_copy(update={"ratings": dict(rated.criteria)}).model_dump(mode="json")
    runs.write_json(folder.path / DIAGNOSTICS, diagnostics)
    return {"preferences": count, **diagnostics}


def _inputs(job: Job) -> dict[str, str]:
    kinds = ("prompts", "responses", "comparisons", "annotators", "labels", "ratings")
    with Store.open(job.config.database, create=False) as store:
        return {"store": store.digest(*kinds)}


def _size(job: Job) -> str:
    with Store.open(job.config.database, create=False) as store:
        counts = store.counts()
    return f"{counts.get('labels', 0)} labels of {counts.get('comparisons', 0)} comparisons"


def _outputs(job: Job) -> tuple[Path, ...]:
    folder = job.folder("aggregate").path
    return folder / FILE, folder / DIAGNOSTICS


AGGREGATE = Stage(
    "aggregate",
    "aggregate",
    ("aggregation", "store", "types", "jobs/preferences"),
    _inputs,
    _aggregate,
    _size,
    outputs=_outputs,
)
