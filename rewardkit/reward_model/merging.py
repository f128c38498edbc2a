"""A reward model without adapters: a plain `…ForSequenceClassification` with one output, as other tools read it.

It is computed and written in float32, in which folding adapters into weights loses nothing that could be seen.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rewardkit.errors import ConfigError, ModelError, OutputError
from rewardkit.extras import require
from rewardkit.hardware import device, quiet_loading
from rewardkit.reward_model.folder import LoadedModel, load
from rewardkit.runs import make_folder, write_text
from rewardkit.types import Message

TOLERANCE = 1e-3
"""Rewards of the folder that was written are this close to those of the model, or it is no result."""
PROBES = (
    ("Write a limerick about rain.", "There once was a cloud over Spain\nthat could not hold on to its rain."),
    ("What is a metaphor?", "It says that one thing is another, to show what both have in common. " * 4),
    ("Tell me a joke.", "No."),
)
README = """# A reward model, merged

Made of `{base}` and adapters that rewardkit trained{member}, in float32: one output, the reward, read at the last token
that is not the pad token (`problem_type: regression`). No probability comes out of it: the calibration is rewardkit's.

```python
from transformers import pipeline

reward = pipeline("text-classification", model="THIS_FOLDER", function_to_apply="none", device="cpu")
chat = [{{"role": "user", "content": "Tell me a joke."}}, {{"role": "assistant", "content": "No."}}]
# It is read at the end of the response's turn: nothing may follow it, not even a line break.
text = reward.tokenizer.apply_chat_template(chat, tokenize=False).rstrip()
print(reward(text, add_special_tokens=False)[0]["score"])
```

vLLM serves it with `vllm serve THIS_FOLDER --runner pooling`; ask `/classify` with `use_activation: false`.
"""


@dataclass(frozen=True)
class Merged:
    """What was written.

    Attributes:
        path: The folder.
        apart: Largest difference between its rewards and those of the model in float32, on the probes.
    """

    path: Path
    apart: float


def merge(source: Path, out: Path, *, member: int | None = None) -> Merged:
    """Fold the adapters of a reward model into its base and write the result, which is then read and compared.

    Args:
        source: The reward model's folder.
        out: A folder that is not there, or is empty.
        member: Which member of an ensemble, from 1.

    Raises:
        ConfigError: The model is an ensemble and no member was named, or there is no such member.
        ModelError: What was written does not give the model's rewards.
        OutputError: There is something at `out` already, or it lies in the model or is where one works.
    """
    out = _checked(out, source)
    model = load(source, exact=True)
    name = _chosen(model, member)
    probes = _probes(model)
    with torch.inference_mode():
        expected = model.network(probes)[model.network.members.index(name), :, 0]
    draft = out.with_name(f".{out.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        _write(model, name, make_folder(draft))
        apart = float((_read(draft, probes) - expected.cpu()).abs().max())
        if not apart <= TOLERANCE:
            raise ModelError(
                f"the merged weights give other rewards (by {apart:.2g})",
                where=str(source),
                expected=f"at most {TOLERANCE:g}",
                fix="use the model with its adapters",
            )
        if out.exists():
            out.rmdir()
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Merged(out, apart)


def _checked(out: Path, source: Path) -> Path:
    """Return the place's absolute path, where nothing is yet."""
    place = Path(os.path.abspath(out))
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise OutputError("there is something already", where=str(out), fix="name a new folder")
    if place == Path.cwd() or place.is_relative_to(os.path.abspath(source)):
        raise OutputError("the folder is in use", where=str(out), fix="name a new folder outside of it")
    return place


def _chosen(model: LoadedModel, member: int | None) -> str:
    members = model.network.members
    if member is None and len(members) == 1:
        return members[0]
    if member is None or not 1 <= member <= len(members):
        raise ConfigError(
            f"the model has {len(members)} members", where="--member", expected=f"a number from 1 to {len(members)}"
        )
    return members[member - 1]


def _write(model: LoadedModel, name: str, out: Path) -> None:
    peft_model: Any = model.network.model
    peft_model.set_adapter(name)
    with quiet_loading():
        plain = peft_model.merge_and_unload(adapter_names=[name])
    output = model.network.head.output
    setattr(plain, output, _first_output(getattr(plain, output)))
    plain.set_attn_implementation("sdpa")
    plain.config.num_labels = 1
    plain.config.id2label, plain.config.label2id = {0: "reward"}, {"reward": 0}
    plain.save_pretrained(out)
    model.tokenizer.save_pretrained(out)
    which = (
        f" (member {model.network.members.index(name) + 1} of an ensemble)" if len(model.network.members) > 1 else ""
    )
    write_text(out / "README.md", README.format(base=model.card.base, member=which))


def _first_output(head: nn.Linear) -> nn.Linear:
    """Return a head of the reward alone."""
    found = nn.Linear(head.in_features, 1, bias=head.bias is not None, device=head.weight.device)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            parameter.copy_(getattr(head, name)[:1])
    return found


def _probes(model: LoadedModel) -> list[list[int]]:
    rendered = (model.renderer.render((Message(role="user", content=asked),), said) for asked, said in PROBES)
    return [ids for each in rendered if (ids := getattr(each, "ids", None))]


def _read(folder: Path, probes: list[list[int]]) -> Tensor:
    """Return the rewards that plain transformers computes, each text alone."""
    transformers = require("transformers", "train")
    with quiet_loading():
        plain = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype="float32")
    plain = plain.to(device()).eval()
    with torch.inference_mode():
        logits = [plain(input_ids=torch.tensor([ids], device=plain.device)).logits for ids in probes]
    return torch.cat(logits)[:, 0].cpu()
