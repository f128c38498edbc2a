"""What the researchers' page is given of judges: the same audit as the command line's, and the models of the config."""

from __future__ import annotations

import pickle
import subprocess
import sys
from contextlib import ExitStack

import psutil
import pytest

from labeling_ui.judges import Measured
from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError, DataError, JobFailed
from rewardkit.jobs import audit_worker
from rewardkit.jobs.auditing import audited
from rewardkit.jobs.live_judge import annotator_of
from rewardkit.jobs.page_judges import AuditElsewhere, page_judges, watched_config
from rewardkit.jobs.stages import Job
from rewardkit.judge_config import JudgeConfig
from rewardkit.label_config import LiveJudgeConfig
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label


@pytest.fixture
def config(tmp_path):
    return JobConfig(name="small", workspace=tmp_path, audit={"resamples": 100}, label={})


@pytest.fixture
def judged(config, add_comparisons):
    """Twenty comparisons: two people agree on all; one judge sides with them on 15, in both orders, another on 10."""

    def fill(*, people=True, judges=True):
        with Store.open(config.database) as store:
            pairs = sorted(add_comparisons(store, 20))
            for name in ("ann", "ben") if people else ():
                who = Annotator.of("human", name)
                store.add([who, *(Label.of(pair, who.id, choice="a") for pair in pairs)])
            for name, right in (("poor", 10), ("good", 15)) if judges else ():
                who = Annotator.of("judge", name, model=f"{name}-1")
                said = [
                    (pair, "a" if at < right else "b", order) for at, pair in enumerate(pairs) for order in ("ab", "ba")
                ]
                store.add([who, *(Label.of(pair, who.id, choice=choice, order_shown=o) for pair, choice, o in said)])

    return fill


def test_what_is_found_is_what_the_audit_says(config, judged, tmp_path):
    judged()
    steps = []
    found = audit_worker.measure(config, tmp_path / "page", steps.append)
    # The best first.
    assert [(judge.name, judge.model) for judge in found.judges] == [("good", "good-1"), ("poor", "poor-1")]
    assert found.columns == ("Sides with the majority", "Same in both orders", "Lead over longer-is-better", "Answered")
    good, poor = (
        [number.value.replace("\N{NO-BREAK SPACE}", " ") for number in judge.numbers] for judge in found.judges
    )
    # 15 and 10 of 20; both orders say the same; "one N" is always shorter than "other N", so the longer one is a coin
    # over hashed places: 15/20 less its own share.
    assert (good[0], poor[0]) == ("75.0 %", "50.0 %") and good[1] == poor[1] == good[3] == poor[3] == "100.0 %"
    assert all(number.interval and number.n.startswith("n") for judge in found.judges for number in judge.numbers)
    assert "75.0" in found.judges[0].sentences[0] and found.judges[0].cautions
    data = audited(Job(config))
    accuracies = {judge.name: judge.pairs.overall.accuracy.estimate.value for judge in data.judges}
    assert accuracies == {"good": 0.75, "poor": 0.5}
    assert [(step.done, step.judges, step.judge) for step in steps] == [(0, 2, "good"), (1, 2, "poor"), (2, 2, "")]
    assert Measured.model_validate_json((tmp_path / "page/found.json").read_bytes()) == found
    assert (tmp_path / "page/audit.html").read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_it_is_measured_elsewhere_and_kept(config, judged, tmp_path, capfd):
    judged()
    audit, steps = AuditElsewhere(config), []
    assert audit.kept() is None
    found = audit.measure(steps.append)
    assert found == audit.kept() == AuditElsewhere(config).kept()
    assert [step.done for step in steps] == [0, 1, 2] and audit.page.is_file()
    # Beside the results of the stage, which it does not touch.
    assert audit.folder == tmp_path / "runs/small/label/audit" and not (tmp_path / "runs/small/audit").exists()
    (audit.folder / "found.json").write_text('{"schema_version": 0}')
    assert audit.kept() is None and "another version" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("there", "what"),
    [({"judges": False}, "no judge has labelled"), ({"people": False}, "people have labelled nothing")],
)
def test_where_there_is_nothing_to_measure_it_says_so(config, judged, there, what):
    judged(**there)
    with pytest.raises(DataError, match=what):
        AuditElsewhere(config).measure(print)
    assert AuditElsewhere(config).kept() is None


@pytest.mark.slow
def test_a_process_that_is_killed_is_said_and_one_whose_parent_ends_is_gone(config, judged):
    judged()

    def kill(_):
        for child in psutil.Process().children():
            # Others' children may have ended, and wait to be noticed.
            if child.status() != psutil.STATUS_ZOMBIE and "audit_worker" in " ".join(child.cmdline()):
                child.kill()

    with pytest.raises(JobFailed, match="has ended"):
        AuditElsewhere(config).measure(kill)
    words = [sys.executable, "-m", "rewardkit.jobs.audit_worker"]
    forever = config.model_copy(update={"audit": config.audit.model_copy(update={"resamples": 10**6})})
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        pickle.dump((forever, config.workspace / "page"), process.stdin)
        process.stdin.flush()
        assert pickle.load(process.stdout).done == 0
        # Its parent has it open as long as it lives.
        process.stdin.close()
        assert process.wait(30) == 0


def test_which_judges_can_be_watched(config):
    def offered(judge=None, live=None):
        with ExitStack() as stack:
            return page_judges(config.model_copy(update={"judge": judge}), live, stack)

    assert offered().watchable == () and offered().unwatchable == "" and offered().audit is not None
    here = JudgeConfig(model="some", rubric="joke")
    (only,) = offered(here).watchable
    assert only.annotator.name == "some/critique.v1/joke" and not only.shared

    class Live:
        annotator = annotator_of(LiveJudgeConfig(model="some", rubric="joke"))

    # The same model for annotators and in the section is one judge.
    (both,) = offered(here, Live()).watchable
    assert both.shared and both.opened().annotator == both.annotator
    assert len(offered(JudgeConfig(model="other", rubric="joke"), Live()).watchable) == 2
    none = offered(JudgeConfig(backend="fake"))
    assert none.watchable == () and "backend fake" in none.unwatchable
    with pytest.raises(ConfigError, match="rubric"):
        offered(JudgeConfig(rubric="no such rubric"))


def test_a_server_is_asked_as_in_batch_as_far_as_words_can_be():
    server = {"url": "http://127.0.0.1:1/v1", "key_variable": None, "seconds": 7, "temperature": 0.7}
    found = watched_config(JudgeConfig(backend="openai", model="m", rubric="joke", server=server))
    assert (found.url, found.key_variable, found.seconds, found.temperature) == (server["url"], None, 7, 0.7)
    cold = watched_config(JudgeConfig(backend="openai", model="m", server={**server, "temperature": 0.0}))
    assert cold.temperature == LiveJudgeConfig().temperature
