"""What the doctor says of a job's database."""

from __future__ import annotations

from rewardkit.config import JobConfig
from rewardkit.jobs.doctor import examine
from rewardkit.store.store import Store


def test_it_counts_and_names_the_database_without_its_password(tmp_path):
    Store.open(tmp_path / "r.db").close()
    found = {f.what: f for f in examine(JobConfig(workspace=tmp_path, db=f"{tmp_path}/r.db"))}
    assert found["database"].state == "ok" and "0 comparisons" in found["database"].detail
    # Nothing listens at this port; who it was for may be said, how to get in not.
    found = {f.what: f for f in examine(JobConfig(db="postgresql://me:s3cr@127.0.0.1:1/n"))}
    assert found["database"].state == "problem" and "s3cr" not in found["database"].detail
