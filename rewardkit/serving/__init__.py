"""The HTTP server of a reward model."""
