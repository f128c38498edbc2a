"""The layers below those that learn: frozen, so that what they make of a text is the same in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rewardkit.packing import Pack
from rewardkit.progress import log

MOST_KEPT = 4 * 1024**3
"""Bytes of states that are kept; other texts go through all layers in every epoch."""


class Trunk:
    """Runs frozen layers once for each text, and keeps what they make of it.

    Args:
        layers: The frozen layers, from the first.
        most: Bytes that are kept.
    """

    def __init__(self, layers: Sequence[nn.Module], most: int = MOST_KEPT) -> None:
        self._layers = list(layers)
        self._kept: dict[tuple[int, ...], Tensor] = {}
        self._most, self._bytes = most, 0

    def eval(self) -> None:
        """Let nothing drop out: what is kept is the same for every epoch, and for whoever scores."""
        for layer in self._layers:
            layer.eval()

    def states(self, packed: Pack, sequences: Sequence[list[int]], run: Callable[[], Any]) -> Tensor:
        """Return what the layers make of a row, `(1, rows, width)`.

        Args:
            packed: The row.
            sequences: Those that it was made of.
            run: Runs the whole model on the row.
        """
        parts: list[Tensor] = []
        for segment in packed.segments:
            if (known := self._kept.get(tuple(sequences[segment.sequence]))) is None:
                return self._run_and_keep(packed, sequences, run)
            parts.append(known[packed.positions[segment.rows[0]] :])
        return torch.cat(parts)[None]

    def _run_and_keep(self, packed: Pack, sequences: Sequence[list[int]], run: Callable[[], Any]) -> Tensor:
        found = self._run(run)
        # What was computed where no gradient can ever follow is of no use to training.
        for segment in () if found.is_inference() else packed.segments:
            places = torch.cat([torch.arange(*span) for span in segment.columns])
            self._keep(tuple(sequences[segment.sequence]), found[0, places.to(found.device)])
        return found

    def _keep(self, sequence: tuple[int, ...], states: Tensor) -> None:
        if sequence in self._kept or self._most == 0:
            return
        if self._bytes + states.nbytes > self._most:
            log(f"train: what frozen layers make of {len(self._kept)} texts is kept, and of no more: memory")
            self._most = 0
            return
        self._kept[sequence] = states
        self._bytes += states.nbytes

    def _run(self, run: Callable[[], Any]) -> Tensor:
        """Run the layers, and nothing above them."""
        hook = self._layers[-1].register_forward_hook(_stop)
        try:
            with torch.no_grad():
                run()
        except _Reached as reached:
            return reached.states
        finally:
            hook.remove()
        raise AssertionError("a model went past a layer of its own")

    @contextmanager
    def standing_for(self, states: Tensor) -> Iterator[None]:
        """Let the layers say what they said, without computing it."""
        before = [layer.forward for layer in self._layers]
        for layer in self._layers:
            layer.forward = lambda *_, **__: states
        try:
            yield
        finally:
            for layer, forward in zip(self._layers, before, strict=True):
                layer.forward = forward


class _Reached(Exception):
    """The last of the layers is done."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states


def _stop(_: Any, __: Any, states: Tensor) -> None:
    raise _Reached(states)
