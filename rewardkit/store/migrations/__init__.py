"""Alembic's migrations, run by `rewardkit.store.schema` whenever a store is opened."""
