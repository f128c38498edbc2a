"""Which texts are unlike those that a calibration was fitted on: its probabilities say little of them.

A profile holds how long the calibration's texts are and how often each three characters stand in a row in them. A text
is flagged where it is longer or shorter than all of them, or where its characters are more surprising than those of 99
in 100 of them are to the others. Other kinds of task, languages and code are often flagged so, and not always: where
the calibration's own texts are of many kinds, little surprises.
"""

from __future__ import annotations

import base64
import zlib
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rewardkit.calibration.estimates import Array
from rewardkit.types import Finite, Message, Record

BUCKETS = 4096
PSEUDO = 0.5
"""What each bucket counts before any text was seen."""
QUANTILE = 0.99
# Large odd numbers: neighbouring characters must not meet in neighbouring buckets.
_MIX = np.array([0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D], dtype=np.uint64)


class TextProfile(Record):
    """What texts look like, none of which can be read out of it.

    Attributes:
        n: Texts.
        shortest: Characters of the shortest.
        longest: Of the longest.
        limit: Mean surprise of three characters, in nats, that 99 in 100 of the texts stay below when the others are
            what is known.
        trigrams: How often each of 4,096 groups of three characters was seen, packed.
    """

    n: int
    shortest: int
    longest: int
    limit: Finite
    trigrams: str

    def unlike(self, text: str) -> tuple[str, ...]:
        """Return how a text differs from all or nearly all of these: longer, shorter, other words."""
        found = ["longer"] if len(text) > self.longest else ["shorter"] if len(text) < self.shortest else []
        mean, error = _surprise(_places(text), self._counts)
        # A short text may surprise by chance.
        return (*found, "other words") if mean - error > self.limit else tuple(found)

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        return _unpacked(self.trigrams)


class Familiar(Record):
    """The texts that a calibration was fitted on."""

    prompts: TextProfile
    responses: TextProfile

    @classmethod
    def of(cls, conversations: Sequence[tuple[Sequence[Message], str]], units: Sequence[str]) -> Familiar:
        """Describe prompts and responses, (n,), of n units."""
        return cls(
            prompts=profile([_text(prompt) for prompt, _ in conversations], units),
            responses=profile([response for _, response in conversations], units),
        )

    def unlike(self, prompt: Sequence[Message], response: str) -> tuple[str, ...]:
        """Return how a prompt and a response differ from the calibration's; a shorter prompt is no news."""
        return self.unlike_each([(prompt, response)])[0]

    def unlike_each(self, conversations: Sequence[tuple[Sequence[Message], str]]) -> list[tuple[str, ...]]:
        """Return the same for each of several, (n,); a prompt that they share is looked at once."""
        texts = [_text(prompt) for prompt, _ in conversations]
        of_prompt = {text: [how for how in self.prompts.unlike(text) if how != "shorter"] for text in set(texts)}
        of_response = [self.responses.unlike(response) for _, response in conversations]
        return [
            (*(f"prompt: {how}" for how in of_prompt[text]), *(f"response: {how}" for how in found))
            for text, found in zip(texts, of_response, strict=True)
        ]


def _text(prompt: Sequence[Message]) -> str:
    return "\n\n".join(message.content for message in prompt)


def profile(texts: Sequence[str], units: Sequence[str]) -> TextProfile:
    """Describe texts.

    Args:
        texts: (n,) at least one.
        units: The unit of each, (n,): a text is held against those of other units.
    """
    places = [_places(text) for text in texts]
    by_unit: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
    for unit, found in zip(units, places, strict=True):
        by_unit[unit].append(found)
    total = np.bincount(np.concatenate(places), minlength=BUCKETS)
    means = []
    for together in by_unit.values():
        others = total - np.bincount(np.concatenate(together), minlength=BUCKETS)
        means += [_surprise(found, others)[0] for found in together]
    return TextProfile(
        n=len(texts),
        shortest=min(map(len, texts)),
        longest=max(map(len, texts)),
        limit=float(np.quantile(means, QUANTILE)),
        trigrams=_packed(total),
    )


def _places(text: str) -> NDArray[np.int64]:
    """Return the bucket of each three characters in a row; case and the kind of space do not matter."""
    plain = f" {' '.join(text.lower().split())} "
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    if len(codes) < 3:
        return np.empty(0, dtype=np.int64)
    mixed = codes[:-2] * _MIX[0] ^ codes[1:-1] * _MIX[1] ^ codes[2:] * _MIX[2]
    places: NDArray[np.int64] = ((mixed >> np.uint64(16)) % np.uint64(BUCKETS)).astype(np.int64)
    return places


def _surprise(places: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return the mean surprise of a text, in nats, and its standard error; nothing surprises by nothing."""
    if not len(places):
        return 0.0, 0.0
    probabilities: Array = (counts + PSEUDO) / (counts.sum() + PSEUDO * BUCKETS)
    each = -np.log(probabilities[places])
    return float(each.mean()), float(each.std() / np.sqrt(len(each)))


def _packed(counts: NDArray[np.int64]) -> str:
    return base64.b64encode(zlib.compress(counts.astype("<u4").tobytes(), 9)).decode("ascii")


def _unpacked(packed: str) -> NDArray[np.int64]:
    return np.frombuffer(zlib.decompress(base64.b64decode(packed)), dtype="<u4").astype(np.int64)
