"""What is known of a series holds for a request only while no other stores into it."""

from __future__ import annotations

import pytest

from interop.dicomweb.visits import Visits

ONE, TWO = frozenset(("1.1",)), frozenset(("1.1", "1.2"))


def test_who_is_alone_in_an_empty_series_brings_what_is_new() -> None:
    with Visits().entered(TWO) as visit:
        assert not visit.is_new("1.1"), "nobody has looked yet"
        visit.found_empty("1.1")
        assert visit.is_new("1.1")
        assert not visit.is_new("1.2")


def test_another_who_enters_ends_that_for_both() -> None:
    visits = Visits()
    with visits.entered(TWO) as first:
        first.found_empty("1.1")
        first.found_empty("1.2")
        with visits.entered(ONE) as second:
            assert not second.is_alone_in("1.1")
            second.found_empty("1.1")
            assert not second.is_new("1.1")
        assert not first.is_new("1.1"), "the other may have stored it"
        assert first.is_new("1.2")


def test_who_comes_when_all_have_left_is_alone() -> None:
    visits = Visits()
    with pytest.raises(RuntimeError), visits.entered(ONE):
        raise RuntimeError
    with visits.entered(ONE) as visit:
        assert visit.is_alone_in("1.1")
