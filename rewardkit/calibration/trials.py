"""Labelled items → independent trials: of each unit one item, of each item one person.

The tests behind a judge's guarantee (`selective.py`, `cascades.py`) count successes in independent trials. Comparisons
of one prompt are none, and half an agreement is no success; both are settled by a draw that is a hash, so that it
depends on neither the order of the items nor on what they say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rewardkit.calibration.estimates import Array
from rewardkit.errors import DataError
from rewardkit.types import content_id

WHERE = "selective labelling"


def checked_items(
    confidence: npt.ArrayLike, agreement: npt.ArrayLike, units: Sequence[str] | None
) -> tuple[Array, Array, list[str]]:
    """Return confidence and agreement as (n, stages) and the units' names; agreement is 0 where there is no confidence.

    Raises:
        DataError: There is no item, lengths differ, a confidence is infinite, or an agreement is no share.
    """
    sure, agreed = (np.asarray(each, dtype=np.float64) for each in (confidence, agreement))
    sure, agreed = (each[:, None] if each.ndim == 1 else each for each in (sure, agreed))
    if sure.ndim != 2 or sure.shape != agreed.shape or (units is not None and len(units) != len(sure)):
        sizes = f"{sure.shape} confidences, {agreed.shape} agreements"
        sizes += "" if units is None else f", {len(units)} units"
        raise DataError(sizes, where=WHERE, expected="as many of each")
    if not sure.size:
        raise DataError("there is no labelled item", where=WHERE, fix="label some, a few hundred if possible")
    if np.isinf(sure).any():
        raise DataError("a confidence is infinite", where=WHERE, expected="finite numbers, or NaN where there is none")
    agreed = np.where(np.isnan(sure), 0.0, agreed)
    if not ((agreed >= 0) & (agreed <= 1)).all():
        raise DataError(
            "an agreement is not between 0 and 1",
            where=WHERE,
            expected="the share of people who agree with the judge",
            fix="leave out items that nobody labelled",
        )
    return sure, agreed, [str(i) for i in range(len(sure))] if units is None else list(units)


def one_per_unit(rows: Array, units: Sequence[str], seed: int) -> npt.NDArray[np.int64]:
    """Draw one item of each unit: by a hash of the unit among its items in the order of their values.

    The draw does not depend on the order in which the items were given, and is uniform whatever their values.

    Args:
        rows: What is known of each item, (n, values).
        units: n names.
        seed: Of the hash.

    Returns:
        The items drawn, one index for each unit.
    """
    order = np.lexsort(rows.T[::-1])
    members: dict[str, list[int]] = {}
    for i in order:
        members.setdefault(units[i], []).append(int(i))
    drawn = [own[int(uniform_hash("item", unit, seed) * len(own))] for unit, own in members.items() if len(own) > 1]
    alone = [own[0] for own in members.values() if len(own) == 1]
    return np.array(sorted(drawn + alone), dtype=np.int64)


def one_person(agreed: Array, units: Sequence[str], seed: int) -> Array:
    """Turn shares of people who agree, (n, stages), into the answer of one of them: 1 agrees, 0 does not."""
    divided = {int(i) for i in np.flatnonzero(((agreed > 0) & (agreed < 1)).any(axis=1))}
    at = np.array([uniform_hash("person", unit, seed) if i in divided else 0.5 for i, unit in enumerate(units)])
    person: Array = (at[:, None] < agreed).astype(np.float64)
    return person


def uniform_hash(what: str, unit: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on what it is for, the unit and the seed alone."""
    # 53 bits: what a float holds, so that the result stays below 1.
    return (int(content_id(what, str(seed), unit), 16) >> 75) / 2**53
