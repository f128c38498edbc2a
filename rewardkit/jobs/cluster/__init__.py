"""The judge on a Ray cluster: who is given what, what it may spend, and what comes back. Nothing else knows Ray."""
