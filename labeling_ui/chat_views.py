"""What an annotator sees of a conversation: no model's name, and not the instructions that the models get."""

from __future__ import annotations

from dataclasses import dataclass

from labeling_ui.conversations import Conversations
from labeling_ui.subjects import load_subject
from labeling_ui.talk import Conversation
from labeling_ui.views import View, asked_criteria, rendered


@dataclass(frozen=True)
class ChatViews:
    """Shows people their conversations.

    Attributes:
        conversations: Of the study.
    """

    conversations: Conversations

    def turn(self, person_id: str) -> View | None:
        """Return the conversation that goes on; None where the annotator has had them all."""
        conversation = self.conversations.current(person_id)
        if conversation is None:
            return None
        return {"step": "chat", "chat": self._chat(conversation), "progress": self.progress(person_id)}

    def progress(self, person_id: str) -> View:
        """Return how many pairs of replies a person has compared."""
        turns, _ = self.conversations.compared(person_id)
        return {"done": turns, "most": None, "seconds_each": None, "seconds_left": None}

    def _chat(self, conversation: Conversation) -> View:
        study, config, pending = self.conversations.desk.study, self.conversations.config, conversation.pending
        said = [{"role": message.role, "html": rendered(message.content)} for message in conversation.messages]
        return {
            "token": pending.token,
            "awaits": pending.awaits,
            "messages": said,
            "replies": self._replies(pending.shown),
            "number": conversation.number,
            "conversations": config.conversations,
            "turn": conversation.turns + 1,
            "turns": config.most_turns,
            "may_end": conversation.turns >= config.least_turns and pending.awaits != "choice",
            "longest": config.longest_message,
            "criteria": asked_criteria(study),
            "rates": study.config.criteria == "rate",
            "scale": list(study.scale),
            "reasons": list(study.reasons),
            "least_seconds": study.config.least_seconds,
        }

    def _replies(self, shown: tuple[str, ...]) -> list[View]:
        if not shown:
            return []
        with self.conversations.desk.store.reading() as connection:
            texts = {each.id: each.text for each in load_subject(connection, shown).responses}
        return [{"html": rendered(texts[each])} for each in shown]
