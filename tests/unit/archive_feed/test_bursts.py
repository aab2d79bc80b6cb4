"""A study is registered at its first image, once a second while it grows, and when it is quiet; nothing is lost."""

from interop.archive_feed.bursts import Arrived, Bursts
from interop.dicom.study import InstanceFacts, SeriesFacts, StudyFacts


def image(number: int, *, study: str = "1.2", series: str = "1.2.1") -> Arrived:
    return Arrived(
        StudyFacts(study, patient_id="P1"),
        SeriesFacts(series, "CT"),
        InstanceFacts(f"{series}.{number}", "1.2.840.10008.5.1.4.1.1.2", number),
    )


def register(bursts: Bursts, now: float) -> list[tuple[int, bool]]:
    """Register what is due; how many images each, and whether it was quiet."""
    told = []
    for burst, facts in bursts.take_due(now):
        told.append((sum(len(series.instances) for series in facts.series), facts.quiet))
        bursts.registered(burst, facts, now)
    return told


def test_the_first_image_is_registered_at_once() -> None:
    bursts = Bursts()
    bursts.add({1: image(1)}, 100.0)
    assert register(bursts, 100.0) == [(1, False)]


def test_a_growing_study_is_registered_once_a_second_with_what_is_new() -> None:
    bursts = Bursts()
    told = []
    for tick in range(30):  # an image every tenth of a second
        now = 100.0 + tick / 10
        bursts.add({tick: image(tick)}, now)
        told += register(bursts, now)
    assert told == [(1, False), (10, False), (10, False)]


def test_it_is_quiet_half_a_second_after_its_last_image() -> None:
    bursts = Bursts()
    bursts.add({1: image(1)}, 100.0)
    register(bursts, 100.0)
    bursts.add({2: image(2)}, 100.1)
    assert register(bursts, 100.5) == []
    assert register(bursts, 100.6) == [(1, True)]
    assert len(bursts) == 0


def test_quiet_is_told_though_nothing_is_new() -> None:
    bursts = Bursts()
    bursts.add({1: image(1)}, 100.0)
    register(bursts, 100.0)
    assert register(bursts, 100.5) == [(0, True)]


def test_studies_do_not_wait_for_one_another() -> None:
    bursts = Bursts()
    bursts.add({1: image(1), 2: image(1, study="1.3", series="1.3.1"), 3: image(1, series="1.2.2")}, 100.0)
    assert sorted(register(bursts, 100.0)) == [(1, False), (2, False)]


def test_images_that_come_while_it_is_registered_stay_new() -> None:
    bursts = Bursts()
    bursts.add({1: image(1)}, 100.0)
    ((burst, facts),) = bursts.take_due(100.0)
    bursts.add({2: image(2)}, 100.05)
    bursts.registered(burst, facts, 100.1)
    assert register(bursts, 101.2) == [(1, True)]


def test_the_cursor_never_passes_what_would_be_lost() -> None:
    bursts = Bursts()
    assert bursts.cursor(40) == 40
    bursts.add({11: image(1), 12: image(2)}, 100.0)
    bursts.add({20: image(1, study="1.3", series="1.3.1")}, 100.0)
    assert bursts.cursor(40) == 10  # nothing is registered
    ((one, facts), _) = bursts.take_due(100.0)
    bursts.registered(one, facts, 100.0)
    assert bursts.cursor(40) == 11  # registered, but quiet is still to be told: its newest image is read again
    assert bursts.cursor(40, over=[one]) == 19
    register(bursts, 100.0)
    register(bursts, 101.0)
    assert bursts.cursor(40) == 40


def test_a_failure_is_tried_again_later_and_holds_the_cursor() -> None:
    bursts = Bursts()
    bursts.add({11: image(1)}, 100.0)
    ((burst, _),) = bursts.take_due(100.0)
    bursts.failed(burst, 100.0, 1.0)
    assert bursts.take_due(100.9) == []
    assert bursts.cursor(40) == 10
    assert register(bursts, 101.0) == [(1, True)]


def test_the_loop_sleeps_until_something_is_due() -> None:
    bursts = Bursts()
    assert bursts.pause(100.0, 0.2) == 0.2
    bursts.add({1: image(1)}, 100.0)
    assert bursts.pause(100.0, 0.2) == 0.0
    register(bursts, 100.0)
    assert bursts.pause(100.0, 10.0) == 0.5
