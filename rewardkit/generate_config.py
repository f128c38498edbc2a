"""The section `generate`: which models write, and what is compared, revised, spoilt and proposed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from rewardkit.complaints import complaint
from rewardkit.judge_config import BEHIND_SERVERS, JudgeConfig, ServerConfig
from rewardkit.section import Count, Fraction, Positive, Section

Temperature = Annotated[float, Field(ge=0.0, le=2.0)]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class PolicyConfig(Section):
    """A model that writes responses, and how they are drawn from it."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9._-]+$", examples=["warm"], description="tells it from the others; kept with each response"
    )
    backend: str = Field("transformers", description="a registered judge backend that gives replies in words")
    model: str = Field(
        "smollm2-135m", description="alias, folder, hub id or GGUF file; behind a server, its name there"
    )
    server: ServerConfig = Field(
        ServerConfig(), description="of the backends openai and anthropic; its temperature counts for nothing here"
    )
    system: str = Field("", description="system message before each prompt; the model's own where there is none")
    samples: Count = Field(2, description="responses to each prompt")
    temperature: Temperature | None = Field(
        0.8, description="at which they are drawn; 0 takes the most probable one, null is for models that take none"
    )
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="drawn from the most probable tokens that have so much together"
    )
    max_new_tokens: Count = Field(512, description="longest response")
    truncated: Literal["keep", "drop"] = Field(
        "drop", description="what becomes of one that is cut off there; a kept one has truncated: true in its metadata"
    )
    max_tokens: Count = Field(2048, description="longest prompt; a longer one is a failed response, never cut")
    batch_tokens: Count = Field(8192, description="tokens of a batch here, responses and padding included")
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    cache: bool | None = Field(None, description="as judge.cache: if absent, answers of servers are kept")

    @property
    def asked(self) -> JudgeConfig:
        """How its backend is opened: by the same settings as that of a judge."""
        own = ("backend", "model", "max_tokens", "batch_tokens", "dtype", "cache")
        server = {**self.server.model_dump(exclude_unset=True), "temperature": self.temperature}
        return JudgeConfig.model_validate({**{key: getattr(self, key) for key in own}, "server": server})

    @model_validator(mode="after")
    def _samples_differ(self) -> PolicyConfig:
        if self.temperature == 0.0 and self.samples > 1:
            raise ValueError(f"at temperature 0 all {self.samples} samples would be the same: set samples to 1")
        return self

    @model_validator(mode="after")
    def _can_be_asked(self) -> PolicyConfig:
        try:
            _ = self.asked
        except ValidationError as error:
            raise ValueError(complaint(error.errors()[0])) from error
        return self


class FormedConfig(Section):
    """Which responses to one prompt become comparisons."""

    between: bool = Field(True, description="of different policies")
    within: bool = Field(True, description="of the same policy")
    per_prompt: Annotated[int, Field(ge=0)] = Field(
        4, description="comparisons of one prompt at most; each response is in about as many of them"
    )


class RevisionsConfig(Section):
    """Each response is criticised by a principle and rewritten, by the policy that wrote it (Bai et al. 2022)."""

    constitution: str = Field("fiction", description="name of one in configs/constitutions, or a path")
    per_response: Count = Field(1, description="principles drawn for each response; each makes a revision of its own")
    critique_tokens: Count = Field(200, description="longest critique; a longer one is cut, and used as it is")


class CorruptionsConfig(Section):
    """Responses beside forms of them that are known to be worse, or no better, in a database of their own."""

    count: Count = Field(100, description="responses that are changed, at most")
    kinds: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (), description="registered corruptions, such as shuffle or cut_off; all if absent"
    )


class ProposalsConfig(Section):
    """New prompts that a policy proposes after seeds; a person approves them, one by one or all."""

    file: str = Field(description="YAML file in which proposals wait; `rewardkit generate CONFIG --propose` begins it")
    task: str = Field(description="task of the seeds, and of what is proposed")
    policy: str | None = Field(None, description="name of the policy that is asked; the first if absent")
    count: Count = Field(20, description="prompts that are asked for")
    shown: Count = Field(4, description="seeds that are shown with each question")
    most_alike: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.7,
        description="a proposal this like a prompt that is there is left out (ROUGE-L; Wang et al. 2023, section 2)",
    )


class GenerateConfig(Section):
    """Responses by policies, what is compared of them, and texts that are made from them."""

    tasks: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (), description="prompts of these tasks only; all if absent"
    )
    limit: Count | None = Field(None, description="prompts at most; the first by id, always the same")
    policies: tuple[PolicyConfig, ...] = Field((), description="models that write")
    pairs: FormedConfig = FormedConfig()
    revisions: RevisionsConfig | None = None
    corruptions: CorruptionsConfig | None = None
    prompts: ProposalsConfig | None = None
    max_failure_rate: Fraction = Field(0.2, description="the job stops when more responses than this share fail")
    max_cost: Positive | None = Field(
        None, description="nothing is sent that may exceed it by its estimated tokens; earlier runs count; needs prices"
    )
    warn_cost: Positive | None = Field(None, description="said aloud when so much is spent")

    @model_validator(mode="after")
    def _something_to_do(self) -> GenerateConfig:
        if not self.policies and self.corruptions is None:
            raise ValueError("nothing is to be generated: add policies, or corruptions")
        for part in ("revisions", "prompts"):
            if getattr(self, part) is not None and not self.policies:
                raise ValueError(f"{part} are written by a policy, and there is none: add policies")
        return self

    @model_validator(mode="after")
    def _different_policies(self) -> GenerateConfig:
        if len({policy.name for policy in self.policies}) < len(self.policies):
            raise ValueError("policies: each needs a name of its own")
        if len({policy.model_dump_json(exclude={"name", "samples"}) for policy in self.policies}) < len(self.policies):
            raise ValueError("policies: two differ in nothing but name and samples, and would write the same")
        return self

    @model_validator(mode="after")
    def _known_writer(self) -> GenerateConfig:
        names = [policy.name for policy in self.policies]
        if self.prompts is not None and self.prompts.policy not in (None, *names):
            raise ValueError(f"prompts.policy: no policy is called {self.prompts.policy!r}: {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _budgets_need_prices(self) -> GenerateConfig:
        for policy in self.policies if self.max_cost or self.warn_cost else ():
            server = policy.server
            if policy.backend in BEHIND_SERVERS and (server.price_in is None or server.price_out is None):
                raise ValueError(f"a budget needs server.price_in and server.price_out of the policy {policy.name}")
        return self
