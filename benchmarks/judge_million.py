"""A judge's job at scale: labels a second into the store and Parquet, peak memory, and ten kills on the way.

    python benchmarks/judge_million.py [--size 1000000] [--kills 10] [--folder /somewhere/with/8/GB]

Comparisons of prompts of about 70 and responses of about 200 characters stand in a database (SQLite with
synchronous=FULL). `rewardkit judge` asks the fake backend about each in both orders, `rewardkit export --format labels`
writes Parquet; the time is that of both commands together, starting Python included, the memory the most that either
ever held. Then a copy of the database is judged by a process that is killed (kill -9) ten times, at points drawn
evenly: its labels must be those of the run that nobody killed, id by id, with the same probabilities.

Prints what it measured and writes benchmarks/results/judge_million.json with the machine; exit code 1 where a target
is missed (5,000 labels a second, 1,024 MB, identical).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from machine import machine

from rewardkit.runs import write_json
from rewardkit.store.inserting import insert
from rewardkit.store.rows import Encoded, comparison_row, prompt_row, response_row
from rewardkit.store.store import Store

RESULT = Path(__file__).parent / "results" / "judge_million.json"
LEAST_PER_SECOND = 5_000
MOST_MEGABYTES = 1_024
ORDERS = 2
BATCH = 5_000
WORDS = "the sea was grey that year and nobody came to the house except a man who sold clocks".split()
# What says when and how long, and nothing of what was said.
MEASURED = ("created_at", "seconds")


@dataclass(frozen=True)
class Ended:
    """How a command ended: seconds, processor seconds, and its peak memory in MB."""

    code: int
    seconds: float
    cpu_seconds: float
    megabytes: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = measure(Path(folder), options.size, options.kills)
    figures |= {"machine": machine()}
    write_json(RESULT, figures)
    print(json.dumps(figures, indent=2))
    reached = figures["labels_per_second"] >= LEAST_PER_SECOND and figures["peak_megabytes"] < MOST_MEGABYTES
    return 0 if reached and figures["killed_run_is_identical"] else 1


def measure(folder: Path, size: int, kills: int) -> dict[str, object]:
    whole, killed = folder / "whole", folder / "killed"
    fill(whole / "rewardkit.db", size)
    shutil.copytree(whole, killed)
    judged, exported = run(judge(whole)), run(export(whole))
    broken = [run_until(killed, place) for place in places(kills, size)]
    ended = [run(judge(killed)), run(export(killed))]
    for done in (judged, exported, *ended):
        assert done.code == 0
    count = pq.read_metadata(whole / "labels.parquet").num_rows
    seconds = judged.seconds + exported.seconds
    return {
        "command": f"python benchmarks/judge_million.py --size {size} --kills {kills}",
        "comparisons": size,
        "labels": count,
        "judge_seconds": round(judged.seconds, 1),
        "judge_cpu_seconds": round(judged.cpu_seconds, 1),
        "export_seconds": round(exported.seconds, 1),
        "labels_per_second": round(count / seconds),
        "peak_megabytes": round(max(each.megabytes for each in (judged, exported, *ended, *broken))),
        "parquet_megabytes": round((whole / "labels.parquet").stat().st_size / 1024**2, 1),
        "kills": sum(each.code == -signal.SIGKILL for each in broken),
        "killed_run_is_identical": count == ORDERS * size and same(whole, killed),
    }


def fill(database: Path, size: int) -> None:
    draw = random.Random(0)
    with Store.open(database) as store:
        for start in range(0, size, BATCH):
            rows = [row for _ in range(min(BATCH, size - start)) for row in comparison(draw)]
            with store.writing(complete=True) as connection:
                insert(connection, rows)


def comparison(draw: random.Random) -> Iterator[Encoded]:
    prompt = prompt_row(text(draw, 15), "")
    responses = [response_row(prompt[1][0], text(draw, 40), None) for _ in range(2)]
    first, second = sorted(row[0] for _, row in responses)
    yield from (prompt, *responses, comparison_row(prompt[1][0], (first, second), "million", {}))


def text(draw: random.Random, words: int) -> str:
    return f"{draw.getrandbits(48):012x} {' '.join(draw.choices(WORDS, k=words))}"


def judge(folder: Path) -> list[str]:
    config = folder / "judge.yaml"
    config.write_text(json.dumps({"name": "million", "workspace": str(folder), "judge": {"backend": "fake"}}))
    return ["judge", str(config)]


def export(folder: Path) -> list[str]:
    return ["export", str(folder / "rewardkit.db"), str(folder / "labels.parquet"), "--format", "labels"]


def start(words: list[str]) -> subprocess.Popen[bytes]:
    # A session of its own: what is killed is this process and what it started, and nothing else.
    command = [sys.executable, "-m", "rewardkit", *words]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)


def run(words: list[str]) -> Ended:
    began = time.monotonic()
    return finish(start(words), began)


def finish(process: subprocess.Popen[bytes], began: float) -> Ended:
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts in KiB, macOS in bytes.
    peak = used.ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    return Ended(process.returncode, time.monotonic() - began, used.ru_utime + used.ru_stime, peak)


def places(kills: int, size: int) -> list[int]:
    """Return after how many labels the job is killed: in every part of it once, somewhere."""
    draw, part = random.Random(1), ORDERS * size / (kills + 1)
    return [round(part * (number + draw.random())) for number in range(kills)]


def run_until(folder: Path, labels: int) -> Ended:
    """Judge until so many labels are committed, and kill it there."""
    began, process = time.monotonic(), start(judge(folder))
    draw = random.Random(labels)
    while runs_on(process) and committed(folder / "rewardkit.db") < labels:
        time.sleep(0.02)
    # Anywhere between two commits.
    time.sleep(0.5 * draw.random())
    os.killpg(process.pid, signal.SIGKILL)
    return finish(process, began)


def runs_on(process: subprocess.Popen[bytes]) -> bool:
    # It is not reaped, so that what it used can still be asked for, and its number is nobody else's.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def committed(database: Path) -> int:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=60)) as connection:
        return connection.execute("SELECT coalesce(max(rowid), 0) FROM labels").fetchone()[0]


def same(one: Path, other: Path) -> bool:
    """Tell whether two tables of labels are the same, in all but times."""
    files = [pq.ParquetFile(folder / "labels.parquet") for folder in (one, other)]
    if files[0].metadata.num_rows != files[1].metadata.num_rows:
        return False
    said = [name for name in files[0].schema_arrow.names if name not in MEASURED]
    batches = zip(*(file.iter_batches(50_000, columns=said) for file in files), strict=True)
    return all(pa.Table.from_batches([a]).equals(pa.Table.from_batches([b])) for a, b in batches)


if __name__ == "__main__":
    raise SystemExit(main())
