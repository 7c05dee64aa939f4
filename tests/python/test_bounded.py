from ragmeter.bounded import Bounded


def test_the_oldest_entry_goes_first():
    known = Bounded(2)
    for name in "abac":
        known[name] = name
    assert list(known) == ["b", "c"]
