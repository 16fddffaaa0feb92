import asyncio

import pytest

from garmentcut.review import service
from garmentcut.review.errors import QueueFullError
from garmentcut.review.service import CutQueue


@pytest.fixture
def queue(review):
    return CutQueue(review.service.model)


async def trickle(start, rest):
    yield start
    await rest.wait()
    yield b"end"


async def upload(queue, start, rest):
    async with queue.upload(trickle(start, rest)) as body:
        return body


def test_the_slowest_body_gives_way_where_too_many_come(queue, monkeypatch):
    monkeypatch.setattr(service, "MAX_UPLOADS", 2)
    monkeypatch.setattr(service, "_UNJUDGED_S", 0.005)

    async def run():
        rest = asyncio.Event()
        tasks = []
        for start in (b"fast" * 1000, b"s", b"new" * 1000):
            tasks.append(asyncio.create_task(upload(queue, start, rest)))
            await asyncio.sleep(0.01)
        rest.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    fast, slow, new = asyncio.run(run())
    assert fast == b"fast" * 1000 + b"end" and new == b"new" * 1000 + b"end"
    assert isinstance(slow, QueueFullError) and "this one is slow" in str(slow)
    assert (queue._uploads, queue._num_bytes) == ({}, 0)


def test_all_bodies_together_take_so_many_bytes(queue, monkeypatch):
    monkeypatch.setattr(service, "MAX_BYTES", 1000)

    async def run():
        rest = asyncio.Event()
        first = asyncio.create_task(upload(queue, b"x" * 900, rest))
        await asyncio.sleep(0.01)
        second = await asyncio.gather(upload(queue, b"x" * 200, rest), return_exceptions=True)
        rest.set()
        return await first, second[0], await upload(queue, b"x" * 900, rest)

    first, second, third = asyncio.run(run())
    assert len(first) == len(third) == 903
    assert isinstance(second, QueueFullError)
    assert queue._num_bytes == 0
