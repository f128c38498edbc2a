from __future__ import annotations

import pytest

from labeling_ui.study import Study
from rewardkit.config import ImportConfig, load_config
from rewardkit.errors import UserError
from rewardkit.jobs.labels import import_into
from rewardkit.label_config import LabelConfig
from rewardkit.models import resolve
from rewardkit.store.store import Store


@pytest.mark.parametrize(
    "look",
    [
        lambda path: load_config(path / "gone.yaml"),
        lambda path: import_into(path / "s.db", ImportConfig(files=(str(path / "gone.jsonl"),)), path / "r"),
        lambda path: Study.of(LabelConfig(guidelines=str(path / "gone.md")), "study"),
        lambda path: resolve(str(path / "gone.gguf")),
        lambda path: Store.open(path / "gone.db", create=False),
    ],
)
def test_what_is_not_there_was_looked_for_somewhere(look, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        look(tmp_path.__class__("in"))
    assert f"looked for in {tmp_path}" in str(caught.value) and "in/gone" in str(caught.value)
    # An absolute path says itself where.
    with pytest.raises(UserError) as caught:
        look(tmp_path / "in")
    assert "looked for" not in str(caught.value) and f"{tmp_path}/in/gone" in str(caught.value)
