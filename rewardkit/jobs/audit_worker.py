"""The process in which judges are measured for the researchers' page: `python -m rewardkit.jobs.audit_worker`.

Measuring holds the interpreter for as long as it takes; in the page's process every annotator would wait for it. What
is to be measured comes on standard input, how far it is goes to standard output, and in the end what was found, or the
error. The process gives way to the page, and ends when standard input does, which is when its parent ends in whatever
way.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

from labeling_ui.judges import Measured, MeasuredJudge, Number, Step, Told
from rewardkit.audit.judges import JudgeAudit
from rewardkit.audit.pairs import LONGER
from rewardkit.audit.results import Finding, missing
from rewardkit.config import JobConfig
from rewardkit.errors import DataError, RewardkitError
from rewardkit.jobs.auditing import audited
from rewardkit.jobs.page_judges import FOUND, PAGE
from rewardkit.jobs.stages import Job
from rewardkit.report.audit_cells import Form, cell
from rewardkit.report.audit_data import AuditData
from rewardkit.report.audit_page import write_audit
from rewardkit.report.audit_words import cautions, opposed_sides, verdict
from rewardkit.runs import write_text

YIELDING = 10
"""Added to the process's niceness."""
COLUMNS: tuple[tuple[str, Form], ...] = (
    ("Sides with the majority", "share"),
    ("Same in both orders", "share"),
    ("Lead over longer-is-better", "points"),
    ("Answered", "share"),
)


def measure(config: JobConfig, folder: Path, tell: Told) -> Measured:
    """Measure the judges as `rewardkit audit` does, and write its page and what was found into a folder.

    Args:
        config: With a section `audit`.
        folder: Of the page.
        tell: Called with each `Step`.

    Raises:
        DataError: No judge has labelled anything, or people have labelled nothing that a judge has.
        OutputError: The folder cannot be written.
    """
    data = audited(Job(config), lambda done, judges, name: tell(Step(done=done, judges=judges, judge=name)))
    if not data.people:
        raise DataError(
            "people have labelled nothing that a judge has labelled", fix="let people label some of it, and ask again"
        )
    found = found_in(data)
    tell(Step(done=len(found.judges), judges=len(found.judges), judge=""))
    write_audit(data, folder, PAGE)
    # Last: what is told of is there.
    write_text(folder / FOUND, found.model_dump_json())
    return found


def found_in(data: AuditData) -> Measured:
    """Return what the researchers' page shows of an audit."""
    judges = sorted(data.judges, key=_agreement, reverse=True)
    return Measured(
        made=data.created,
        simulated=data.simulated,
        confidence=data.confidence,
        columns=tuple(name for name, _ in COLUMNS),
        judges=tuple(_judge(each, data.unit) for each in judges),
    )


def _judge(judge: JudgeAudit, unit: str) -> MeasuredJudge:
    findings = zip(_findings(judge), (form for _, form in COLUMNS), strict=True)
    return MeasuredJudge(
        name=judge.name,
        model=judge.model,
        sentences=verdict(judge),
        opposed=opposed_sides(judge),
        cautions=cautions(judge, unit),
        numbers=tuple(Number(**vars(cell(finding, form, unit))) for finding, form in findings),
    )


def _findings(judge: JudgeAudit) -> tuple[Finding, ...]:
    if judge.pairs is None:
        none = missing("it compared nothing that people compared", 0)
        return none, none, none, judge.answered
    longer = next(rival for rival in judge.pairs.rivals if rival.name == LONGER)
    return judge.pairs.overall.accuracy, judge.pairs.position.consistency, longer.lead, judge.answered


def _agreement(judge: JudgeAudit) -> float:
    known = judge.pairs.overall.accuracy.estimate if judge.pairs else None
    return known.value if known else -1.0


def main() -> int:
    """Do what standard input says."""
    os.nice(YIELDING)
    config, folder = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer: Measured | RewardkitError = measure(config, folder, _send)
    except RewardkitError as error:
        answer = error
    _send(answer)
    return 0


def _send(what: Any) -> None:
    pickle.dump(what, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
