"""Backends × protocols → labels: judge models that label comparisons and rate responses in batch."""
