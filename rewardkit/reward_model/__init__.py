"""Backbone + LoRA + head: rendering, collation, losses, training, scoring."""
