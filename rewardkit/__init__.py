"""rewardkit turns opinions into reward.

Human and judge labels in one store, aggregated on the human scale, a LoRA reward model trained on soft
labels and calibrated against held-out humans.
"""

__version__ = "0.1.0"
