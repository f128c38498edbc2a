"""A judge that is asked while an annotator waits: its words as they come, and at the end labels and ratings.

A critique of both responses, which is better, and how both do on each criterion of a rubric. A model that runs here
is asked for the verdict and the ratings as in batch, by the probabilities of the labels and in both orders; behind a
URL it says them in words. A verdict that cannot be read is a failed label with the reason; a rating that cannot be
read is a failed rating, and spoils nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from labeling_ui.reviewing import Opinion, Words
from labeling_ui.subjects import Subject
from rewardkit.jobs.chat_models import Reader, Source, one_model
from rewardkit.jobs.live_answers import Answers, Asked, ReadAnswers, ToldAnswers
from rewardkit.judge.critique import CritiqueV1
from rewardkit.judge.pairwise import PairwiseV1
from rewardkit.judge.rating import RatingV1
from rewardkit.label_config import LiveJudgeConfig
from rewardkit.rubric import Rubric, load_rubric
from rewardkit.storable import storable
from rewardkit.types import Annotator, Order, content_id

KEY = "label.review.live"


@dataclass(frozen=True)
class CritiqueJudge:
    """A model that judges by `critique.v1`.

    Attributes:
        annotator: The judge as an annotator.
        rubric: By which it judges.
        source: Replies of the model.
        read: What the model says where the answer is a label; None where it can only be asked for words.
    """

    annotator: Annotator
    rubric: Rubric
    source: Source
    read: Reader | None

    async def opinion(self, subject: Subject, order: Order) -> AsyncGenerator[Words | Opinion, None]:
        """Yield what the judge says as it says it, and the records of it: without ratings first, and then with them.

        Raises:
            ChatFailed: The model cannot be reached, or broke off.
        """
        asked = self._asked(subject, order)
        answers: Answers = ReadAnswers(asked, self.read) if self.read else ToldAnswers(asked)
        async for words in asked.critique():
            yield words
        async for words in answers.verdict():
            yield words
        yield Opinion(answers.labels, [])
        if any(label.status == "ok" for label in answers.labels):
            async for words in answers.rate():
                yield words
            yield Opinion(answers.labels, answers.ratings)

    def failed(self, subject: Subject, order: Order, why: str) -> Opinion:
        """Return the record of a judge that said nothing that can be used."""
        return Opinion([self._asked(subject, order).label(status="failed", reason=storable(why))], [])

    def _asked(self, subject: Subject, order: Order) -> Asked:
        return Asked(self.annotator, self.rubric, self.source, subject, order)


def annotator_of(config: LiveJudgeConfig) -> Annotator:
    """Return the judge that a config names, as an annotator.

    Raises:
        ConfigError: There is no such rubric.
    """
    rubric = load_rubric(config.rubric)
    prompts = [protocol().prompt_hash for protocol in (CritiqueV1, PairwiseV1, RatingV1)]
    return Annotator.of(
        "judge",
        f"{config.model}/{CritiqueV1.name}/{rubric.name}",
        model=config.model,
        protocol=CritiqueV1.name,
        prompt_hash=content_id("critique prompts", *prompts),
        settings={
            "backend": "openai" if config.url else "transformers",
            "temperature": config.temperature,
            "top_p": config.top_p,
            "max_tokens": config.max_tokens,
            "rubric_version": rubric.version,
            "rubric_hash": rubric.content_hash,
        },
    )


@contextmanager
def live_judge(config: LiveJudgeConfig) -> Iterator[CritiqueJudge]:
    """Open the judge that a config names; a model that runs here ends with the block.

    Raises:
        ConfigError: There is no such rubric, or the key of the server is not in the environment.
        ModelError: The model cannot be loaded.
        MissingExtraError: A package that it needs is not installed.
    """
    rubric, annotator = load_rubric(config.rubric), annotator_of(config)
    with one_model(config, KEY) as (source, read):
        yield CritiqueJudge(annotator, rubric, source, read)
