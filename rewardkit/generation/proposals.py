"""A file of proposed prompts, each of which a person approves or rejects before it is a prompt.

What a model proposes nobody vouches for: it may be unfit, no prompt at all, or one that was seen before. Only what is
approved enters a database, with who proposed and who approved it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rewardkit.errors import ConfigError
from rewardkit.judge.notes import Decision, Status
from rewardkit.registry import suggestion
from rewardkit.types import Message, Prompt, content_id
from rewardkit.yaml_records import read_record

ALL = "all"
HEAD = """\
# Prompts that a model proposed, written by `rewardkit generate CONFIG --propose`. Only approved ones become prompts:
#     rewardkit generate CONFIG --approve ID --by NAME        # or --approve all, or --reject
# A text may be corrected here before it is approved. Comments in this file are not kept.
"""


class Proposal(Decision):
    """One prompt that was proposed.

    Attributes:
        id: Of its words when it was proposed; it stays when they are changed.
        text: What the user would say.
        status: Whether it becomes a prompt.
        task: Of the prompt.
        proposed_by: The model that proposed it.
        proposed_at: When.
        seeds: Ids of the prompts that it was shown.
        earlier: Decisions that were changed since.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")
    text: Annotated[str, Field(min_length=1)]
    status: Status = "proposed"
    task: str
    proposed_by: str
    proposed_at: datetime
    seeds: tuple[str, ...] = ()
    earlier: tuple[Decision, ...] = ()

    @model_validator(mode="after")
    def _decided_by_somebody(self) -> Proposal:
        if self.status != "proposed" and not (self.by and self.at):
            raise ValueError(f"it is {self.status}, and nothing says by whom and when: add by: NAME and at: DATE")
        return self

    def prompt(self) -> Prompt:
        """Return it as a prompt, with where it came from."""
        when = {"approved_at": self.at.isoformat()} if self.at else {}
        origin = {"written_by": self.proposed_by, "approved_by": self.by, **when, "seeds": list(self.seeds)}
        return Prompt.of((Message(role="user", content=self.text.strip()),), task=self.task, **origin)


class Proposals(BaseModel):
    """A file of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    prompts: tuple[Proposal, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Proposals:
        ids = [each.id for each in self.prompts]
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise ValueError(f"two prompts have the id {twice[0]!r}")
        return self

    def of(self, status: str) -> tuple[Proposal, ...]:
        """Return those of one status."""
        return tuple(each for each in self.prompts if each.status == status)

    def joined(self, proposals: Iterable[Proposal]) -> Proposals:
        """Return them with further ones; what is there already stays as it is, whatever was decided about it."""
        known = {each.id: each for each in (*proposals, *self.prompts)}
        order = dict.fromkeys([*(each.id for each in self.prompts), *known])
        return Proposals(prompts=tuple(known[each] for each in order))

    def meant(self, which: str) -> tuple[Proposal, ...]:
        """Return what a decision is about.

        Args:
            which: An id or the beginning of one, or `all` for those that nobody has decided about.

        Raises:
            ConfigError: There is none, or there are several.
        """
        if which == ALL:
            found = list(self.of("proposed"))
        else:
            exact = [each for each in self.prompts if each.id == which]
            found = exact or [each for each in self.prompts if each.id.startswith(which)]
        if not found or (which != ALL and len(found) > 1):
            ids = {each.id: each for each in self.prompts}
            nothing = (
                "no prompt waits for a decision" if which == ALL else f"no prompt has an id that begins with {which!r}"
            )
            raise ConfigError(
                f"several prompts begin with {which!r}" if found else nothing,
                where="--approve or --reject",
                expected=f"{ALL}, or one of {', '.join(ids)}" if ids else "a prompt that was proposed",
                fix=suggestion(which, ids),
            )
        return tuple(found)

    def decided(self, which: str, decision: Decision) -> Proposals:
        """Return them with a person's decision; earlier ones are kept beside it.

        Args:
            which: As for `meant`.
            decision: What, by whom and when.
        """
        chosen = {each.id for each in self.meant(which)}
        return Proposals(
            prompts=tuple(_decided(each, decision) if each.id in chosen else each for each in self.prompts)
        )

    def as_yaml(self) -> str:
        """Return the file's text: what a person looks for comes first, and the status is always there."""
        shown = [{"id": each.id, "text": each.text, "status": each.status, **_rest(each)} for each in self.prompts]
        data = {"schema_version": self.schema_version, "prompts": shown}
        return HEAD + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)


def _decided(proposal: Proposal, decision: Decision) -> Proposal:
    before = Decision(status=proposal.status, by=proposal.by, at=proposal.at)
    earlier = proposal.earlier if proposal.status == "proposed" else (*proposal.earlier, before)
    return proposal.model_copy(update={**dict(decision), "earlier": earlier})


def _rest(proposal: Proposal) -> dict[str, Any]:
    return proposal.model_dump(mode="json", exclude_defaults=True, exclude={"id", "text", "status"})


def proposal_id(text: str) -> str:
    """Return the id of a prompt of these words, whatever their case, space and full stop."""
    return content_id("proposal", " ".join(text.casefold().split()).rstrip(". "))[:10]


def load_proposals(path: Path) -> Proposals:
    """Read a file of proposed prompts.

    Raises:
        ConfigError: There is none, it cannot be read, or it holds something else.
    """
    if not path.exists():
        raise ConfigError(
            "the file of proposed prompts does not exist",
            where=str(path),
            fix="rewardkit generate CONFIG --propose begins one",
        )
    expected = "schema_version and prompts, each with id, text, status, task, proposed_by and proposed_at"
    return read_record(path, Proposals, "file of prompts", expected=expected)
