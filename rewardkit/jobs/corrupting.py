"""Texts beside forms of them that are known to be worse: pairs with a known better side.

They stand in a database of their own in the stage's folder, as those of stress tests do: nobody can train on them, or
count their labels beside people's, without naming that database. Their labels are by an annotator that says what it is:
no person and no model, but how the text was made (`kind: judge`, simulated, rater group `construction`). Only what is
known to be worse is labelled: a text that flatters or is padded is no better, and how much worse readers find it nobody
knows; such a pair is there without a label.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from rewardkit.audit.stress import KEY
from rewardkit.audit_config import StressConfig
from rewardkit.corruptions import corruption_named
from rewardkit.errors import DataError
from rewardkit.generate_config import CorruptionsConfig
from rewardkit.jobs.stressing import changed_texts
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Label, Prompt, Record, Response, content_id

RATERS = "construction"


def spoil(
    texts: Iterable[tuple[Prompt, Response]], config: CorruptionsConfig, folder: Path, seed: int
) -> tuple[str, dict[str, int]]:
    """Write spoilt texts beside what they were made of into a database of their own.

    Args:
        texts: Responses that may be changed, with what they answer.
        config: How many, and how.
        folder: Of the stage.
        seed: Of the choice.

    Returns:
        The database's name, and how many pairs and labels of each kind there are.

    Raises:
        DataError: No text can be changed.
    """
    by_id = {response.id: (prompt, response) for prompt, response in texts}
    chosen = StressConfig(count=config.count, kinds=config.kinds)
    made = list(changed_texts((response for _, response in by_id.values()), chosen, seed))
    if not made:
        raise DataError(
            "no text can be changed", where="generate.corruptions", fix="import or generate responses first"
        )
    originals = {original.id: by_id[original.id] for original, _ in made}
    pairs = [record for _, record in made if isinstance(record, Comparison)]
    found = [record for both in originals.values() for record in both] + [record for _, record in made]
    # What was chosen names the file: other texts are another set, and whatever was said of these stays.
    place = folder / f"corrupted-{content_id('corrupted', *sorted(pair.id for pair in pairs))[:8]}.db"
    labels = list(_labels(pairs, originals))
    with Store.open(place) as store:
        store.add([*found, *labels])
    return place.name, {"pairs": len(pairs), "of a known better side": sum(isinstance(each, Label) for each in labels)}


def _labels(pairs: Iterable[Comparison], originals: Container[str]) -> Iterator[Record]:
    """Yield what is known: that the unchanged text is the better one, where the change makes it worse."""
    for pair in pairs:
        name = pair.metadata[KEY]
        if corruption_named(name).effect == "worse":
            who = Annotator.of("judge", f"corruption/{name}", rater_group=RATERS, simulated=True)
            yield who
            yield Label.of(pair.id, who.id, choice="a" if pair.response_a in originals else "b")
