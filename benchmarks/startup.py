"""How long `rewardkit --help` takes, beside a Python that does nothing.

    python benchmarks/startup.py [--runs 20]

Prints the median, and writes it beside this file with the machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import machine

from rewardkit.runs import write_json

RESULT = Path(__file__).parent / "results" / "startup.json"
MOST_SECONDS = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    script = str(Path(sys.executable).parent / "rewardkit")
    ours = median_seconds([script, "--help"], runs)
    python = median_seconds([sys.executable, "-c", "pass"], runs)
    result = {"help_seconds": ours, "bare_python_seconds": python, "most_seconds": MOST_SECONDS, "runs": runs}
    print(f"rewardkit --help: {ours:.3f} s (bare python {python:.3f} s), median of {runs}; at most {MOST_SECONDS} s")
    write_json(RESULT, {**result, "machine": machine()})
    return 0 if ours < MOST_SECONDS else 1


def median_seconds(command: list[str], runs: int) -> float:
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds), 4)


if __name__ == "__main__":
    raise SystemExit(main())
