"""Annotators that do not exist: labels from a stated quality, with stated reliability and bias."""
