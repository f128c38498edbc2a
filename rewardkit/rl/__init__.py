"""Reward functions for the libraries that train policies, and what watches over such a training."""
