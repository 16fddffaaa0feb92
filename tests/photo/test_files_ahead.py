from concurrent.futures import ThreadPoolExecutor

import pytest

from garmentcut.photo.files import map_in_order


def test_results_come_in_order_and_jobs_are_drawn_as_they_go():
    drawn = []

    def jobs():
        for number in range(50):
            drawn.append(number)
            yield number

    with ThreadPoolExecutor(3) as pool:
        results = map_in_order(pool, lambda number: number * number, jobs(), num_ahead=4)
        assert next(results) == 0
        assert len(drawn) == 5
        assert list(results) == [number * number for number in range(1, 50)]


def test_a_failure_comes_through():
    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        list(map_in_order(pool, lambda number: 1 // number, [1, 0, 1], num_ahead=1))
