"""What holds for every test: whatever it switched on process-wide is off again for the next."""

import pytest

import ragmeter


@pytest.fixture(autouse=True)
def nothing_stays_observed():
    yield
    ragmeter.uninstrument()
    assert ragmeter.current_scope() is None
