"""`rewardkit serve`: a reward model behind HTTP."""

from __future__ import annotations

import os
from pathlib import Path

from rewardkit.errors import ConfigError, JobFailed
from rewardkit.extras import require_all
from rewardkit.listening import listening
from rewardkit.progress import log
from rewardkit.scorer import RewardModel
from rewardkit.serving.options import KEY, Options

SPEAKS = "/v1/rewards (rewardkit), /get_reward (OpenRLHF), /classify and /pooling (vLLM), /v1/model, /health, /metrics"


def serve(path: Path, options: Options, *, name: str = "") -> None:
    """Serve a reward model until told to end.

    Args:
        path: Its folder.
        options: How.
        name: Under which requests may name it; the folder as it was given if absent.

    Raises:
        ConfigError: The address cannot be taken, others reach it and no key is set, or no text may wait.
        ModelError: The folder is no reward model.
        MissingExtraError: A package of the extra serve or train is not installed.
        JobFailed: The model failed for good while it was served.
    """
    require_all("serve")
    from rewardkit.serving.daemon_thread import DaemonThread
    from rewardkit.serving.engine import ModelEngine
    from rewardkit.serving.server import Server, check_open
    from rewardkit.serving.service import Service
    from rewardkit.serving.worker import DIED

    key = os.environ.get(KEY, "")
    check_open(options.host, key)
    with listening(options.host, options.port, fix="choose another port: --port 0") as bound:
        # OpenMP keeps a team of threads for every thread that ever computed. Once the teams are more threads than there
        # are cores, those of a team no longer wait for each other awake: a model that was loaded by the main thread and
        # then computed in another read a quarter fewer texts a second (two cores).
        thread = DaemonThread("rewards")
        engine = thread.run(lambda: ModelEngine(RewardModel.load(path), name or str(path))).result()
        _check_room(options.most_waiting, engine.about.max_length)
        service = Service(engine, options.most_waiting, thread)
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = f"http://{host}:{bound.getsockname()[1]}"
        Server(service, options, key).serve_on(bound, lambda: _announce(engine.about.name, address, key))
    if service.worker.failed:
        raise JobFailed(DIED, where=str(path))


def _check_room(most: int, longest: int) -> None:
    if most < longest:
        raise ConfigError(
            f"a text of the model's length could never wait ({most} tokens may)",
            where="--max-waiting-tokens",
            expected=f"{longest} at least",
        )


def _announce(name: str, address: str, key: str) -> None:
    log(f"serve: {name} at {address} ; Ctrl-C ends it, and those who wait are answered first")
    log(f"serve: speaks {SPEAKS}; {'requests must show the key' if key else 'no key is set'}")
