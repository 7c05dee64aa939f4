import asyncio
import logging

import pytest

import ragmeter
from ragmeter.meter import guard


def test_the_errors_of_a_hook_are_counted_logged_once_a_place_and_go_no_further(caplog):
    before = ragmeter.health()["errors"]
    with caplog.at_level(logging.ERROR, "ragmeter"):
        for _ in range(3):
            with guard("a place of this test"):
                raise RuntimeError("of a hook")
    assert ragmeter.health()["errors"] == before + 3
    assert len(caplog.records) == 1
    assert "a place of this test failed" in caplog.text
    assert "of a hook" in caplog.text


class PanicException(BaseException):
    """Named like the one that PyO3 makes of a Rust panic, which is no `Exception` either."""


def test_a_panic_of_the_native_half_goes_no_further():
    before = ragmeter.health()["errors"]
    with guard("a place that panics"):
        raise PanicException
    assert ragmeter.health()["errors"] == before + 1


@pytest.mark.parametrize("exc", [KeyboardInterrupt, asyncio.CancelledError, GeneratorExit, SystemExit])
def test_what_is_not_an_error_passes(exc):
    with pytest.raises(exc), guard("a place that is left"):
        raise exc
