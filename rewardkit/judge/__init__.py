"""Backends × protocols → labels: judge models that label comparisons in batch."""
