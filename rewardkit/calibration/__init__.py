"""Margins → probabilities, and how honest they are: calibrators, metrics, intervals."""
