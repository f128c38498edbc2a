"""How often texts are flagged as unlike a calibration's: texts of the same kind, of other kinds, and other languages.

    python benchmarks/likeness.py [--data ../shared/data]

From each of four data sets 200 texts, or half of it, stand for a calibration's; the share of the others that is
flagged for its words is printed, beside the shares of the other sets. Writes benchmarks/results/likeness.json.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from machine import machine

RESULTS = Path(__file__).parent / "results" / "likeness.json"
SETS = {
    "fiction": ("lamp_quality.jsonl", "response"),
    "short answers": ("pandalm.jsonl", "response_a"),
    "general help": ("mtbench_llmeval_faireval.jsonl", "response_a"),
    "story plots": ("scratchplot_endings.jsonl", "response_a"),
}
FOREIGN = (
    "Der Regen fiel auf die Dächer der alten Stadt, und niemand wusste, wann er aufhören würde.",
    "La pluie tombait sur les toits de la vieille ville et personne ne savait quand elle cesserait.",
    "El hombre caminaba por la calle vacía, pensando en su madre y en el mar.",
    "雨が古い町の屋根に降り注いでいた。",
    "def f(x):\n    return [y**2 for y in x if y % 2]\n\nprint(f(range(10)))",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    from rewardkit.calibration.likeness import profile
    from rewardkit.runs import write_json

    texts = {}
    for name, (file, column) in SETS.items():
        lines = (options.data / file).read_text(encoding="utf-8").splitlines()
        texts[name] = sorted({json.loads(line)[column] for line in lines})
        random.Random(0).shuffle(texts[name])
    found: dict[str, dict] = {}
    for name, own in texts.items():
        count = min(200, len(own) // 2)
        known = profile(own[:count], [str(number) for number in range(count)])
        asked = {**texts, name: own[count:], "other languages and code": list(FOREIGN)}
        found[name] = {"calibration": count}
        for kind, some in asked.items():
            share = sum("other words" in known.unlike(text) for text in some) / len(some)
            found[name][kind] = {"flagged": round(share, 3), "n": len(some)}
            print(f"{name}: of {kind}{', held out' if kind == name else ''}: {share:.3f} (n = {len(some)})")
    write_json(options.out, {"command": "python benchmarks/likeness.py", "machine": machine(), "flagged": found})


if __name__ == "__main__":
    main()
