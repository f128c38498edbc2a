"""Texts to be compared: responses by policies, and revisions of them by a constitution."""
