"""One queue in front of the model: requests that wait at the same time are scored together."""

import asyncio
import collections
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mapl_jax.data.tries import TokenPath
from mapl_jax.evaluation.rewards import Scorer

# Requests are scored together up to this many texts; what comes first is answered first.
TOGETHER = 64


class Full(Exception):
    """So much waits already that a request has to come again later."""


class Queue:
    """Requests in the order in which they came."""

    def __init__(self, scorer: Scorer, most: int):
        """Prepares, for at most so many waiting texts; `run` does the work."""
        self._scorer, self._most = scorer, most
        self._waiting: collections.deque[
            tuple[Sequence[TokenPath], asyncio.Future[list[float]]]
        ] = collections.deque()
        self._texts = 0
        self._arrived = asyncio.Event()

    async def rewards(self, paths: Sequence[TokenPath]) -> list[float]:
        """The rewards of the texts of a request, when it is its turn.

        Raises:
            Full: too many texts wait.
        """
        if self._texts + len(paths) > self._most:
            raise Full
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((paths, future))
        self._texts += len(paths)
        self._arrived.set()
        return await future

    async def run(self) -> None:
        """Scores what waits, until it is cancelled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "scoring") as thread:
            while True:
                await self._arrived.wait()
                requests = self._take()
                paths = [path for some, _ in requests for path in some]
                try:
                    values = iter(await loop.run_in_executor(thread, self._scorer, paths))
                    for some, future in requests:
                        found = [next(values) for _ in some]
                        if not future.done():
                            future.set_result(found)
                except Exception as error:  # whatever it is, these requests get it and no others
                    for _, future in requests:
                        if not future.done():
                            future.set_exception(error)

    def _take(self) -> list[tuple[Sequence[TokenPath], asyncio.Future[list[float]]]]:
        requests = [self._waiting.popleft()]
        count = len(requests[0][0])
        while self._waiting and count + len(self._waiting[0][0]) <= TOGETHER:
            requests.append(self._waiting.popleft())
            count += len(requests[-1][0])
        self._texts -= count
        if not self._waiting:
            self._arrived.clear()
        return requests
