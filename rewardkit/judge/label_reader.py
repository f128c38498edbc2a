"""Log-probabilities of the labels at the end of token sequences, with what sequences share run once.

What all begin with (a job's rubric and instruction) is run first, and its keys and values are kept from batch to batch.
The rest of a batch is one row in which what some of them share (a request, a response that stands first in several
comparisons) stands once. Models that cannot read such rows get one row a sequence, padded on the right: under causal
attention nothing real ever sees the padding. Either way a sequence reads the same alone and in company.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rewardkit.attending import Memory, Packable, inputs, padded, prepare, turns
from rewardkit.batching import common_prefix
from rewardkit.packing import alike, groups, pack
from rewardkit.progress import log

SHORTEST_PREFIX = 16
VOCABULARY_AT_ONCE = 8192
CPU_TOKENS = 2048
"""Of a pass on a CPU, at most: memory for more was given back and taken anew by every layer, a tenth of the time."""


class LabelReader:
    """Reads label log-probabilities from a causal language model.

    Args:
        model: A transformers causal language model in evaluation mode.
        share: Whether what sequences share is run once; without, each is run whole, which only measurements want.
    """

    def __init__(self, model: Any, *, share: bool = True) -> None:
        self._model, self._share, self._turns = model, share, turns(model)
        self._memory, self._packable = Memory(), None if share else Packable(0)

    def batches(self, sequences: Sequence[list[int]], budget: int) -> list[list[int]]:
        """Group sequences that are to be read together, and run and keep what they all begin with.

        Args:
            sequences: `(sequences,)` token ids.
            budget: Tokens of a batch, padding included; on a CPU smaller ones are faster, and are made.

        Returns:
            Groups of positions in `sequences`.
        """
        budget = min(budget, CPU_TOKENS) if self._model.device.type == "cpu" else budget
        longest = self._longest(len(sequences))
        packed = [sequence for sequence in sequences if len(sequence) <= longest]
        self._keep(packed)
        return groups(sequences, budget, longest=longest, kept=self._kept(packed), turns=self._turns)

    def read(self, sequences: Sequence[list[int]], label_ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the labels' log-probabilities (nats) after each sequence, in one forward pass.

        Args:
            sequences: Token ids.
            label_ids: Ids of the labels of each sequence.
        """
        import torch

        packed = max(map(len, sequences)) <= self._longest(len(sequences))
        with torch.inference_mode(), exact_logits(self._model):
            final = self._packed(sequences) if packed else self._padded(sequences)
            logprobs = torch.log_softmax(final.float(), dim=-1)
        return [values[list(ids)].tolist() for values, ids in zip(logprobs, label_ids, strict=True)]

    def _longest(self, count: int) -> int:
        """Return how long a sequence in a pack may be; the model is prepared when first there are several."""
        if self._packable is None and count > 1:
            self._packable = prepare(self._model)
            if self._packable.why:
                whole = f"requests of more than {n:,} tokens" if (n := self._packable.longest) else "requests"
                log(f"judge: {whole} are run whole, which takes longer: {self._packable.why}")
        return self._packable.longest if self._packable else 0

    def _kept(self, sequences: Sequence[list[int]]) -> int:
        """Return how much of what is kept the sequences begin with, leaving each at least one token."""
        return min((min(alike(self._memory.tokens, s), len(s) - 1) for s in sequences), default=0)

    def _keep(self, sequences: Sequence[list[int]]) -> None:
        """Run what the sequences begin with, as far as it is not kept and pays."""
        import torch

        shared, kept = common_prefix(sequences) if len(sequences) > 1 else 0, self._kept(sequences)
        if shared - kept < SHORTEST_PREFIX:
            return
        memory = Memory(sequences[0][:shared])
        with torch.inference_mode():
            row = inputs(pack([memory.tokens], kept), self._memory, self._model.device, grown=memory)
            self._model(**row, logits_to_keep=1)
        self._memory = memory

    def _packed(self, sequences: Sequence[list[int]]) -> Any:
        """Return the logits after each sequence, (sequences, vocabulary)."""
        import torch

        packed = pack(sequences, self._kept(sequences))
        ends = torch.tensor(packed.ends, device=self._model.device)
        return self._model(**inputs(packed, self._memory, self._model.device), logits_to_keep=ends).logits[0]

    def _padded(self, sequences: Sequence[list[int]]) -> Any:
        import torch

        device = self._model.device
        last, row = torch.unique(torch.tensor([len(ids) - 1 for ids in sequences], device=device), return_inverse=True)
        logits = self._model(**padded(sequences, device), logits_to_keep=last).logits
        return logits[torch.arange(len(sequences), device=device), row]


@contextmanager
def exact_logits(model: Any) -> Iterator[None]:
    """Let a model of lower precision compute its logits in float32.

    In bfloat16 a logit of 20 is a multiple of 1/8: 3 of 24 real requests came out as an exact tie of their labels.
    """
    import torch

    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or head.weight.dtype not in (torch.bfloat16, torch.float16):
        yield
        return
    hook = head.register_forward_hook(_in_float32)
    try:
        yield
    finally:
        hook.remove()


def _in_float32(head: Any, arguments: tuple[Any], _: Any) -> Any:
    import torch

    # A part of the vocabulary at a time: a copy of all weights may be gigabytes.
    parts = [torch.nn.functional.linear(arguments[0].float(), w.float()) for w in head.weight.split(VOCABULARY_AT_ONCE)]
    logits = torch.cat(parts, dim=-1)
    return logits if head.bias is None else logits + head.bias.float()
