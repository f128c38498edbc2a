"""Log-probabilities of the labels at the end of token sequences, with the shared beginning run once.

Sequences are padded on the right: under causal attention nothing real ever sees the padding, so an item
reads the same alone and in company. What all sequences begin with (a job's rubric and instruction) is
run through the model once, and its keys and values are repeated for each.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from rewardkit.batching import common_prefix

SHORTEST_PREFIX = 16


class LabelReader:
    """Reads label log-probabilities from a causal language model.

    Args:
        model: A transformers causal language model in evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._prefix: tuple[int, ...] = ()
        self._cache: Any = None

    def share_prefix(self, sequences: Sequence[list[int]]) -> int:
        """Prepare what the sequences begin with, and return its length (0 if sharing does not pay)."""
        kept = len(self._prefix)
        if kept and all(len(s) > kept and tuple(s[:kept]) == self._prefix for s in sequences):
            return kept
        shared = common_prefix(sequences) if len(sequences) > 1 else 0
        self._prefix, self._cache = (), None
        if shared >= SHORTEST_PREFIX:
            self._run_prefix(tuple(sequences[0][:shared]))
        return len(self._prefix)

    def read(self, sequences: Sequence[Sequence[int]], label_ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the labels' log-probabilities (nats) after each sequence, in one forward pass.

        Args:
            sequences: Token ids, each beginning with the prefix that was last shared.
            label_ids: Ids of the labels of each sequence.
        """
        import torch

        start = len(self._prefix)
        rest = [list(sequence[start:]) for sequence in sequences]
        last = torch.tensor([len(ids) - 1 for ids in rest])
        positions, row = torch.unique(last, return_inverse=True)
        with torch.inference_mode():
            logits = self._model(**self._inputs(rest), logits_to_keep=positions.to(self._model.device)).logits
            final = logits[torch.arange(len(rest)), row.to(logits.device)].float()
            logprobs = torch.log_softmax(final, dim=-1)
        return [values[list(ids)].tolist() for values, ids in zip(logprobs, label_ids, strict=True)]

    def _run_prefix(self, prefix: tuple[int, ...]) -> None:
        import torch

        with torch.inference_mode():
            ids = torch.tensor([prefix], device=self._model.device)
            cache = self._model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
        # Recurrent states and the like cannot be repeated: such models run every request whole.
        if hasattr(cache, "batch_repeat_interleave"):
            self._prefix, self._cache = prefix, cache

    def _inputs(self, rest: list[list[int]]) -> dict[str, Any]:
        import torch

        start, width = len(self._prefix), max(map(len, rest))
        ids = torch.tensor([row + [row[-1]] * (width - len(row)) for row in rest])
        mask = torch.tensor([[1] * (start + len(row)) + [0] * (width - len(row)) for row in rest])
        positions = torch.arange(start, start + width).expand(len(rest), -1)
        device = self._model.device
        inputs = {name: t.to(device) for name, t in _named(ids, mask, positions).items()}
        return {**inputs, "past_key_values": self._repeated(len(rest)), "use_cache": bool(start)}

    def _repeated(self, times: int) -> Any:
        """Return the prefix's keys and values once per sequence; the model appends to this copy only."""
        if self._cache is None:
            return None
        repeated = copy.deepcopy(self._cache)
        repeated.batch_repeat_interleave(times)
        return repeated


def _named(ids: Any, mask: Any, positions: Any) -> dict[str, Any]:
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
