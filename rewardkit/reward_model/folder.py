"""The folder of a trained reward model: written once, loaded by rewardkit or by plain transformers + peft.

adapter_config.json, adapter_model.safetensors   LoRA adapters and the float32 head (`score`)
tokenizer files                                  with a pad token that is not the end of a turn
rewardkit.json                                   base model, renderer and its hash, resolved config
reward_calibration.json                          margins → probabilities, written by `calibrate`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rewardkit.config import TrainConfig
from rewardkit.errors import ModelError
from rewardkit.extras import require
from rewardkit.hardware import NF4, device, dtype_of, quiet_loading
from rewardkit.models import resolve
from rewardkit.reward_model.backbone import (
    FIRST,
    RewardNetwork,
    build_network,
    frozen_layers,
    load_classifier,
    load_tokenizer,
    member_names,
)
from rewardkit.reward_model.rendering import Renderer
from rewardkit.runs import make_folder, versions, write_text
from rewardkit.types import SCHEMA_VERSION, Record

CARD = "rewardkit.json"
ADAPTERS = "adapter_model.safetensors"
README = "README.md"
IN_FOUR_BITS = """dtype="bfloat16", quantization_config={
        "quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16",
    }"""
PLAIN_LOADING = """## Loading it

Base model: `{base}`, revision `{revision}`. With rewardkit: `rewardkit score THIS_FOLDER responses.jsonl`. Without it:

```python
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("THIS_FOLDER")
base = AutoModelForSequenceClassification.from_pretrained(
    "{path}", num_labels={outputs}, pad_token_id=tokenizer.pad_token_id, {how}
)
# The head is float32, whatever the base is.
for head in ({heads}):
    head.float().register_forward_pre_hook(lambda _, states: (states[0].float(),))
model = PeftModel.from_pretrained(base, "THIS_FOLDER").eval()
```

The reward is `model(input_ids, attention_mask).logits[:, 0]`{more}, read at the end of the response's turn: render the
conversation with the tokenizer's chat template and strip what follows the last end-of-turn token. The base must be
the very weights that it was trained on; on another machine, copy that folder too.
"""


class CriterionScale(Record):
    """How a criterion's output of the head becomes a rating: mean + spread · output, from 0 to 1."""

    name: str
    mean: float
    spread: float


class RewardModelCard(Record):
    """What a reward model must remember to answer as it was trained.

    Attributes:
        criteria: In the order of the head's outputs after the first; empty until it has learned them.
        heads: Modules that are trained and saved whole.
    """

    schema_version: int = SCHEMA_VERSION
    base: str
    base_revision: str
    renderer_hash: str
    pad_token: str
    config: TrainConfig
    seed: int
    versions: dict[str, str]
    criteria: tuple[CriterionScale, ...] = ()
    heads: tuple[str, ...] = ("score",)


@dataclass
class LoadedModel:
    """A network with the tokenizer and renderer that belong to it."""

    network: RewardNetwork
    tokenizer: Any
    renderer: Renderer
    card: RewardModelCard


def create(config: TrainConfig, *, seed: int) -> LoadedModel:
    """Build an untrained reward model from a base model."""
    folder = resolve(config.model)
    tokenizer = load_tokenizer(folder.path, config.pad_token)
    network = build_network(folder, tokenizer, config, seed=seed)
    _check_context(network, config)
    renderer = Renderer(tokenizer, config.max_length, config.too_long)
    card = RewardModelCard(
        base=folder.name,
        base_revision=folder.revision,
        renderer_hash=renderer.hash,
        pad_token=tokenizer.pad_token,
        # "auto" means something else on another machine, and would give other rewards there.
        config=config.model_copy(update={"dtype": _settled(config.dtype)}),
        seed=seed,
        versions=versions(),
        heads=network.head.names,
    )
    return LoadedModel(network, tokenizer, renderer, card)


def save(model: LoadedModel, path: Path) -> None:
    """Write adapters, head, tokenizer and card; the card last, which makes the folder a reward model."""
    make_folder(path)
    model.network.model.save_pretrained(path)
    model.tokenizer.save_pretrained(path)
    write_text(path / README, f"# A rewardkit reward model\n\n{loading(model.card)}")
    write_text(path / CARD, model.card.model_dump_json(indent=2))


def loading(card: RewardModelCard) -> str:
    """Return how a reward model is loaded, with rewardkit and without, as Markdown."""
    return PLAIN_LOADING.format(
        base=card.base,
        revision=card.base_revision,
        path=resolve(card.base).path,
        how=IN_FOUR_BITS if card.config.dtype == NF4 else f'dtype="{card.config.dtype}"',
        outputs=card.config.outputs,
        heads=" ".join(f"base.{name}," for name in card.heads),
        more=" of the first member" if card.config.members > 1 else "",
    )


def load(path: str | Path, *, exact: bool = False) -> LoadedModel:
    """Load a reward model.

    Args:
        path: Its folder.
        exact: Whether to compute in float32, whatever it was trained in.

    Raises:
        ModelError: The folder is none, its base model is another one here, or its tokenizer no longer
            renders as it was trained.
    """
    path = Path(path)
    card = read_card(path)
    base = resolve(card.base)
    if base.revision != card.base_revision:
        raise ModelError(
            f"the base model {card.base!r} is not the one that it was trained on",
            where=str(path),
            expected=f"revision {card.base_revision}, got {base.revision}",
            fix="bring the same base model here, or train again on this one",
        )
    tokenizer = load_tokenizer(path, card.pad_token)
    renderer = Renderer(tokenizer, card.config.max_length, card.config.too_long)
    if renderer.hash != card.renderer_hash:
        raise ModelError(
            "conversations would not be rendered as they were in training",
            where=str(path),
            expected=f"renderer hash {card.renderer_hash}, got {renderer.hash}",
            fix="restore the tokenizer's chat template, or train again with this version",
        )
    config = card.config
    dtype = "float32" if exact and config.dtype != NF4 else config.dtype
    classifier = load_classifier(base.path, tokenizer, dtype=dtype, outputs=config.outputs)
    if exact and dtype == NF4:
        # What four bits make of a base is what was trained on.
        with quiet_loading():
            classifier = classifier.dequantize().float()
    # For one member alone nothing is computed twice.
    frozen = frozen_layers(classifier, config) if config.members > 1 else 0
    network = RewardNetwork(_with_adapters(classifier, path, config.members).to(device()), frozen=frozen)
    return LoadedModel(network.eval(), tokenizer, renderer, card)


def _settled(dtype: str) -> str:
    return dtype if dtype == NF4 else str(dtype_of(dtype)).removeprefix("torch.")


def _with_adapters(classifier: Any, path: Path, members: int) -> Any:
    peft, safetensors = require("peft", "train"), require("safetensors", "train")
    places = {name: path if name == FIRST else path / name for name in member_names(members)}
    for file in (place / ADAPTERS for place in places.values()):
        # Asked first: peft would look for a missing file on a hub.
        if not file.is_file():
            raise ModelError("the adapters are missing", where=str(file), fix="train the model again")
    model: Any = None
    for name, place in places.items():
        try:
            with quiet_loading():
                if model is None:
                    model = peft.PeftModel.from_pretrained(classifier, place)
                else:
                    model.load_adapter(place, adapter_name=name)
        except (OSError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
            raise ModelError(
                f"the adapters cannot be loaded: {error}", where=str(place / ADAPTERS), fix="train the model again"
            ) from error
    return model


def read_card(path: Path) -> RewardModelCard:
    """Read the card of a reward model's folder.

    Raises:
        ModelError: There is none, or it cannot be read.
    """
    file = path / CARD
    if not file.is_file():
        raise ModelError("not a rewardkit reward model", where=str(path), expected=f"a folder with {CARD}")
    try:
        return RewardModelCard.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise ModelError(
            f"{CARD} cannot be read: {error.errors()[0]['msg']}", where=str(path), fix="train the model again"
        ) from error


def _check_context(network: RewardNetwork, config: TrainConfig) -> None:
    longest = getattr(network.classifier.config, "max_position_embeddings", None)
    if longest is not None and config.max_length > longest:
        raise ModelError(
            f"max_length {config.max_length} is longer than the model's context",
            where=config.model,
            expected=f"at most {longest}",
            fix=f"set train.max_length: {longest}",
        )
