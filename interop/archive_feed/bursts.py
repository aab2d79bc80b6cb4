"""Studies that are growing just now: what of them is new, when they are due, and how far the cursor may move.

The archive's own StableStudy is not used: it is never emitted when the archive restarts before a study's stable age.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from interop.dicom.study import InstanceFacts, SeriesFacts, StudyFacts

QUIET = 0.5  # seconds without an image after which a burst is over
GROWING = 1.0  # seconds between two registrations of a study that grows


@dataclass(frozen=True, slots=True)
class Arrived:
    """One image: its study and series without what belongs to them, and itself."""

    study: StudyFacts
    series: SeriesFacts
    instance: InstanceFacts


@dataclass(slots=True)
class Burst:
    """One study while images come. Sequence numbers are those of the archive's changes."""

    study: StudyFacts
    changed: float  # when an image was last seen
    newest: int  # sequence number of its newest image
    oldest_new: int | None = None  # sequence number of its oldest image that is not registered
    registered: float | None = None
    not_before: float = 0.0  # after a failure
    again: bool = False  # images came that were here before: what they say now is read when the burst is over
    series: dict[str, SeriesFacts] = field(default_factory=dict)
    new: dict[str, dict[str, InstanceFacts]] = field(default_factory=dict)  # by series and SOP instance

    def facts(self, *, quiet: bool) -> StudyFacts:
        """The study with what is new."""
        series = tuple(
            replace(self.series[uid], instances=tuple(instances.values())) for uid, instances in self.new.items()
        )
        return replace(self.study, series=series, quiet=quiet)

    def due(self, now: float) -> float:
        """Seconds until it has to be registered, as growing or as quiet; not positive: now."""
        moments = [self.changed + QUIET]
        if self.new:
            moments.append(now if self.registered is None else self.registered + GROWING)
        return max(min(moments), self.not_before) - now


class Bursts:
    """All studies that grow just now."""

    def __init__(self) -> None:
        self._bursts: dict[str, Burst] = {}

    def __contains__(self, study_uid: object) -> bool:
        return study_uid in self._bursts

    def __len__(self) -> int:
        return len(self._bursts)

    def add(self, arrived: Mapping[int, Arrived], now: float) -> None:
        """Take up images by the sequence numbers of their changes."""
        for sequence, image in sorted(arrived.items()):
            burst = self._bursts.get(image.study.study_uid)
            if burst is None:
                burst = self._bursts[image.study.study_uid] = Burst(image.study, now, sequence)
            burst.study, burst.changed, burst.newest = image.study, now, sequence
            if burst.oldest_new is None:
                burst.oldest_new = sequence
            burst.series[image.series.uid] = image.series
            burst.new.setdefault(image.series.uid, {})[image.instance.sop_instance_uid] = image.instance

    def take_due(self, now: float) -> list[tuple[Burst, StudyFacts]]:
        """The studies to register now, each with its facts; say registered() or failed() of each."""
        return [
            (burst, burst.facts(quiet=now - burst.changed >= QUIET))
            for burst in self._bursts.values()
            if burst.due(now) <= 0
        ]

    def registered(self, burst: Burst, facts: StudyFacts, now: float) -> None:
        """These facts are stored; a burst that is quiet is over."""
        for series in facts.series:
            waiting = burst.new[series.uid]
            for instance in series.instances:
                waiting.pop(instance.sop_instance_uid, None)
            if not waiting:
                del burst.new[series.uid]
        burst.registered, burst.oldest_new = now, None
        if facts.quiet:
            self.drop(burst)

    def failed(self, burst: Burst, now: float, pause: float) -> None:
        """Try this one again after the pause."""
        burst.not_before = now + pause

    def drop(self, burst: Burst) -> None:
        """Forget this one."""
        self._bursts.pop(burst.study.study_uid, None)

    def clear(self) -> None:
        """Forget all: another process has taken over."""
        self._bursts.clear()

    def cursor(self, read: int, over: Iterable[Burst] = ()) -> int:
        """How far the cursor may stand once ``over`` are registered and quiet: before all that would be lost.

        A study that is registered but not yet quiet holds it before its newest image, so that whoever takes over sees
        the study again and ends the burst.
        """
        ended = {id(burst) for burst in over}
        held = [
            (burst.newest if burst.oldest_new is None else burst.oldest_new) - 1
            for burst in self._bursts.values()
            if id(burst) not in ended
        ]
        return min([read, *held])

    def pause(self, now: float, longest: float) -> float:
        """Seconds until the next one is due, at most so many."""
        return max(0.0, min([longest, *(burst.due(now) for burst in self._bursts.values())]))
