"""Work on many files in threads: in order, few at a time, and errors come through."""

import threading

import pytest

from src.threads import call_within, map_threads


def test_results_come_in_order_and_few_are_held():
    begun = []
    results = map_threads(lambda n: begun.append(n) or n * n, range(1000), workers=2)
    assert next(results) == 0 and len(begun) <= 17
    assert list(results) == [n * n for n in range(1, 1000)]


def test_errors_come_through():
    with pytest.raises(ZeroDivisionError):
        list(map_threads(lambda n: 1 / n, [1, 0, 1]))


def test_a_call_is_given_up_after_its_time_and_else_says_what_happened():
    assert call_within(5, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        call_within(5, lambda: 1 / 0)
    ended = threading.Event()
    with pytest.raises(TimeoutError):
        call_within(0.01, ended.wait)
    ended.set()
