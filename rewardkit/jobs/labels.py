"""The stages that fill the store: import, simulate, judge."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from rewardkit import runs
from rewardkit.config import ImportConfig
from rewardkit.errors import DataError
from rewardkit.jobs import panels
from rewardkit.jobs.stages import Job, Stage, Summary, given
from rewardkit.paths import looked_in
from rewardkit.progress import log
from rewardkit.store.exporting import export
from rewardkit.store.importing import ImportSummary, import_files
from rewardkit.store.importing_detect import plan_import
from rewardkit.store.importing_rejects import check_place
from rewardkit.store.store import Store
from rewardkit.types import Response


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
    with Store.open(job.config.database, create=False) as store:
        return {"store: prompts responses": store.digest("prompts", "responses")}


def _simulate_size(job: Job) -> str:
    config = given(job.config.simulate)
    return f"{len(config.annotators)} simulated annotators, {config.labels_per_comparison} labels a comparison"


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
    (
        *(
            "judge",
            "rubric",
            "checks",
            "chat",
            "batching",
            "packing",
            "passages",
            "attending",
            "products",
            "hardware",
            "models",
            "store",
            "types",
            "aggregation",
        ),
        *(
            "jobs/judging",
            "jobs/judging_ahead",
            "jobs/judging_groups",
            "jobs/keeping",
            "jobs/paying",
            "jobs/cluster",
            "jobs/panels",
            "families",
            "storable",
            "jobs/guidance",
        ),
    ),
    panels.inputs,
    panels.judge,
    panels.size,
    panels.work_ahead,
    bill=panels.bill,
    fills_store=True,
)
