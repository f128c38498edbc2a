"""Backbone + LoRA + head: rendering, collation, losses, training, scoring."""

import logging

# peft loads it where it is installed, and on a CPU it warns of a package that would speed up what is not used here.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
