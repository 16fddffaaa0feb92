"""`map_in_order`: a thread pool's results in order with few jobs under way, wherever photos are read ahead."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def map_in_order(
    pool: Executor, step: Callable[[_Job], _Result], jobs: Iterable[_Job], *, num_ahead: int
) -> Generator[_Result, None, None]:
    """Results of `step` in the order of the jobs, `num_ahead` of them under way: memory stays flat.

    What has not begun when the generator is closed is cancelled.
    """
    waiting: deque[Future[_Result]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(step, job))
            if len(waiting) > num_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
