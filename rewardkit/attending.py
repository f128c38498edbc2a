"""Attention within packs: how a model of transformers reads sequences that stand in one row and begin alike.

Models attend through a function that transformers is told of by name. Sharing one beginning among many sequences is
Hydragen (Juravsky et al. 2024, arXiv:2402.05099); here beginnings are a tree, and nothing is merged afterwards: the
keys of a sequence are gathered instead, which costs little beside what is attended to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rewardkit.hardware import quiet_loading
from rewardkit.packing import Pack, Segment, pack

PACKED = "rewardkit_packed"
UNLIMITED = 1 << 31
ATTENDING = {"full_attention", "sliding_attention"}
APART, ROUNDED_APART = 1e-4, 0.5
"""How far a pack's hidden states may be from those of single passes, as a share of their spread: in float32, and below
it, where two of torch's own ways to attend were 0.13 apart on nonsense."""
LEAK = 1e-3
"""The same between two packs in which only other sequences differ, and every product has the same shape."""


@dataclass
class Memory:
    """Keys and values of what sequences begin with, by layer, each `(1, heads, tokens, width)`."""

    tokens: list[int] = field(default_factory=list)
    layers: dict[int, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Attended:
    """What the attention of each layer is told of a row.

    Attributes:
        segments: Of the pack.
        memory: Holds what is kept.
        kept: How much of it.
        grown: Where to keep what is kept and the row together, if anywhere.
    """

    segments: list[Segment]
    memory: Memory
    kept: int
    grown: Memory | None = None

    def joined(self, layer: int, key: Any, value: Any) -> tuple[Any, Any]:
        """Return the keys and values of what is kept and of the row, one after the other."""
        import torch

        if self.kept:
            kept = (each[:, :, : self.kept] for each in self.memory.layers[layer])
            key, value = (torch.cat(pair, dim=2) for pair in zip(kept, (key, value), strict=True))
        if self.grown is not None:
            self.grown.layers[layer] = key, value
        return key, value


def inputs(packed: Pack, memory: Memory, device: Any, *, grown: Memory | None = None) -> dict[str, Any]:
    """Return what a prepared model is called with.

    Args:
        packed: The sequences.
        memory: Holds what is kept of them.
        device: Where the model is.
        grown: Where to keep the keys and values of the whole row, if anywhere.
    """
    import torch

    # A mask of four dimensions is passed on as it is. On a CPU the segments say all, elsewhere one call with a mask
    # is best.
    mask = torch.empty(1, 1, 1, 0) if _on_segments(device) else visible(packed)[None, None]
    return {
        "input_ids": torch.tensor([packed.ids], device=device),
        "position_ids": torch.tensor([packed.positions], device=device),
        "attention_mask": mask.to(device),
        "use_cache": False,
        "attended": Attended(packed.segments, memory, packed.kept, grown),
    }


def padded(sequences: Sequence[list[int]], device: Any) -> dict[str, Any]:
    """Return what a model is called with for rows padded on the right: under causal attention nothing sees that."""
    import torch

    width = max(map(len, sequences))
    rows = [row + [row[-1]] * (width - len(row)) for row in sequences]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in sequences]
    return {
        "input_ids": torch.tensor(rows, device=device),
        "attention_mask": torch.tensor(mask, device=device),
        "use_cache": False,
    }


def visible(packed: Pack) -> Any:
    """Return which columns each row attends to, `(rows, kept + rows)`, as truths."""
    import torch

    rows = len(packed.ids)
    seen = torch.zeros(rows, packed.kept + rows, dtype=torch.bool)
    for segment in packed.segments:
        start, stop = segment.rows
        for first, last in segment.columns:
            seen[start:stop, first:last] = True
        own = slice(packed.kept + start, packed.kept + stop)
        seen[start:stop, own] = seen[start:stop, own].tril()
    return seen


def attend(  # noqa: PLR0913 - transformers says which
    module: Any, query: Any, key: Any, value: Any, mask: Any, *, attended: Attended | None = None, **how: Any
) -> Any:
    """Attend as the row's segments say; without them as torch does. No weight is dropped within a row.

    Args:
        module: The model's attention.
        query: `(1, heads, rows, width)`, turned to its positions.
        key: The same of keys, whose heads may be fewer.
        value: The same of values.
        mask: What transformers made of the attention mask.
        attended: Of the row.
        how: What transformers says beside it.

    Returns:
        `(1, rows, heads, width)`, and no weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if attended is None:
        return sdpa_attention_forward(module, query, key, value, mask, **how)
    key, value = attended.joined(module.layer_idx, key, value)
    if not _on_segments(query.device):
        return sdpa_attention_forward(module, query, key, value, mask, **how)
    from rewardkit.products import SegmentAttention

    scaling = how.get("scaling") or query.shape[-1] ** -0.5
    return SegmentAttention.apply(query[0], key[0], value[0], attended.segments, scaling)[None], None  # type: ignore[no-untyped-call]


def _on_segments(device: Any) -> bool:
    """Say whether segments are attended to one after the other, which only a CPU does well."""
    return bool(device.type == "cpu")


@dataclass(frozen=True)
class Packable:
    """Whether a model reads packs.

    Attributes:
        longest: Tokens of a sequence in a pack, at most; 0 if it reads none.
        why: Why not more.
    """

    longest: int
    why: str = ""


def prepare(model: Any) -> Packable:
    """Let a model attend within packs, and see that it then says what it says without.

    Calls without a pack go on as before. A model that does more than attend (a recurrent one), or attends in a way of
    its own, is left as it was.

    Args:
        model: Of transformers, in evaluation mode.
    """
    config = model.config.get_text_config()
    if model._is_stateful or set(getattr(config, "layer_types", None) or ()) - ATTENDING:
        return Packable(0, "its layers do more than attend")
    if config._attn_implementation not in ("sdpa", PACKED) or not model._can_set_attn_implementation():
        return Packable(0, "it attends in a way of its own")
    _register()
    with quiet_loading():
        model.set_attn_implementation(PACKED)
        if why := _disagreement(model, config.vocab_size):
            model.set_attn_implementation("sdpa")
            return Packable(0, why)
    limits = [(at, "it turns every token of a longer call by other angles") for at in turns(model)]
    if window := getattr(config, "sliding_window", None):
        limits.append((window, f"it attends to {window} tokens"))
    return Packable(*min(limits, default=(UNLIMITED, "")))


def turns(model: Any) -> tuple[int, ...]:
    """Return beyond how many tokens a call turns all of its tokens by other angles, in rising order.

    Such rotary embeddings go by the greatest position in a call, so that a short sequence reads differently beside a
    long one, and so does what was kept of a short call in a long one. Angles of dynamic NTK depend on earlier calls
    too, but only beyond the model's context.

    Args:
        model: Of transformers.

    References:
        Ding et al. 2024, LongRoPE (arXiv:2402.13753): factors of their own for lengths up to the original one.
    """
    config = model.config.get_text_config()
    rotary = getattr(config, "rope_parameters", None) or {}
    found = set()
    # Those of the whole model, or of each kind of layer.
    for each in (rotary, *rotary.values()):
        kind = each.get("rope_type", "") if isinstance(each, dict) else ""
        if kind == "longrope":
            found.add(int(each["original_max_position_embeddings"]))
        elif "dynamic" in kind:
            found.add(int(config.max_position_embeddings))
    return tuple(sorted(found))


def _register() -> None:
    import transformers
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    transformers.AttentionInterface.register(PACKED, attend)
    AttentionMaskInterface.register(PACKED, sdpa_mask)


def _disagreement(model: Any, vocabulary: int) -> str:
    """Say how a model reads packs differently from single sequences; only a large difference is more than rounding."""
    import torch

    probes, altered = (_probes(own, vocabulary) for own in (11, 13))
    body, device = model.base_model, model.device
    with torch.inference_mode():
        alone = torch.stack([body(input_ids=torch.tensor([ids], device=device))[0][0, -1] for ids in probes])
        try:
            found, other = (
                body(**inputs(packed, Memory(), device))[0][0, packed.ends] for packed in (pack(probes), pack(altered))
            )
        except (TypeError, ValueError, RuntimeError) as error:
            # It takes no such arguments, or stumbles over them; as it is it can still be asked.
            return f"it cannot read packs ({type(error).__name__}: {error})"
    apart, leak = _apart(found, alone), _apart(found[-1:], other[-1:])
    allowed = APART if model.dtype == torch.float32 else ROUNDED_APART
    return "" if apart <= allowed and leak <= LEAK else f"it reads packs differently (by {max(apart, leak):.1g})"


def _probes(own: int, vocabulary: int) -> list[list[int]]:
    """Return sequences that share beginnings; the last shares half of it, and does not depend on `own`."""
    shared = [(101 + 37 * i * i) % (vocabulary - 1) for i in range(24)]
    tails = [[(own + step * i) % vocabulary for i in range(count)] for step, count in ((17, 8), (29, 12))]
    # It comes last in a pack, too: there others stand before it.
    return [*(shared + tail for tail in tails), [*shared[:12], shared[12] + 1]]


def _apart(one: Any, other: Any) -> float:
    spread = other.float() - other.float().mean(-1, keepdim=True)
    return float((one.float() - other.float()).norm() / spread.norm())
