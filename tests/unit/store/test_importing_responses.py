"""Responses about which nothing is said yet: read as they are, and not mistaken for ratings in another layout."""

from __future__ import annotations

import json

import pytest

from rewardkit.config import ImportConfig
from rewardkit.errors import DataError
from rewardkit.store.importing import import_files
from rewardkit.store.store import Store


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_responses_alone(tmp_path):
    rows = [
        {"prompt": "Name a fruit.", "response": text, "model": "m", "task": "words"} for text in ("Apple.", "Pear.")
    ]
    with Store.open(tmp_path / "s.db") as store:
        options = ImportConfig(files=("-",))
        summary = import_files(store, [written(tmp_path / "r.jsonl", rows)], options, rejects=tmp_path / "rejects")
        assert summary.rejected == 0 and {each.text for each in store.responses()} == {"Apple.", "Pear."}
        assert [(each.task, each.messages[0].content) for each in store.prompts()] == [("words", "Name a fruit.")]
        assert store.counts()["comparisons"] == store.counts()["ratings"] == 0


@pytest.mark.parametrize("column", ["quality", "rating", "scores_mean"])
def test_a_column_of_ratings_is_not_lost(tmp_path, column):
    rows = [{"prompt": "p", "response": "r", column: 4}]
    with Store.open(tmp_path / "s.db") as store, pytest.raises(DataError, match="known format") as error:
        import_files(
            store, [written(tmp_path / "r.jsonl", rows)], ImportConfig(files=("-",)), rejects=tmp_path / "rejects"
        )
    assert "scores" in error.value.fix
