"""The HTTP application: routes of four dialects, one way to a reward."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from rewardkit import __version__
from rewardkit.complaints import complaint
from rewardkit.reward_model.whole_texts import Conversation, Whole
from rewardkit.scorer import compared, messages_of
from rewardkit.serving.figures import CONTENT_TYPE
from rewardkit.serving.gate import LEFT
from rewardkit.serving.openrlhf import GetRewardAnswer, GetRewardRequest
from rewardkit.serving.refusals import Gone, Refusal
from rewardkit.serving.service import Scored, Service
from rewardkit.serving.vllm import PoolingRequest, classified, pooled
from rewardkit.serving.wire import CalibrationAnswer, Comparison, ModelAnswer, RewardsAnswer, RewardsRequest

Read = TypeVar("Read", bound=BaseModel)
Awaited = TypeVar("Awaited")


class Routes:
    """The routes of a server.

    Args:
        service: Answers them.
    """

    def __init__(self, service: Service) -> None:
        self._service, self._about = service, service.engine.about

    def app(self) -> FastAPI:
        """Return the application."""
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        app.add_exception_handler(Refusal, _refused)
        app.add_exception_handler(HTTPException, _nowhere)
        app.add_exception_handler(Gone, _gone)
        app.add_exception_handler(Exception, _broken)
        for path, answer in self.posts.items():
            app.add_api_route(path, answer, methods=["POST"])
        for path, answer in self.gets.items():
            app.add_api_route(path, answer, methods=["GET"])
        return app

    @property
    def posts(self) -> dict[str, Any]:
        """What answers each path that takes texts."""
        return {
            "/v1/rewards": self.rewards,
            "/get_reward": self.get_reward,
            "/classify": self.classify,
            "/pooling": self.pooling,
        }

    @property
    def gets(self) -> dict[str, Any]:
        """What answers each path that tells of the server."""
        return {"/v1/model": self.model, "/health": self.health, "/metrics": self.metrics}

    async def rewards(self, request: Request) -> Response:
        """Answer in rewardkit's own form."""
        told = await self._read(request, RewardsRequest)
        self._check_name(told.model)
        asked = [(messages_of(prompt), text) for prompt, text in told.asked()]
        scored, about = await self._score(request, asked), self._about
        unlike = await _unless_gone(request, self._service.unlike(asked))
        return _json(
            RewardsAnswer(
                model=self._about.name,
                rewards=scored.rewards,
                truncated=scored.truncated,
                reasons=scored.reasons,
                spread=scored.spread if about.members > 1 else None,
                noise=scored.noise if about.variance_head else None,
                criteria=scored.ratings(about.criteria) if about.criteria else None,
                unlike=unlike,
                comparison=None if told.responses is None else self._comparison(scored),
                tokens=scored.tokens,
            )
        )

    async def get_reward(self, request: Request) -> Response:
        """Answer OpenRLHF."""
        told = await self._read(request, GetRewardRequest)
        return _json(GetRewardAnswer.of((await self._score(request, told.asked())).whole()))

    async def classify(self, request: Request) -> Response:
        """Answer clients of vLLM's /classify."""
        return _json(classified(self._about.name, *await self._pooled(request)))

    async def pooling(self, request: Request) -> Response:
        """Answer clients of vLLM's /pooling."""
        return _json(pooled(self._about.name, *await self._pooled(request)))

    async def model(self) -> Response:
        """Tell what is served."""
        about, calibration = self._about, self._about.calibration
        fields = CalibrationAnswer.model_fields
        return _json(
            ModelAnswer(
                model=about.name,
                base=about.base,
                max_length=about.max_length,
                too_long=about.too_long,
                members=about.members,
                variance_head=about.variance_head,
                criteria=about.criteria,
                calibration=calibration and CalibrationAnswer(**calibration.model_dump(include=set(fields))),
                version=__version__,
            )
        )

    async def health(self) -> Response:
        """Tell whether requests are answered."""
        trouble = self._service.trouble
        return JSONResponse({"status": trouble or "ok"}, 503 if trouble else 200)

    async def metrics(self) -> Response:
        """Tell Prometheus the figures."""
        return Response(self._service.figures.page(), media_type=CONTENT_TYPE)

    async def _pooled(self, request: Request) -> tuple[tuple[float, ...], int]:
        told = await self._read(request, PoolingRequest)
        self._check_name(told.model)
        scored = await self._score(request, told.asked())
        return tuple(told.shown(reward) for reward in scored.whole()), scored.tokens

    async def _read(self, request: Request, kind: type[Read]) -> Read:
        """Read what a request asks."""
        try:
            return kind.model_validate_json(await request.body())
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            # Which of several types was tried is nothing that its sender knows of.
            where = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("str", "tuple[")))
            status = 400 if first["type"] == "json_invalid" else 422
            raise Refusal(status, f"{where}: {complaint(first)}" if where else complaint(first)) from error

    async def _score(self, request: Request, asked: Sequence[Conversation | Whole]) -> Scored:
        return await _unless_gone(request, self._service.score(asked))

    def _check_name(self, name: str | None) -> None:
        if name not in (None, "", self._about.name):
            raise Refusal(404, f"there is no model {name!r} here: this is {self._about.name!r}")

    def _comparison(self, scored: Scored) -> Comparison | None:
        calibration = self._about.calibration
        members = [np.array(reading.members) for reading in scored.readings if reading is not None]
        if calibration is None or len(scored.readings) != 2 or len(members) != 2:
            return None
        said = compared(calibration, *members, truncated=any(scored.truncated))
        return Comparison(p_a=said.p_a, low=said.low, high=said.high, n=said.n, disagreement=said.disagreement)


async def _unless_gone(request: Request, work: Awaitable[Awaited]) -> Awaited:
    """Return what comes of some work, which ends when the client leaves.

    Raises:
        Gone: The client left.
    """
    # Behind the body nothing is received but that the client left.
    tasks = asyncio.ensure_future(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise Gone
        return tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


async def _gone(*_: object) -> Response:
    return Response(status_code=LEFT)


async def _nowhere(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Refusal(error.status_code, str(error.detail)).response()


async def _broken(_: Request, error: Exception) -> Response:
    # The traceback goes to the server's own log.
    return Refusal(500, "the server has a bug: its log tells more").response()
