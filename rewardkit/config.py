"""One YAML file describes one job: shared settings, and a section for each stage that it runs.

Defaults < file < `--set a.b=value`. The whole file is validated before anything is loaded. Relative
paths are relative to the folder in which the command is run. Environment variables hold secrets only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from rewardkit.audit_config import AuditConfig, StressConfig
from rewardkit.cascade_config import CascadeConfig
from rewardkit.config_errors import config_error
from rewardkit.errors import ConfigError
from rewardkit.generate_config import GenerateConfig
from rewardkit.judge_config import JudgeConfig
from rewardkit.label_config import LabelConfig
from rewardkit.section import Count, Fraction, Positive, Section
from rewardkit.simulate_config import SimulateConfig
from rewardkit.yaml_files import parse_yaml, read_yaml

# What stands between a URL's user and its host, and a password among its options.
PASSWORDS = (re.compile(r"(://[^:/@]*:).*(@)"), re.compile(r"([?&]password=)[^&]*()"))


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class PairsConfig(Section):
    """How comparisons are formed from all ratings in the store on a criterion: |difference| becomes the strength."""

    criterion: str = Field(description="the criterion whose ratings are compared")
    block_size: Annotated[int, Field(ge=2)] = Field(
        4, description="responses to one prompt are dealt into blocks of this size; pairs are formed within a block"
    )
    min_difference: Annotated[float, Field(ge=0)] = Field(
        0.0, description="a pair whose ratings differ by less is not formed; 0 keeps ties"
    )


class ImportConfig(Section):
    """What is read into the store."""

    files: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        min_length=1, description="files or Hugging Face dataset folders; one may stand without a list"
    )
    map: dict[str, str] = Field(default_factory=dict, description="rewardkit field: column of the file")
    source: str | None = Field(None, description="name of the data set; the file's stem if absent")
    task: str | None = Field(None, description="task of all prompts in these files; the row's own if absent")
    pairs: PairsConfig | None = Field(None, description="form comparisons from ratings")


class SplitConfig(Section):
    """How comparisons are divided, so that nothing stands on two sides."""

    by: Literal["prompt", "text"] = Field(
        "prompt", description="prompt: by prompt; text: by components of comparisons that share a text"
    )
    train: Fraction = 0.6
    validation: Fraction = 0.1
    calibration: Fraction = 0.15
    test: Fraction = 0.15

    @model_validator(mode="after")
    def _sum_to_one(self) -> SplitConfig:
        total = self.train + self.validation + self.calibration + self.test
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the four fractions must sum to 1, and sum to {total:g}")
        return self


class AggregateConfig(Section):
    """Labels to soft preferences."""

    method: str = Field("anchored", description="a registered aggregator")
    split: SplitConfig = SplitConfig()
    human_reliability: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(
        0.8, description="prior probability that one human vote is right; refined where votes overlap"
    )
    strength_scale: Annotated[float, Field(ge=0)] = Field(
        0.0, description="logits per unit of strength in a human label; 0 ignores strength"
    )


class LoraSettings(Section):
    """Low-rank adapters (Hu et al. 2021)."""

    r: Count = 16
    alpha: Count = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"
    variant: Literal["lora", "rslora", "dora"] = Field(
        "lora",
        description="scaled by alpha / r, by alpha / √r (Kalajdzievski 2023), or with a magnitude (Liu et al. 2024)",
    )


class TrainConfig(Section):
    """A LoRA reward model, trained on soft preferences."""

    model: str = Field("smollm2-135m", description="alias, folder, hub id or GGUF file")
    pad_token: str | None = Field(None, description="an existing token to pad with; the tokenizer's own if absent")
    loss: str = Field("bradley_terry", description="a registered loss")
    loss_options: dict[str, float] = Field({}, description="its own, such as {rate: 0.1} of label_smoothing")
    centring: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="how strongly the rewards of a comparison are drawn to a mean of 0; their margin is not changed",
    )
    lora: LoraSettings = LoraSettings()
    train_layers: Count | None = Field(
        None,
        description="adapters on the last so many layers only; those below are run once for a text, not in every epoch",
    )
    checkpointing: bool = Field(
        False, description="layers are computed once more on the way back: slower, in a fraction of the memory"
    )
    sharded: bool = Field(
        False,
        description="each of several processes holds a part of the base (FSDP), for one that is too large for a device",
    )
    length_term: bool = Field(
        False,
        description="what length alone explains of the labels is added to margins in training, and left out of rewards",
    )
    members: Count = Field(
        1,
        description="of an ensemble: sets of adapters over one base that agree where the data say so; see train_layers",
    )
    criteria: tuple[str, ...] = Field(
        (), description="learn ratings on these criteria too; what was never rated is left out of the loss"
    )
    criteria_weight: Positive = Field(1.0, description="of the criteria's squared errors beside the preference's loss")
    variance_head: bool = Field(
        False, description="learn of each text how far people may be apart about it, too; see `noise` of its rewards"
    )
    max_length: Count = Field(1024, description="tokens of prompt and response together")
    too_long: Literal["truncate_prompt", "truncate_response", "drop"] = Field(
        "truncate_prompt", description="what happens to a longer one; counted in the log"
    )
    epochs: Positive = 1.0
    batch_size: Count = Field(8, description="comparisons of a step on one device; as many as fit go together")
    gradient_accumulation: Count = 1
    learning_rate: Positive = 2e-4
    warmup_ratio: Fraction = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Positive = 1.0
    scheduler: Literal["linear", "cosine", "constant"] = "linear"
    dtype: Literal["auto", "float32", "bfloat16", "nf4"] = Field(
        "float32",
        description="dtype of the frozen base; adapters and head stay float32; nf4 is four bits (QLoRA)",
    )
    evaluations: Count = Field(4, description="how often the validation loss is measured and a checkpoint saved")
    max_examples: Count | None = Field(None, description="train on at most this many comparisons")

    @property
    def outputs(self) -> int:
        """Of the head: the reward, the criteria, and the variance last."""
        return 1 + len(self.criteria) + self.variance_head

    @field_validator("criteria")
    @classmethod
    def _distinct(cls, criteria: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(criteria)) < len(criteria):
            raise ValueError("a criterion is named twice")
        return criteria


class CalibrateConfig(Section):
    """The map from margins to probabilities, fitted on held-out human labels."""

    method: str = Field("temperature", description="a registered calibrator")


class CurveConfig(Section):
    """What more labels would bring: the model of `train`, trained on several numbers of comparisons."""

    sizes: tuple[Count, ...] = Field(
        (50, 100, 200, 400), min_length=1, description="comparisons to learn from; all there are come last"
    )


class EvaluateConfig(Section):
    """What is measured on the test split, and beside which baselines."""

    baselines: tuple[Literal["longer", "shuffled_prompt", "judge", "untrained"], ...] = (
        "longer",
        "shuffled_prompt",
        "judge",
        "untrained",
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(0.95, description="level of the intervals")
    report: str = Field(
        "report.html",
        pattern=r"^[^/\\]+\.html$",
        examples=["report.html"],
        description="name of the page in the stage's folder, NAME.html",
    )


class JobConfig(Section):
    """A whole job. A verb needs its own section (and shared settings); `run` runs all that are there."""

    name: str = Field(
        "default",
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$",
        examples=["poems-2"],
        description="name of the run's folder",
    )
    workspace: Path = Field(Path("."), description="folder that holds the database and runs/")
    db: str | None = Field(None, description="database file or URL; WORKSPACE/rewardkit.db if absent")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="of all draws; numpy takes no larger one")
    import_: ImportConfig | None = Field(None, alias="import")
    generate: GenerateConfig | None = None
    simulate: SimulateConfig | None = None
    label: LabelConfig | None = None
    judge: JudgeConfig | None = None
    cascade: CascadeConfig | None = None
    aggregate: AggregateConfig | None = None
    train: TrainConfig | None = None
    calibrate: CalibrateConfig | None = None
    evaluate: EvaluateConfig | None = None
    curve: CurveConfig | None = None
    stress: StressConfig | None = None
    audit: AuditConfig | None = None

    @property
    def database(self) -> str:
        """The database's file or URL."""
        return self.db or str(self.workspace / "rewardkit.db")

    @property
    def shown_database(self) -> str:
        """The database's file or URL for others to read: without its password."""
        shown = self.database
        for password in PASSWORDS if "://" in shown else ():
            shown = password.sub(r"\1***\2", shown)
        return shown

    def resolved(self) -> dict[str, Any]:
        """Return the whole config as plain values, to be written beside results: without the database's password."""
        values = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {**values, "db": self.shown_database} if self.db else values


SECTIONS = frozenset(
    field.alias or name
    for name, field in JobConfig.model_fields.items()
    if name not in ("name", "workspace", "db", "seed")
)


def load_config(path: Path, overrides: Sequence[str] = ()) -> JobConfig:
    """Read and validate a job.

    Args:
        path: The YAML file.
        overrides: Items of the form "a.b=value"; the value is YAML.

    Raises:
        ConfigError: The file is missing or not YAML, a key is unknown (the nearest right one is
            suggested), or a value is wrong.
    """
    # A section of which nothing is said has its defaults; `--set train=null` is what leaves a stage out.
    data = {key: {} if value is None and key in SECTIONS else value for key, value in read_yaml(path).items()}
    for item in overrides:
        _override(data, item)
    try:
        return JobConfig.model_validate(data)
    except ValidationError as error:
        raise config_error(JobConfig, str(path), error, overrides) from error


def _override(data: dict[str, Any], item: str) -> None:
    key, separator, value = item.partition("=")
    if not separator or not key:
        raise ConfigError(f"cannot read {item!r}", where="--set", expected="a.b=value")
    *parents, last = key.split(".")
    inner: Any = data
    for parent in parents:
        inner = inner.setdefault(parent, {}) if isinstance(inner, dict) else inner[_place(inner, parent, item)]
        if not isinstance(inner, dict | list):
            raise ConfigError(f"{parent!r} is not a section", where=f"--set {item}", fix="set the key itself")
    place = last if isinstance(inner, dict) else _place(inner, last, item)
    inner[place] = parse_yaml(value, where=f"--set {item}", fix="put the value into quotes")


def _place(members: list[Any], number: str, item: str) -> int:
    """Read the number of a list's member, from 0."""
    if not number.isdecimal() or int(number) >= len(members):
        expected = f"a number from 0 to {len(members) - 1}" if members else "no number: the list is empty"
        raise ConfigError(f"there is no member {number!r}", where=f"--set {item}", expected=expected)
    return int(number)
