"""Texts to be compared: responses by policies, revisions of them by a constitution, prompts proposed after seeds."""
