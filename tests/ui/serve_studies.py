"""Serves several studies in one process, each on a port of its own: Gradio is loaded once for all of them.

python serve_studies.py SECRET NAME=CONFIG.json=DATABASE …
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path

import uvicorn

from labeling_ui.server import build
from labeling_ui.study import Study
from rewardkit.label_config import LabelConfig
from rewardkit.listening import listening
from rewardkit.store.store import Store


async def main(secret, *studies):
    with ExitStack() as stack:
        serving, ports = [], []
        for study in studies:
            name, config, database = study.split("=")
            settings = LabelConfig.model_validate_json(Path(config).read_text(encoding="utf-8"))
            store = stack.enter_context(Store.open(database, create=False))
            bound = stack.enter_context(listening("127.0.0.1", 0, fix=""))
            app = build(store, Study.of(settings, name), secret).app
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
            # One that is asked to stop ends all of them.
            server.install_signal_handlers = lambda: None
            serving.append(server.serve([bound]))
            ports.append(bound.getsockname()[1])
        sys.stdout.write(" ".join(map(str, ports)) + "\n")
        sys.stdout.flush()
        await asyncio.gather(*serving)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
