from types import SimpleNamespace

from ragmeter._native import hold_all, release_all
from ragmeter.observe.patch import Patches


def planned(owner, name, value):
    patches = Patches()
    patches.plan(owner, name, value)
    return patches


def test_several_are_held_all_or_none_and_put_back_by_the_last_who_held_them():
    owner = SimpleNamespace(a=1, b=2)
    sets = [planned(owner, "a", 10), planned(owner, "b", 20)]
    owner.b = 3  # somebody else has put something else there since
    assert not hold_all(sets)
    assert vars(owner) == {"a": 1, "b": 3}
    assert [patches.holders for patches in sets] == [0, 0]

    owner.b = 2
    assert hold_all(sets)
    assert hold_all(sets[:1])
    assert vars(owner) == {"a": 10, "b": 20}
    assert release_all(sets)
    assert vars(owner) == {"a": 10, "b": 2}
    assert release_all(sets[:1])
    assert vars(owner) == {"a": 1, "b": 2}


def test_what_somebody_else_has_put_there_meanwhile_stays_and_is_told():
    owner = SimpleNamespace(a=1, b=2)
    sets = [planned(owner, "a", 10), planned(owner, "b", 20)]
    assert hold_all(sets)
    assert all(patches.fit() for patches in sets)
    owner.a = 5
    assert not release_all(sets)
    assert vars(owner) == {"a": 5, "b": 2}
    assert not sets[0].fit()
