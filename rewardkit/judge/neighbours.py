"""Which texts are alike: by their words (TF-IDF), or by a sentence encoder.

Examples that are like the item serve a model better than examples at random (Liu et al. 2022, What makes good
in-context examples for GPT-3?, arXiv:2101.06804).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rewardkit.errors import ModelError
from rewardkit.extras import require
from rewardkit.hardware import device, quiet_loading
from rewardkit.models import resolve

TFIDF = "tfidf"
TEXTS_AT_A_TIME = 16
LONGEST = 512
"""Tokens of a text that an encoder reads; sentence encoders are trained on no more."""

Likeness = Callable[[str], Sequence[float]]
"""How much a text is like each of those that were given, from -1 to 1."""


def likeness(by: str, texts: Sequence[str]) -> Likeness:
    """Return what tells how much a text is like each of these.

    Args:
        by: "tfidf", or a sentence encoder: alias, folder or hub id.
        texts: At least one, with words in it.

    Raises:
        ModelError: There is no such encoder.
        MissingExtraError: A package of the extra `judge` is not installed.
    """
    return _by_words(texts) if by == TFIDF else _by_meaning(by, texts)


def revision_of(by: str) -> str:
    """Return what changes when texts may be found alike that were not; empty for TF-IDF.

    Raises:
        ModelError: There is no such encoder.
    """
    return "" if by == TFIDF else resolve(by).revision


def _by_words(texts: Sequence[str]) -> Likeness:
    require("sklearn", "judge")
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Words of one letter and of any script count: an item of nothing but such words is like nothing, and no error.
    vectors = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\w+")
    known = vectors.fit_transform([*texts, "a"])[: len(texts)]

    def alike(text: str) -> Sequence[float]:
        found: Sequence[float] = (known @ vectors.transform([text]).T).toarray()[:, 0].tolist()
        return found

    return alike


def _by_meaning(name: str, texts: Sequence[str]) -> Likeness:
    encoder = _Encoder(name)
    known = encoder.encode(texts)

    def alike(text: str) -> Sequence[float]:
        found: Sequence[float] = (known @ encoder.encode([text])[0]).tolist()
        return found

    return alike


class _Encoder:
    """A sentence encoder: the mean of its last states over a text's tokens, of length 1.

    Args:
        name: Alias, folder or hub id.

    References:
        Reimers and Gurevych 2019, Sentence-BERT, arXiv:1908.10084, section 3 (mean pooling).
    """

    def __init__(self, name: str) -> None:
        require("torch", "judge")
        transformers, folder = require("transformers", "judge"), resolve(name)
        try:
            with quiet_loading():
                self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder.path)
                self._model = transformers.AutoModel.from_pretrained(folder.path).to(device()).eval()
        except (OSError, ValueError) as error:
            raise ModelError(
                f"the encoder cannot be loaded: {error}",
                where=name,
                expected="a sentence encoder that transformers loads, such as minilm",
            ) from error
        if self._tokenizer.pad_token is None:
            raise ModelError("the tokenizer has no token to pad with", where=name, fix="choose a sentence encoder")

    def encode(self, texts: Sequence[str]) -> Any:
        """Return the texts' vectors, (texts, width)."""
        import torch

        batches = []
        with torch.inference_mode():
            for batch in _batches(texts):
                asked = self._tokenizer(batch, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
                asked = asked.to(self._model.device)
                states = self._model(**asked).last_hidden_state.float()
                counts = asked["attention_mask"].unsqueeze(-1).float()
                batches.append(((states * counts).sum(1) / counts.sum(1).clamp(min=1.0)).cpu())
        return torch.nn.functional.normalize(torch.cat(batches), dim=1)


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), TEXTS_AT_A_TIME):
        yield list(texts[start : start + TEXTS_AT_A_TIME])
