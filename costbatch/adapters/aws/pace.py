"""A line that moves at a rate, and the rate that throttled answers teach.

No threads and no clock: ``now`` is the seconds of whichever monotonic clock the caller reads.
"""

from collections.abc import Hashable
from math import inf

from botocore.retries.throttling import CubicCalculator

# Throttled answers further apart than this have nothing to do with each other.
_WINDOW_SECONDS = 10.0
# What was served in less time than this says little about how much is served in a second.
_SHORTEST_MEASURE_SECONDS = 0.5
# Where nobody is served for longer than this, it is not a rate that is wrong.
_LONGEST_SILENCE_SECONDS = 2.0
# The smallest share of what is served that must be refused to believe in a limit, and then to lower it:
# of fewer the retries take care.
_SHARE_TO_BELIEVE, _SHARE_TO_LOWER = 0.1, 0.05
_WITNESSES_TO_LOWER = 4
_SLOWEST_PER_SECOND = 0.5


class Pace:
    """A line of requests, first come, first served.

    Places are numbers, not times: when the rate rises, those who stand in line already move faster, and a
    request that does not use its turn holds up nobody.
    """

    def __init__(self, per_second: float, now: float) -> None:
        self.per_second = per_second
        self._moved_at = now
        self._front = 0.0
        self._next = 0.0

    def join(self, now: float) -> float:
        """Return the place of a request that comes now."""
        self._move(now)
        place = max(self._next, self._front)
        self._next = place + 1
        return place

    def seconds_left(self, place: float, now: float) -> float:
        """Return how long a place has to wait at the present rate; not above 0 once its turn has come."""
        self._move(now)
        return (place - self._front) / self.per_second

    def change(self, per_second: float, now: float) -> None:
        """Move at another rate from now on."""
        self._move(now)
        self.per_second = per_second

    def _move(self, now: float) -> None:
        self._front += (now - self._moved_at) * self.per_second
        self._moved_at = now


class LearnedRate:
    """What throttled answers say about one limit of AWS; ``pace`` is None while there is none to keep to.

    A limit is believed when ``witnesses`` were throttled within seconds, and are no small share of what was
    served meanwhile; with ``needs_served`` they do not count while nobody is served for seconds.
    From then on the rate is a little below what was served, and rises with time: slowly near the rate of the
    last trouble, faster beyond it (CUBIC, as in botocore's adaptive retries).
    """

    def __init__(self, *, witnesses: int, needs_served: bool = False) -> None:
        self.pace: Pace | None = None
        self._needed, self._needs_served = witnesses, needs_served
        self._cubic = CubicCalculator(starting_max_rate=0, start_time=0)
        self._wanted_per_second = 0.0
        self._slowed_at = self._throttled_at = -inf
        self._open_window(self._throttled_at)

    def is_idle(self, now: float) -> bool:
        """Whether it has not been throttled for so long that its next trouble is a new one."""
        return now - self._throttled_at > _WINDOW_SECONDS

    def throttled(self, witness: Hashable | None, *, sent_at: float, now: float) -> bool:
        """Take notice of a throttled answer, of a witness if there is one; return whether the rate fell."""
        self._throttled_at = now
        if sent_at < self._slowed_at:
            return False  # on its way before the last lesson was learnt
        if now - self._began > _WINDOW_SECONDS:
            self._open_window(now)
        self._refused += 1
        if witness is not None:
            self._witnesses.add(witness)
        if now - self._began < _SHORTEST_MEASURE_SECONDS or not self._is_convinced():
            return False
        self._slow_down(now)
        return True

    def served(self, now: float) -> bool:
        """Take notice of a good answer; return whether the limit was given up because it no longer binds."""
        if self._needs_served and not self._served and now - self._began > _LONGEST_SILENCE_SECONDS:
            self._open_window(now)
        self._served += 1
        if self.pace is None:
            return False
        per_second: float = self._cubic.success_received(now)
        if per_second >= self._wanted_per_second:
            self.pace, self._wanted_per_second = None, 0.0
            return True
        self.pace.change(max(per_second, _SLOWEST_PER_SECOND), now)
        return False

    def _open_window(self, now: float) -> None:
        self._began = now
        self._served = self._refused = 0
        self._witnesses = set[Hashable]()

    def _is_convinced(self) -> bool:
        needed, share = self._needed, _SHARE_TO_BELIEVE
        if self.pace is not None:
            needed, share = min(needed, _WITNESSES_TO_LOWER), _SHARE_TO_LOWER
        count = len(self._witnesses)
        is_much = count >= needed and count >= share * self._served
        return is_much and (self._served > 0 or not self._needs_served)

    def _slow_down(self, now: float) -> None:
        seconds = now - self._began
        served = max(self._served / seconds, _SLOWEST_PER_SECOND)
        self._wanted_per_second = max(self._wanted_per_second, (self._served + self._refused) / seconds)
        if self.pace is None:
            self.pace = Pace(served, now)
        per_second = self._cubic.error_received(min(served, self.pace.per_second), now)
        self.pace.change(max(per_second, _SLOWEST_PER_SECOND), now)
        self._slowed_at = now
        self._open_window(now)
