"""How fast and how flat the import of comparisons is: JSONL into SQLite with synchronous=FULL.

    python benchmarks/import_speed.py [--rows 1000000]

Every row has its own prompt (about 100 characters), two responses (about 200) and one label. The rows
are generated first; the time is that of the import alone, and the memory is the peak of a process that
does nothing else. The processor time says what the rate would be on a core that nobody else uses. Prints
the figures and writes them beside this file, with the machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from machine import machine

from rewardkit.config import ImportConfig
from rewardkit.store.importing import ImportSummary, import_files
from rewardkit.store.store import Store

RESULT = Path(__file__).parent / "results" / "import_speed.json"
LEAST_PER_SECOND = 10_000
MOST_MEGABYTES = 500
WORDS = "the sea was grey that year and nobody came to the house except a man who sold clocks".split()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "rows.jsonl"
        generate(source, rows)
        # A process of its own, so that generating the rows is not counted.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            figures = pool.apply(measure, (source, rows))
    figures |= {"machine": machine()}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))
    reached = figures["comparisons_per_second"] >= LEAST_PER_SECOND and figures["peak_megabytes"] < MOST_MEGABYTES
    return 0 if reached else 1


def generate(path: Path, rows: int) -> None:
    draw = random.Random(0)
    with path.open("w") as file:
        for number in range(rows):
            label = {"annotator": f"worker{draw.randrange(200)}", "source": "human", "preference": draw.randrange(2)}
            row = {"id": f"row-{number}", "prompt": text(draw, 100), "response_a": text(draw, 200)}
            row |= {"response_b": text(draw, 200), "labels": [label], "meta": {}}
            file.write(json.dumps(row) + "\n")


def text(draw: random.Random, length: int) -> str:
    words = f"{draw.getrandbits(48):012x} {' '.join(draw.choices(WORDS, k=length // 4))}"
    return words[:length]


def measure(source: Path, rows: int) -> dict[str, object]:
    start = time.process_time()
    with Store.open(source.with_name("speed.db")) as store:
        options = ImportConfig(files=(str(source),))
        summary: ImportSummary = import_files(store, [source], options, rejects=source.with_name("rejects.jsonl"))
        assert store.counts()["comparisons"] == rows
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    return {
        "command": f"python benchmarks/import_speed.py --rows {rows}",
        "rows": rows,
        "seconds": round(summary.seconds, 1),
        "cpu_seconds": round(time.process_time() - start, 1),
        "comparisons_per_second": round(summary.comparisons_per_second),
        "peak_megabytes": round(peak),
        "database_megabytes": round(source.with_name("speed.db").stat().st_size / 1024**2),
    }


if __name__ == "__main__":
    raise SystemExit(main())
