"""What is alike: checked against scikit-learn's own cosine, and on a tiny random model."""

from __future__ import annotations

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from rewardkit.errors import ModelError
from rewardkit.judge.neighbours import likeness, revision_of

TEXTS = ["The cat sat on the mat.", "A dog ran in the park.", "Taxes are due in April."]


def test_words_are_weighed_as_tf_idf_does():
    alike = likeness("tfidf", TEXTS)("the cat and the dog")
    vectors = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\w+").fit([*TEXTS, "a"])
    expected = cosine_similarity(vectors.transform(TEXTS), vectors.transform(["the cat and the dog"]))[:, 0]
    assert list(alike) == pytest.approx(list(expected))
    assert alike[0] > alike[2]


def test_a_text_without_words_is_like_nothing():
    assert list(likeness("tfidf", ["!", "?"])("…")) == [0.0, 0.0]


def test_an_unknown_encoder_is_named(tmp_path):
    with pytest.raises(ModelError, match="no such model folder"):
        revision_of(str(tmp_path / "none"))


@pytest.mark.slow
def test_a_model_finds_a_text_most_like_itself(tiny_model):
    alike = likeness(str(tiny_model()), TEXTS)
    for place, text in enumerate(TEXTS):
        found = list(alike(text))
        assert found[place] == pytest.approx(1.0, abs=1e-5)
        assert max(found) == found[place]
