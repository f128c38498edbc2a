"""The command line: verbs parse and call jobs, nothing else.

Data goes to stdout, progress and logs to stderr. Exit code 0 success, 1 failure, 2 something that the
user can fix, 130 interrupted (the same command resumes). Jobs are imported inside the verbs, so that
`rewardkit --help` loads nothing heavy.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewardkit import __version__
from rewardkit.errors import ConfigError, RewardkitError
from rewardkit.options import Config, DryRun, Force, Json, Overrides, checked_options, load_job, mapping_of
from rewardkit.printing import print_plan, print_result

if TYPE_CHECKING:
    from rewardkit.config import JobConfig

INTERRUPTED = 130

app = typer.Typer(
    name="rewardkit",
    help="Turns opinions into reward: human and judge labels to a calibrated LoRA reward model.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    # peft loads it where it is installed, and on a CPU it warns of a package that would speed up what is not used here.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command("import")
def import_(  # noqa: PLR0913 - one parameter for each option
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files or dataset folders.")],
    to: Annotated[str, typer.Option("--to", metavar="DB", help="Database file or URL; made if absent.")],
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar="FIELD=COLUMN", help="A column's own name; may be repeated.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Name of the data set; the file's stem if absent.")] = None,
    task: Annotated[str | None, typer.Option(help="Task of all prompts in these files.")] = None,
    pairs: Annotated[str | None, typer.Option(help="Form comparisons from ratings on this criterion.")] = None,
    min_difference: Annotated[float, typer.Option(min=0, help="With --pairs: least difference of the ratings.")] = 0.0,
    block_size: Annotated[
        int, typer.Option(min=2, help="With --pairs: responses to a prompt are compared within blocks of this size.")
    ] = 4,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rejected rows go; FILE.rejects.jsonl in this folder if absent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read comparisons, labels and ratings into a database; importing twice adds nothing."""
    from rewardkit.config import ImportConfig, PairsConfig
    from rewardkit.jobs.labels import import_into, summarise

    with checked_options():
        formed = PairsConfig(criterion=pairs, block_size=block_size, min_difference=min_difference) if pairs else None
        config = ImportConfig(files=tuple(files), map=mapping_of(mapping or ()), source=source, task=task, pairs=formed)
    place = rejects or Path(Path(files[0].rstrip("/")).name + ".rejects.jsonl")
    print_result(summarise(import_into(to, config, place)), as_json)


@app.command()
def export(
    database: Annotated[str, typer.Argument(metavar="DB", help="Database file or URL.")],
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="jsonl (everything), trl (prompt, chosen, rejected), parquet (labels and texts), labels (Parquet "
            "without texts, for millions) or dataset.",
        ),
    ] = "jsonl",
    as_json: Json = False,
) -> None:
    """Write a database's records to a file."""
    from rewardkit.jobs.labels import export_from

    print_result(export_from(database, to, form), as_json)


STAGE_VERBS = {
    "judge": "Label comparisons (and rate responses) by a judge model.",
    "cascade": "Let cheap judges answer where human labels show that they may, dearer ones and people the rest.",
    "aggregate": "Combine labels into soft preferences, split by prompt.",
    "train": "Train a LoRA reward model on soft preferences.",
    "calibrate": "Fit the map from margins to probabilities on held-out human labels.",
    "evaluate": "Measure the reward model against held-out humans, beside its baselines.",
    "curve": "Train on more and more of the comparisons, to see what more labels would bring.",
    "stress": "Ask the judge about texts that were made worse, or dressed up, on purpose.",
    "audit": "Measure the judges in the database against people: agreement, order, length, calibration.",
}


def _stage_verb(name: str) -> Callable[..., None]:
    def verb(
        config: Config,
        overrides: Overrides = None,
        force: Force = False,
        dry_run: DryRun = False,
        as_json: Json = False,
    ) -> None:
        _run_stage(name, load_job(config, overrides), force=force, dry_run=dry_run, as_json=as_json)

    return verb


def _run_stage(name: str, job: JobConfig, *, force: bool, dry_run: bool, as_json: bool) -> None:
    from rewardkit.jobs import pipeline

    if dry_run:
        print_plan(pipeline.plan_one(name, job), as_json)
    elif manifest := pipeline.run_one(name, job, force=force):
        print_result(manifest.summary, as_json)


@app.command()
def simulate(  # noqa: PLR0913 - one parameter for each option
    config: Config,
    overrides: Overrides = None,
    visit: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Label in the page that runs there, as people would. What is wanted grows on the way, by gold, "
            "repeats and items on which people disagree; no answer is faster than label.least_seconds.",
        ),
    ] = None,
    people: Annotated[
        int | None, typer.Option(min=1, help="With --visit: how many; one of each simulated human if absent.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.01, help="With --visit: how many times faster than people; 1 if absent.")
    ] = None,
    size: Annotated[bool, typer.Option("--size", help="Tell what the planned study's labels would be worth.")] = False,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Label comparisons by simulated annotators of stated reliability and bias."""
    for option, given in (("--people", people), ("--speed", speed)):
        if given is not None and visit is None:
            fix = "add --visit URL, or leave it out; how many people --size plans with is simulate.study.people"
            raise ConfigError("it counts only for those who visit a page", where=option, fix=fix)
    job = load_job(config, overrides)
    if visit is None and not size:
        _run_stage("simulate", job, force=force, dry_run=dry_run, as_json=as_json)
        return
    if visit is not None and size:
        raise ConfigError("the two exclude each other", where="--visit and --size", fix="leave one out")
    from rewardkit.jobs import simulating

    if visit is not None:
        party = simulating.gather(job, visit, people=people, speed=speed or 1.0)
        print_result(party.plan() if dry_run else simulating.visit(party), as_json)
    elif as_json:
        print_result(simulating.size(job), True)
    else:
        from rewardkit.jobs.sized_table import as_table

        typer.echo(as_table(simulating.size(job)))


@app.command()
def generate(  # noqa: PLR0913 - one parameter for each option
    config: Config,
    overrides: Overrides = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="Propose prompts after those of a task; they wait until a person decides.")
    ] = False,
    approve: Annotated[
        str | None, typer.Option(metavar="ID", help="Add this proposed prompt to the database; all adds all that wait.")
    ] = None,
    reject: Annotated[str | None, typer.Option(metavar="ID", help="Keep this proposed prompt out, or all.")] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who approves or rejects.")] = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Let policies write responses to the prompts, and form comparisons of them; or propose prompts, and decide."""
    job = load_job(config, overrides)
    from rewardkit.jobs import guidance

    made = guidance.chosen(approve, reject, by)
    if made is None and not propose:
        _run_stage("generate", job, force=force, dry_run=dry_run, as_json=as_json)
        return
    if (made and (propose or dry_run)) or force:
        what = "a decision, a proposal and a run are three things"
        raise ConfigError(what, where="rewardkit generate", expected="--propose, --approve or --reject alone")
    from rewardkit.jobs import proposing

    print_result(proposing.decide(job, made) if made else proposing.propose(job, dry_run=dry_run), as_json)


for _name, _help in STAGE_VERBS.items():
    app.command(_name, help=_help)(_stage_verb(_name))


@app.command()
def notes(  # noqa: PLR0913 - one parameter for each option
    config: Config,
    overrides: Overrides = None,
    approve: Annotated[str | None, typer.Option(metavar="ID", help="Give this note to the judge.")] = None,
    reject: Annotated[str | None, typer.Option(metavar="ID", help="Keep this note from the judge for good.")] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who approves or rejects.")] = None,
    most: Annotated[int, typer.Option(min=1, help="Look at so many comparisons on which the judge was wrong.")] = 24,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Propose notes for a judge from where people disagreed with it, or decide on one of them."""
    job = load_job(config, overrides)
    from rewardkit.jobs import guidance

    made = guidance.chosen(approve, reject, by)
    told = guidance.decide(job, made) if made else guidance.propose(job, most=most, dry_run=dry_run)
    print_result(told, as_json)


@app.command()
def label(  # noqa: PLR0913 - one parameter for each option
    config: Config,
    overrides: Overrides = None,
    invite: Annotated[int, typer.Option(min=0, help="Print this many invitations, one for each person.")] = 0,
    progress: Annotated[bool, typer.Option("--progress", help="Tell how far the study is, and serve nothing.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Serve the page on which people label, until interrupted."""
    job = load_job(config, overrides)
    from rewardkit.jobs import labelling

    if dry_run:
        planned = labelling.plan(job)
        print_result(vars(planned) if as_json else planned.shown(), as_json)
    elif progress:
        print_result(labelling.progress(job), as_json)
    else:
        labelling.label(job, invite=invite)


@app.command()
def score(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a reward model.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines or Parquet; - is standard input.")],
    out: Annotated[Path | None, typer.Option(help="Write JSON Lines or Parquet here instead of stdout.")] = None,
) -> None:
    """Compute rewards and calibrated probabilities for prompts and responses."""
    from rewardkit.jobs.scoring import score as score_rows
    from rewardkit.jobs.scoring import score_into
    from rewardkit.jobs.scoring_files import as_line

    if out is not None:
        print_result(score_into(model, file, out), False)
        return
    failed = 0
    for row in score_rows(model, file):
        failed += row["status"] == "failed"
        sys.stdout.write(as_line(row).decode("utf-8"))
        sys.stdout.flush()
    if failed:
        typer.echo(f"{failed} rows could not be scored: see their reason", err=True)


@app.command("best-of")
def best_of(  # noqa: PLR0913 - one parameter for each option
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a reward model.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines or Parquet with prompt and responses.")],
    out: Annotated[Path, typer.Option(help="Where the rows to train on go: JSON Lines or Parquet.")],
    form: Annotated[
        str, typer.Option("--as", help="sft (prompt, completion), or pairs (prompt, chosen, rejected).")
    ] = "sft",
    n: Annotated[int | None, typer.Option(min=1, help="Look at the first n responses only.")] = None,
    keep: Annotated[int, typer.Option(min=1, help="Keep so many of the best.")] = 1,
    at_least: Annotated[float | None, typer.Option(help="Keep none whose reward is lower.")] = None,
    min_gap: Annotated[float, typer.Option(min=0, help="With pairs: least difference of the rewards.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Keep the best of several responses to each prompt, as rows to train on."""
    from rewardkit.jobs.selecting import select_into
    from rewardkit.rl.selecting import Selecting

    options = {"as": form, "n": n, "keep": keep, "at_least": at_least, "min_gap": min_gap}
    with checked_options("best-of"):
        how = Selecting.model_validate(options)
    print_result(select_into(model, file, out, how), as_json)


@app.command()
def merge(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a reward model.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    member: Annotated[int | None, typer.Option(min=1, help="Of an ensemble: which member.")] = None,
    as_json: Json = False,
) -> None:
    """Fold a reward model's adapters into its base: plain weights for vLLM and transformers' pipelines."""
    from rewardkit.jobs.merging import merge as merge_into

    print_result(merge_into(model, out, member), as_json)


@app.command()
def serve(  # noqa: PLR0913 - one parameter for each option
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a reward model.")],
    host: Annotated[
        str, typer.Option(help="Address; beyond this machine only with REWARDKIT_API_KEY set.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8000,
    name: Annotated[str, typer.Option(help="The model's name in requests; its folder if absent.")] = "",
    max_waiting_tokens: Annotated[
        int, typer.Option(min=1, help="Beyond so many, requests are refused (429) until there is room.")
    ] = 262_144,
    max_body_mib: Annotated[float, typer.Option(min=0.001, help="Largest request.")] = 8.0,
    drain_seconds: Annotated[
        float, typer.Option(min=0, help="Told to end, it answers those who wait for so long at most.")
    ] = 30.0,
) -> None:
    """Serve a reward model over HTTP, until told to end; those who wait then are still answered."""
    from rewardkit.jobs.serving import serve as serve_model
    from rewardkit.serving.options import Options

    options = Options(host, port, max_waiting_tokens, int(max_body_mib * 2**20), drain_seconds)
    serve_model(model, options, name=name)


@app.command()
def run(config: Config, overrides: Overrides = None, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Run all stages of a config in order, skipping what is complete and unchanged."""
    job = load_job(config, overrides)
    from rewardkit.jobs import pipeline

    if dry_run:
        print_plan(pipeline.plan(job), as_json)
        return
    manifests = pipeline.run(job)
    if as_json:
        print_result({m.stage: m.summary for m in manifests}, True)
    else:
        reports = [m.summary["report"] for m in manifests if m.summary.get("report")]
        typer.echo("\n".join(reports) or f"done: {', '.join(m.stage for m in manifests)}")


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="Also look at this job's database.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what is installed, what is missing, and how to get it."""
    from rewardkit.jobs.doctor import examine

    findings = examine(load_job(config, None) if config else None)
    if as_json:
        print_result([vars(finding) for finding in findings], True)
        return
    for finding in findings:
        typer.echo(f"{finding.state:8} {finding.what:22} {finding.detail}")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(2)


def main() -> None:
    """Run the command line; classify what ends it."""
    try:
        code = app(standalone_mode=False)
    except RewardkitError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except typer.TyperException as error:
        typer.echo(f"error: {error.format_message()}\n  fix: see rewardkit --help", err=True)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(INTERRUPTED)
    # Typer swallows Ctrl-C and hands back its code.
    if code == INTERRUPTED:
        typer.echo("interrupted; the same command resumes", err=True)
    sys.exit(code)
