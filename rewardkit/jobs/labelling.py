"""The labelling page: from a job's section `label` to a server (`rewardkit label`)."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from rewardkit.cascade_config import LABELLED
from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError
from rewardkit.extras import require_all
from rewardkit.listening import listening
from rewardkit.progress import log
from rewardkit.store.store import Store
from rewardkit.types import Choice, Comparison

if TYPE_CHECKING:
    from labeling_ui.server import Served, Writers
    from labeling_ui.study import Study
    from rewardkit.label_config import LabelConfig, ReviewConfig

Ids = tuple[str, ...]
KnownRole = Literal["gold", "qualification"]
MADE_BY_THE_PAGE = ("chat", "edits")
"""Sources of comparisons that come about while people label."""
SECONDS_EACH = 30.0
"""Time for one comparison of short texts, where nothing has been measured yet."""


@dataclass(frozen=True)
class Plan:
    """What a study asks for.

    Attributes:
        study: Its name.
        items: What is to be labelled.
        labels: Labels that are wanted at least.
        known: Items with a known answer, by role.
        hours: Of annotators' time, at half a minute a label.
        note: What comes on top.
    """

    study: str
    items: int
    labels: int
    known: dict[KnownRole, int]
    hours: float
    note: str = ""

    def shown(self) -> dict[str, object]:
        """Return it for people to read, with what the hours are worked out from."""
        hours = f"{self.hours:g}, if a label takes {SECONDS_EACH:g} s (an assumption; measure it with a few people)"
        return {**vars(self), "hours": hours if self.labels else None}


def plan(config: JobConfig) -> Plan:
    """Tell what a study asks for, and change nothing.

    Raises:
        ConfigError: The section is missing, or names what is not there.
        NoDatabaseError: Nothing has been imported yet.
        MissingExtraError: A package of the extra ui is not installed.
    """
    study = _study(config)
    if study.config.chat:
        # Replies become items while people talk.
        return Plan(study.name, 0, 0, {}, 0.0, _note(study.config, 0))
    with Store.open(config.database, create=False) as store:
        study = _as_settled(store, study)
        _require_judge(store, study.config.review)
        work, known = _work(store, study), _known(store, study)
    labels = len(work) * study.config.assignment.overlap
    found = {role: len(answers) for role, answers in known.items()}
    hours = round(labels * SECONDS_EACH / 3600, 1)
    return Plan(study.name, len(work), labels, found, hours, _note(study.config, len(work)))


def _note(config: LabelConfig, items: int) -> str:
    """Tell what comes on top of the labels that are wanted at least."""
    if chat := config.chat:
        return f"each annotator may have {chat.conversations} conversations of {chat.most_turns} pairs of replies"
    policy = config.assignment
    most = f"{items * policy.most_overlap} labels where all disagree; " if config.task == "comparison" else ""
    return f"{most}{policy.repeats:.0%} repeats, gold and qualification come on top"


def progress(config: JobConfig) -> dict[str, int]:
    """Tell how far a study is, while its page is served or not.

    Raises:
        ConfigError: The section is missing.
        NoDatabaseError: Nothing has been imported yet.
        MissingExtraError: A package of the extra ui is not installed.
    """
    study = _study(config)
    from labeling_ui.progress import progress_of

    with Store.open(config.database, create=False) as store:
        return vars(progress_of(store, study.name))


def label(config: JobConfig, *, invite: int = 0) -> None:
    """Serve a study's page until interrupted.

    Args:
        config: The job; its section `label` is used.
        invite: How many invitations are printed.

    Raises:
        ConfigError: The section is missing, names what is not there, or the study is served already.
        NoDatabaseError: Nothing has been imported yet.
        ModelError: A model that is to write while people wait cannot be loaded.
        MissingExtraError: A package of the extra ui is not installed.
    """
    study = _study(config)
    from labeling_ui.alone import alone
    from labeling_ui.finished import Finished
    from labeling_ui.server import build, serve
    from labeling_ui.sessions import secret_of

    with Store.open(config.database, create=study.config.chat is not None) as store, ExitStack() as stack:
        told_where = stack.enter_context(alone(config.workspace, study.name))
        study = _as_settled(store, study)
        if study.config.chat is None:
            stock(store, study)
        served = build(store, study, secret_of(config.workspace), writers=_writers(config, study.config, stack))
        if study.config.webhook:
            told = Finished(store, study.name, study.config.webhook, served.sessions.webhook_key)
            stack.enter_context(told.watching())
        with listening(study.config.host, study.config.port, fix="choose another: --set label.port=0") as bound:
            told_where(_announce(served, study, bound.getsockname()[1], invite))
            serve(served, bound)


def stock(store: Store, study: Study) -> None:
    """Make items of what the store holds; those that are there stay as they are.

    Raises:
        ConfigError: There is nothing to label, or a source of known answers has none.
    """
    from labeling_ui.stock import add_items

    _require_judge(store, study.config.review)
    if not comparisons_of(store, study.config):
        store.add(_pairs(store, study))
    added = add_items(store, study, _work(store, study), task=study.config.task)
    log(f"label: {added} new items in the study {study.name!r}")
    for role, answers in _known(store, study).items():
        add_items(store, study, answers, role=role, expected=answers)


def _require_judge(store: Store, review: ReviewConfig | None) -> None:
    """Check that the judge whose words are to be reviewed has said any."""
    if review is None or review.judge is None:
        return
    judges = [each for each in store.annotators().values() if each.kind == "judge"]
    if not any(review.judge in (each.name, each.model) for each in judges):
        known = ", ".join(sorted({name for each in judges for name in (each.name, each.model) if name}))
        raise ConfigError(
            f"no judge is called {review.judge!r} in the database",
            where="label.review.judge",
            expected=f"one of {known}" if known else "the name of a judge whose labels are there: there is none yet",
            fix="run rewardkit judge first, or ask a model live: label.review.live",
        )


def _writers(job: JobConfig, config: LabelConfig, stack: ExitStack) -> Writers:
    """Open the models that write while annotators wait, and what researchers do with judges."""
    from labeling_ui.server import Writers
    from rewardkit.jobs.page_judges import page_judges

    replies = judge = None
    if config.chat:
        from rewardkit.jobs.chat_models import chat_models

        replies = stack.enter_context(chat_models(config.chat))
    if config.review and config.review.live:
        from rewardkit.jobs.live_judge import live_judge

        judge = stack.enter_context(live_judge(config.review.live))
    return Writers(replies, judge, page_judges(job, judge, stack))


def _study(config: JobConfig) -> Study:
    require_all("ui")
    from labeling_ui.study import Study

    if config.label is None:
        raise ConfigError("the config has no section 'label'", fix="add one: label: {}")
    return Study.of(config.label, config.name)


def _as_settled(store: Store, study: Study) -> Study:
    """Return a study as researchers settled it in the page, and say what holds over the config."""
    from labeling_ui.settings import overruled, read_settings, settled

    settings = read_settings(store, study.name)
    for sentence in overruled(study, settings):
        log(f"label: {sentence}")
    return settled(study, settings)


def _work(store: Store, study: Study) -> list[Ids]:
    """Return what is to be labelled: comparisons, all responses of a prompt, or single responses."""
    from labeling_ui.choosing import known_items, sets_of, work_items

    config = study.config
    # What researchers added as gold in the page is no work after a restart either.
    known = known_items(store, study.name).union(*_known(store, study).values())
    there = work_items(store, study.name)
    sets = sets_of(comparisons_of(store, study.config) or _pairs(store, study), config.task)
    more = (ids for ids in sets if ids not in known and ids not in there)
    work = [*there, *islice(more, max(0, config.limit - len(there)) if config.limit else None)]
    if not work:
        where = f" of the source {config.source!r}" if config.source else ""
        raise ConfigError(f"there is nothing to label{where}", where="label", fix="import something else first")
    return work


def comparisons_of(store: Store, config: LabelConfig) -> list[Comparison]:
    """Return the comparisons that a study is about: those of its source, or all but what the page itself makes."""
    others = {*MADE_BY_THE_PAGE, config.gold.source if config.gold else None, config.qualification.source}
    found = (each.comparison for each in store.comparisons())
    chosen = (each for each in found if (each.source == config.source if config.source else each.source not in others))
    if config.left_by is None:
        return list(chosen)
    left = _left_by(store, config.left_by)
    return [each for each in chosen if each.id in left]


def _left_by(store: Store, judge: str) -> set[str]:
    """Return the comparisons on which a judge abstained, by id.

    Raises:
        ConfigError: No judge has this name.
    """
    judges = {who.id: who.name for who in store.annotators().values() if who.kind == "judge"}
    if judge not in judges.values():
        known = ", ".join(sorted(set(judges.values()))) or "there is none"
        raise ConfigError(f"no judge has the name {judge!r}", where="label.left_by", expected=f"one of: {known}")
    labels = (label for label in store.labels() if judges.get(label.annotator_id) == judge)
    return {label.comparison_id for label in labels if label.status == "abstained" and label.reason != LABELLED}


def _pairs(store: Store, study: Study) -> list[Comparison]:
    """Return pairs of responses, for a store in which nothing is compared yet."""
    from labeling_ui.pairing import pairs_of

    chosen = study.config.source or study.config.left_by
    return [] if chosen else list(pairs_of(store, study.config.pairs_per_prompt))


def _known(store: Store, study: Study) -> dict[KnownRole, dict[Ids, Choice]]:
    """Return items with a known answer, by role."""
    config = study.config
    found: dict[KnownRole, dict[Ids, Choice]] = {}
    if config.gold:
        found["gold"] = _answers(store, config.gold.source, "label.gold.source")
    if config.qualification.source:
        found["qualification"] = _answers(store, config.qualification.source, "label.qualification.source")
    return found


def _answers(store: Store, source: str, key: str) -> dict[Ids, Choice]:
    """Return what humans unanimously said of a source's comparisons."""
    from labeling_ui.choosing import known_answers

    answers = known_answers(store, source)
    if not answers:
        raise ConfigError(
            f"no comparison of the source {source!r} has a label on which humans agree",
            where=key,
            fix="import comparisons with their right answers under that source: rewardkit import --source NAME",
        )
    return answers


def _announce(served: Served, study: Study, port: int, invite: int) -> str:
    """Say where people come in, and return it; the links hold what lets them in, and go to standard error only."""
    config = study.config
    base = (config.public_url or f"http://{config.host}:{port}").rstrip("/")
    log(f"label: serving at {base}/ ; stop with Ctrl-C, nothing is lost")
    log(f"label: researchers: {base}/researcher/{served.sessions.login('researcher')}  (for 12 hours)")
    if config.prolific:
        names = "&".join(f"{name}={{{{%{name}%}}}}" for name in ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"))
        log(f"label: Prolific: {base}/start?{names}")
    if config.webhook:
        log(f"label: webhook: what is sent is signed with {served.sessions.webhook_key}")
    for _ in range(invite):
        log(f"label: invitation: {base}/join/{served.sessions.invitation()}")
    return base
