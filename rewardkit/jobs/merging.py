"""`rewardkit merge`: a reward model as plain weights."""

from __future__ import annotations

from pathlib import Path

from rewardkit.extras import require_all
from rewardkit.jobs.stages import Summary


def merge(model: Path, out: Path, member: int | None) -> Summary:
    """Write a reward model's folder as a plain sequence-classification model.

    Args:
        model: The reward model's folder.
        out: The folder to write.
        member: Of an ensemble, from 1.

    Raises:
        UserError: See `reward_model.merging.merge`.
    """
    require_all("train")
    from rewardkit.reward_model import merging

    found = merging.merge(model, out, member=member)
    return {"folder": str(found.path), "largest difference of a reward": found.apart}
