"""Is it really there? A judge's quotes, looked up in the text that they are said to come from.

A quote is looked for as it is, then with space, quotation marks, dashes and dots brought to one form, for models tidy
up what they copy. Offsets are always those of the text as it is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rewardkit.passages import Passage

LEAST_LETTERS = 3
_SAME = {
    **dict.fromkeys("“”„‟«»＂", '"'),
    **dict.fromkeys("‘’‚‛`´＇", "'"),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    "…": "...",
    # What a judge is shown for a sign that could have opened a tag.
    "‹": "<",
}
_AROUND = " \t\r\n\"'"


@dataclass(frozen=True)
class Quotable:
    """A text in which quotes are looked up; it is brought to the form in which they are compared once for all of them.

    Attributes:
        text: As it is stored.
    """

    text: str

    def find(self, quote: str) -> Passage | None:
        """Return the first place at which a quote stands in the text; None where it stands nowhere.

        A quote of fewer than three letters is in every text and shows nothing: it is not looked for.

        Args:
            quote: What is said to be in it.
        """
        quote = quote.strip()
        if sum(letter.isalnum() for letter in quote) < LEAST_LETTERS:
            return None
        at = _whole_words(self.text, quote)
        if at is not None:
            return Passage(at, at + len(quote))
        looked_in, wanted = self._tidied, _Tidied.of(quote).letters.strip(_AROUND)
        # Dots at an end are how one says that something was left out.
        for bare in dict.fromkeys((wanted, wanted.strip(_AROUND + "."))):
            if bare and (at := _whole_words(looked_in.letters, bare)) is not None:
                return Passage(looked_in.places[at], looked_in.ends[at + len(bare) - 1])
        return None

    @cached_property
    def _tidied(self) -> _Tidied:
        return _Tidied.of(self.text)


@dataclass(frozen=True)
class _Tidied:
    """A text in the form in which quotes are compared, and where each of its letters stands in the text."""

    letters: str
    places: list[int]
    ends: list[int]

    @classmethod
    def of(cls, text: str) -> _Tidied:
        letters: list[str] = []
        places: list[int] = []
        ends: list[int] = []
        for place, sign in enumerate(text):
            same = " " if sign.isspace() else _SAME.get(sign, sign)
            if same == " " and letters and letters[-1] == " ":
                ends[-1] = place + 1
                continue
            letters += same
            places += [place] * len(same)
            ends += [place + 1] * len(same)
        return cls("".join(letters), places, ends)


def _whole_words(text: str, quote: str) -> int | None:
    """Return where a quote stands that begins and ends with a word, and not in the middle of one."""
    at = text.find(quote)
    while at >= 0:
        end = at + len(quote)
        if not (_inside(text[at - 1 : at], quote[0]) or _inside(quote[-1], text[end : end + 1])):
            return at
        at = text.find(quote, at + 1)
    return None


def _inside(one: str, other: str) -> bool:
    """Tell whether two signs beside each other belong to one word.

    Scripts without capitals often put no space between words: there every sign may begin one.
    """
    return all(sign.isdigit() or sign.lower() != sign.upper() for sign in (one, other))
