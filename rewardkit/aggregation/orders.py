"""Both orders of one comparison → one opinion: what favours a position cancels, and is kept as a number.

A judge that leans to what it reads first adds the same logits to A when A is shown first and to B when B is.
The mean of the two orders' logits is free of that, and half their difference is the lean itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rewardkit.errors import DataError
from rewardkit.types import Order


@dataclass(frozen=True)
class JudgeOpinion:
    """What one judge said, both orders averaged in logit space.

    Attributes:
        logit: Log odds of A; what favours a position cancels when both orders were shown.
        position_residual: Half the difference between the orders: logits in favour of the response
            shown first. None where only one order is there.
    """

    logit: float
    position_residual: float | None = None


def swap_average(logits: Mapping[Order | None, float]) -> JudgeOpinion:
    """Average what a judge said in each order in which it saw a comparison.

    Args:
        logits: Log odds of A in the comparison's frame, by the order shown; None where that is not known.

    Raises:
        DataError: There is nothing to average.

    Example:
        A judge that sees A ahead by one logit, and leans to the first by two:

        >>> swap_average({"ab": 3.0, "ba": -1.0})
        JudgeOpinion(logit=1.0, position_residual=2.0)
    """
    if not logits:
        raise DataError("there is no verdict to average", expected="the log odds of one order at least")
    both = "ab" in logits and "ba" in logits
    mean = math.fsum(logits.values()) / len(logits)
    return JudgeOpinion(mean, (logits["ab"] - logits["ba"]) / 2 if both else None)
