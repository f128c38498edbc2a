"""A process that is killed in mid-import loses nothing that was committed; a rerun gives the same store."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from rewardkit.config import ImportConfig
from rewardkit.store.importing import import_files
from rewardkit.store.rows import KINDS
from rewardkit.store.store import Store

ROWS = 12_000
BATCH = 500
SCRIPT = """
import sys
from pathlib import Path
from rewardkit.config import ImportConfig
from rewardkit.store import importing_batches
from rewardkit.store.importing import import_files
from rewardkit.store.store import Store

importing_batches.MOST_ROWS = int(sys.argv[3])
database, file = sys.argv[1:3]
with Store.open(database) as store:
    print("open", flush=True)
    import_files(store, [file], ImportConfig(files=("-",)), rejects=Path(database).with_name("rejects.jsonl"))
print("done", flush=True)
"""


def rows() -> bytes:
    """Return comparisons with labels; every hundredth row is bad."""
    lines = []
    for number in range(ROWS):
        label = {"annotator": f"w{number % 7}", "source": "human", "preference": number % 2}
        row = {"id": f"c{number}", "prompt": f"p{number % 500}", "response_a": f"a{number}", "labels": [label]}
        lines.append(orjson.dumps(row if number % 100 == 0 else {**row, "response_b": f"b{number}"}))
    lines[0], lines[1] = lines[1], lines[0]
    return b"\n".join(lines)


def start(database: Path, file: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SCRIPT, str(database), str(file), str(BATCH)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


def committed(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM labels").fetchone()[0])


def kill_at(process: subprocess.Popen[bytes], database: Path, labels: int) -> int:
    """Kill a process without warning once so many labels are committed, and return how many there are."""
    deadline = time.monotonic() + 120
    while committed(database) < labels and process.poll() is None:
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return committed(database)


@pytest.mark.slow
def test_kill_in_mid_import(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(rows())
    options = ImportConfig(files=("-",))
    (tmp_path / "whole").mkdir()
    with Store.open(tmp_path / "whole" / "store.db") as store:
        summary = import_files(store, [file], options, rejects=tmp_path / "whole" / "rejects.jsonl")
        expected, counts = store.digest(*KINDS), store.counts()
    assert counts["labels"] == ROWS - ROWS // 100 == ROWS - summary.rejected

    database = tmp_path / "store.db"
    interrupted, before = 0, 0
    # The same database is killed again and again, a little later each time, and at once after opening.
    for labels in (0, 1, 2_000, 5_000, 9_000):
        process = start(database, file)
        kept = kill_at(process, database, labels)
        interrupted += process.returncode == -signal.SIGKILL
        assert kept >= max(before, labels), "something that was committed is gone"
        before = kept
    assert interrupted >= 4
    assert before < ROWS - ROWS // 100

    with Store.open(database) as store:
        again = import_files(store, [file], options, rejects=tmp_path / "rejects.jsonl")
        assert store.digest(*KINDS) == expected
        assert store.counts() == counts
    assert again.rejected == summary.rejected
    assert (tmp_path / "rejects.jsonl").read_bytes() == (tmp_path / "whole" / "rejects.jsonl").read_bytes()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.slow
def test_kill_while_the_tables_are_made(tmp_path: Path) -> None:
    """Opening is one transaction: whenever it dies, the database opens afterwards."""
    for number, wait in enumerate((0.0, 0.05, 0.1, 0.2, 0.3, 0.4)):
        database = tmp_path / f"{number}.db"
        code = f"from rewardkit.store.store import Store; print('go', flush=True); Store.open({str(database)!r})"
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(wait)
            process.kill()
        with Store.open(database) as store:
            assert sum(store.counts().values()) == 0


@pytest.mark.slow
def test_two_processes_open_a_new_database_at_once(tmp_path: Path) -> None:
    code = f"from rewardkit.store.store import Store; Store.open({str(tmp_path / 'store.db')!r}).counts()"
    processes = [subprocess.Popen([sys.executable, "-W", "error", "-c", code]) for _ in range(4)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0, 0]
