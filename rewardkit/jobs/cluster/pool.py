"""Judges on a Ray cluster: shards are handed to whoever is free, and again to others where a judge is lost.

Plain actors and not Ray Data: a shard's labels are to be in a file, whole, before anybody counts on them, and what a
lost judge spent has to be known; a pipeline of blocks tells neither.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from rewardkit.errors import JobFailed
from rewardkit.jobs.cluster.ledger import Call, State
from rewardkit.jobs.cluster.worker import Orders, Refusal, ShardJudge, ShardWork
from rewardkit.judge_config import JudgeConfig
from rewardkit.progress import log

MOST_TRIES = 3
"""Judges that one shard, or the opening of one after the other, may end."""
SECONDS = 0.5
WAITED_FOR = 30.0
"""Seconds without any judge until it is said that the cluster has no room."""


class Pool:
    """Judges on a cluster, as many as it has room for.

    Args:
        orders: What they are told.
        config: How many there are, and what each needs.
        call: The ledger.
    """

    def __init__(self, orders: Orders, config: JudgeConfig, call: Call) -> None:
        import ray

        self._ray: Any = ray
        self._call, self._config, self._orders = call, config, ray.put(orders)
        needs = {"num_cpus": config.ray_cpus, "num_gpus": config.ray_gpus}
        self._actor: Any = ray.remote(ShardJudge)
        self._actor = self._actor.options(**needs, max_restarts=0, max_task_retries=0)
        self._numbers = count(1)
        self._names: dict[Any, str] = {}
        self._opening: dict[Any, Any] = {}
        self._free: list[Any] = []
        self._busy: dict[Any, tuple[Any, ShardWork]] = {}
        self._again: deque[ShardWork] = deque()
        self._tries: Counter[str] = Counter()
        self._seen, self._said_full = time.monotonic(), False

    def run(self, works: Iterator[ShardWork], tell: Callable[[State], None]) -> Iterator[ShardWork]:
        """Have shards judged; yield each as its file is there, in any order.

        Args:
            works: Read as judges are free.
            tell: Called every so often.

        Raises:
            RewardkitError: A judge cannot be opened or cannot go on, or a shard ends whoever judges it.
        """
        waiting = next(works, None)
        for _ in range(self._room() if waiting and not self._names else 0):
            self._start()
        while waiting or self._again or self._busy:
            state: State = self._call("state")
            tell(state)
            if state.stopped or state.used_up:
                # What is under way is finished, and nothing more is begun.
                waiting, works = None, iter(())
                self._again.clear()
            while self._free and (self._again or waiting):
                if self._again:
                    self._give(self._again.popleft())
                elif waiting:
                    self._give(waiting)
                    waiting = next(works, None)
            yield from self._wait()
        tell(self._call("state"))

    def close(self) -> None:
        """End all judges."""
        for actor in self._names:
            self._ray.kill(actor)

    def _room(self) -> int:
        """Return how many judges there are to be: as many as the cluster has room for, and never none."""
        if self._config.ray_workers is not None:
            return self._config.ray_workers
        there, needs = self._ray.cluster_resources(), {"CPU": self._config.ray_cpus, "GPU": self._config.ray_gpus}
        return max(1, int(min(there.get(name, 0.0) / need for name, need in needs.items() if need)))

    def _start(self) -> None:
        name = f"judge {next(self._numbers)}"
        actor = self._actor.remote(name, self._orders)
        self._names[actor] = name
        self._opening[actor.open.remote()] = actor

    def _give(self, work: ShardWork) -> None:
        actor = self._free.pop()
        self._busy[actor.judge.remote(work)] = actor, work

    def _wait(self) -> Iterator[ShardWork]:
        refs = [*self._opening, *self._busy]
        # Whoever is ready first is given work at once; who is ready with it is seen too.
        ready, others = self._ray.wait(refs, num_returns=1, timeout=SECONDS)
        if others:
            ready += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        for ref in ready:
            work = self._busy[ref][1] if ref in self._busy else None
            if self._ended(ref) and work is not None:
                yield work
        self._say_if_full()

    def _ended(self, ref: Any) -> bool:
        """Take note of what a judge has done; False where it was lost with it."""
        actor, work = self._busy.pop(ref) if ref in self._busy else (self._opening.pop(ref), None)
        try:
            refusal: Refusal | None = self._ray.get(ref)
        except self._ray.exceptions.RayActorError as error:
            self._lost(actor, work, error)
            return False
        if refusal is not None:
            raise refusal.error()
        self._free.append(actor)
        self._tries.pop("opening", None)
        return True

    def _lost(self, actor: Any, work: ShardWork | None, error: Exception) -> None:
        name = self._names.pop(actor)
        # It may only be out of reach: nobody else may write what it was to write.
        self._ray.kill(actor)
        self._call("lost", name)
        what = str(work.shard) if work else "opening"
        self._tries[what] += 1
        if self._tries[what] >= MOST_TRIES:
            raise JobFailed(
                f"{MOST_TRIES} judges ended one after the other ({str(error).splitlines()[0]})",
                where=what,
                expected="judges that live",
                fix="see their logs (ray logs); give each more memory: fewer judge.ray_workers, or more judge.ray_cpus",
            )
        log(f"judge: {name} is lost; {'its shard is' if work else 'another one is'} given to another")
        if work:
            self._again.append(work)
        self._start()

    def _say_if_full(self) -> None:
        now = time.monotonic()
        if self._free or self._busy:
            self._seen = now
        elif now - self._seen > WAITED_FOR and not self._said_full:
            self._said_full = True
            need = f"{self._config.ray_cpus:g} processors and {self._config.ray_gpus:g} accelerators"
            log(f"judge: waiting for the cluster: no node has room for a judge, which needs {need}")
