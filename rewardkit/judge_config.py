"""The section `judge`: who labels, by which protocol and rubric, behind which server, and what it may cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from rewardkit.complaints import complaint
from rewardkit.section import Count, Fraction, Positive, Section

NotNegative = Annotated[float, Field(ge=0.0)]
BEHIND_SERVERS = ("anthropic", "openai")
"""Backends that the section `server` is about."""
ANTHROPIC = {"url": "https://api.anthropic.com", "key_variable": "ANTHROPIC_API_KEY", "temperature": None}
"""What is true there, unless the config says otherwise: its newer models take no temperature."""


class ServerConfig(Section):
    """A provider or an OpenAI-compatible server, and how it is asked."""

    url: str = Field(
        "https://api.openai.com/v1",
        pattern=r"^https?://[^\s@]+$",
        examples=["http://127.0.0.1:8000/v1"],
        description="its base, such as http://127.0.0.1:8000/v1; Anthropic's own for the backend anthropic",
    )
    key_variable: str | None = Field(
        "OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        examples=["OPENAI_API_KEY"],
        description="environment variable that holds the API key, ANTHROPIC_API_KEY there; null if none is needed",
    )
    top_logprobs: Annotated[int, Field(ge=1, le=20)] = Field(
        20, description="most probable tokens whose probability is asked for; some servers allow only 5"
    )
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = Field(
        0.0, description="of replies in words; null for models that take none"
    )
    concurrency: Count = Field(64, description="requests under way at the same time, at most; fewer when it is busy")
    requests_a_minute: Positive | None = Field(None, description="what the server allows; no limit if absent")
    tokens_a_minute: Positive | None = Field(None, description="what the server allows, of requests and replies")
    price_in: NotNegative | None = Field(
        None, description="price of a million tokens of requests, for estimates and budgets"
    )
    price_out: NotNegative | None = Field(None, description="price of a million tokens of replies")
    seconds: Positive = Field(120.0, description="that one request may take")
    attempts: Count = Field(8, description="how often a request is sent at most, before it is a failed label")
    batch: bool = Field(
        False, description="send requests in the provider's batches, which are cheaper and take up to a day"
    )
    batch_discount: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.5, description="what share of the prices is paid in batches"
    )
    batch_seconds: Positive = Field(60.0, description="between two looks at a batch, at most")


class DemonstrationsConfig(Section):
    """Examples of what people decided, which the judge is shown before each item: those that are most like it."""

    count: Annotated[int, Field(ge=1, le=16)] = Field(3, description="examples for each item")
    by: str = Field("tfidf", description="what is alike: tfidf, or a sentence encoder (minilm, a folder, a hub id)")
    majority: Annotated[float, Field(gt=0.5, le=1.0)] = Field(
        0.75, description="share of people who agree on an example, at least"
    )
    characters: Count = Field(600, description="of each text of an example; longer ones are cut where it can be seen")
    most: Count = Field(2000, description="examples that are chosen from; more are left out by their hash")


class ReplayConfig(Section):
    """Verdicts that were recorded, for the backend replay; `model` is the recorded annotator's name."""

    files: tuple[str, ...] = Field(min_length=1, description="files that `rewardkit import` reads")
    order: Literal["ab", "ba"] | None = Field(
        None, description="in which verdicts were given whose order nobody recorded; they are left out if absent"
    )


class VotesConfig(Section):
    """A judge that draws its replies is asked several times about each comparison, until its majority is certain."""

    count: Annotated[int, Field(ge=2)] = Field(8, description="votes on a comparison in one order, at most")
    temperature: Annotated[float, Field(gt=0.0, le=2.0)] = Field(0.7, description="at which replies are drawn")
    stop: Annotated[float, Field(gt=0.5, le=1.0)] = Field(
        0.95, description="no more are asked for when the majority stays one with this probability; 1 asks for all"
    )


class JudgeConfig(Section):
    """A judge model that labels comparisons (and rates responses) in batch, or a panel of them."""

    name: str = Field("", pattern=r"^[A-Za-z0-9._-]*$", examples=["critic"], description="ends its annotator's name")
    backend: str = Field("transformers", description="a registered judge backend")
    model: str = Field(
        "smollm2-135m", description="alias, folder, hub id or GGUF file; behind a server, its name there"
    )
    server: ServerConfig = Field(ServerConfig(), description="of the backends openai and anthropic")
    rubric: str = Field("fiction", description="name of a rubric in configs/rubrics, or a path")
    protocol: str = Field("pairwise.v1", description="a registered protocol for preferences")
    protocol_options: dict[str, Any] = Field({}, description="its own, such as {thought_tokens: 400} of reasoned.v1")
    rating_protocol: str | None = Field(None, description="a registered protocol for ratings; none if absent")
    rating_protocol_options: dict[str, Any] = Field({}, description="its own, such as {thought_tokens: 400}")
    list_protocol: str | None = Field(
        None,
        description="a registered protocol by which comparisons that share a group are judged, each group as one list "
        "of its responses; pair by pair if absent",
    )
    votes: VotesConfig | None = Field(None, description="ask several times; for protocols that reply in words")
    persona: str = Field(
        "", description="who it is to judge as, in a sentence, such as: You read as a strict magazine editor."
    )
    demonstrations: DemonstrationsConfig | None = Field(
        None, description="examples of human labels from the train split (aggregate.split); none if absent"
    )
    notes: str | None = Field(
        None, description="YAML file of notes; approved ones are given to the judge, `rewardkit notes` proposes them"
    )
    orders: tuple[Literal["ab", "ba"], ...] = Field(("ab", "ba"), min_length=1, description="orders shown")
    limit: Count | None = Field(None, description="label at most this many comparisons")
    max_tokens: Count = Field(2048, description="longest request; a longer one is a failed label, never cut")
    batch_tokens: Count = Field(
        4096,
        description="tokens in one forward pass, padding included; on a CPU labels are read 2048 at a time at most",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    max_cost: Positive | None = Field(
        None,
        description="nothing is sent that may exceed it by its estimated tokens; earlier runs count; needs prices",
    )
    warn_cost: Positive | None = Field(None, description="said aloud when so much is spent")
    max_failure_rate: Fraction = Field(0.2, description="the job stops when more labels than this share fail")
    engine: Literal["local", "ray"] = Field(
        "local", description="where it runs: in this process, or in shards on a Ray cluster (extra ray)"
    )
    ray_address: str | None = Field(
        None,
        description="of a running cluster, such as 10.0.0.1:6379 or auto; one on this machine is started if absent",
    )
    ray_workers: Count | None = Field(None, description="judges at the same time; as many as the cluster has room for")
    ray_cpus: Positive = Field(1.0, description="processors that one of them needs")
    ray_gpus: NotNegative = Field(0.0, description="accelerators that one of them needs")
    ray_shard: Count = Field(1000, description="comparisons or responses that one of them is given at a time")
    replay: ReplayConfig | None = Field(None, description="of the backend replay")
    cache: bool | None = Field(
        None,
        description="keep answers in WORKSPACE/judge-cache.db, never to pay twice; if absent, where a server is asked",
    )

    panel: tuple[dict[str, Any], ...] = Field(
        (), description="judges that label everything each: for each a name, and the keys of this section that differ"
    )

    def members(self) -> tuple[JudgeConfig, ...]:
        """Return the judges that are asked: those of the panel, or this one."""
        shared = self.model_dump(exclude={"panel"}, exclude_unset=True)
        return tuple(_member(shared, own) for own in self.panel) or (self,)

    @model_validator(mode="before")
    @classmethod
    def _of_the_provider(cls, data: Any) -> Any:
        """Fill in where another provider than OpenAI is, and what it is called there."""
        if not isinstance(data, dict) or data.get("backend") != "anthropic":
            return data
        server = data.get("server", {})
        return {**data, "server": {**ANTHROPIC, **server}} if isinstance(server, dict) else data

    @model_validator(mode="after")
    def _budgets_need_prices(self) -> JudgeConfig:
        known = self.server.price_in is not None and self.server.price_out is not None
        if self.backend in BEHIND_SERVERS and (self.max_cost or self.warn_cost) and not known:
            raise ValueError("a budget needs server.price_in and server.price_out")
        return self

    @model_validator(mode="after")
    def _batches_need_the_cache(self) -> JudgeConfig:
        if self.server.batch and self.cache is False:
            raise ValueError("server.batch needs the cache: what a batch brings, and which was sent, is kept there")
        return self

    @model_validator(mode="after")
    def _lists_on_one_machine(self) -> JudgeConfig:
        if self.list_protocol and self.engine == "ray":
            raise ValueError("list_protocol: a cluster judges pair by pair; leave it out, or set engine to local")
        if self.list_protocol and type(self) is not JudgeConfig:
            raise ValueError("list_protocol: only the section judge has one")
        return self

    @model_validator(mode="after")
    def _of_different_judges(self) -> JudgeConfig:
        if self.panel and type(self) is not JudgeConfig:
            raise ValueError("panel: only the section judge has one")
        members = self.members() if self.panel else ()
        names = {member.name for member in members}
        if self.panel and ("" in names or len(names) < len(members)):
            raise ValueError("panel: each judge needs a name of its own")
        if len({member.model_dump_json(exclude={"name"}) for member in members}) < len(members):
            raise ValueError("panel: two judges differ in nothing but the name, and would say the same")
        return self


def _member(shared: Mapping[str, Any], own: Mapping[str, Any]) -> JudgeConfig:
    """Return one judge of a panel: its own keys stand for those that all share, a backend's for its server too."""
    kept = {key: value for key, value in shared.items() if key != "server" or "backend" not in own}
    try:
        if "panel" in own:
            raise ValueError(f"panel: {own.get('name', 'a judge')}: a judge of a panel has no panel of its own")
        return JudgeConfig.model_validate({**kept, **own})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"panel: {own.get('name', 'a judge')}: {key}: {complaint(first)}") from error
