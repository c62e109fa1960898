"""Days, instants and ranges of days, and which days a run re-reads.

A day is AWS's: a UTC date. Ranges are half-open, as in Cost Explorer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

ONE_DAY = timedelta(days=1)
# The days that can be stored: AWS has no cost before them, and what is after them is a mistake.
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2999, 12, 31)

# Cost Explorer keeps the current month and this many before it, at daily granularity.
HISTORY_MONTHS = 13


@dataclass(frozen=True, slots=True)
class DateRange:
    """The days from ``start`` to the day before ``end_exclusive``; never empty."""

    start: date
    end_exclusive: date

    def __post_init__(self) -> None:
        if self.start >= self.end_exclusive:
            raise ValueError(f"the range from {self.start} to {self.end_exclusive} contains no days")

    @property
    def last(self) -> date:
        """The last day inside."""
        return self.end_exclusive - ONE_DAY

    def __len__(self) -> int:
        return (self.end_exclusive - self.start).days

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end_exclusive

    def __iter__(self) -> Iterator[date]:
        # A run iterates over hundreds of thousands of days; adding timedeltas would take ten times as long.
        return map(date.fromordinal, range(self.start.toordinal(), self.end_exclusive.toordinal()))

    def parts(self, days: int) -> "Iterator[DateRange]":
        """Yield the days in ranges of at most so many, one after the other."""
        start = self.start
        while start < self.end_exclusive:
            end = min(start + timedelta(days=days), self.end_exclusive)
            yield DateRange(start, end)
            start = end

    def touches(self, other: "DateRange") -> bool:
        """Whether both together are one range without a gap."""
        return self.start <= other.end_exclusive and other.start <= self.end_exclusive

    def overlaps(self, first: date, last: date) -> bool:
        """Whether one of the days from ``first`` to ``last`` is inside."""
        return first < self.end_exclusive and self.start <= last

    def join(self, other: "DateRange") -> "DateRange":
        """Return the range that spans both."""
        return DateRange(min(self.start, other.start), max(self.end_exclusive, other.end_exclusive))

    def widened(self, gap: timedelta) -> "DateRange":
        """Return the days with those up to ``gap`` before and after."""
        return DateRange(self.start - gap, self.end_exclusive + gap)

    def to_document(self) -> dict[str, str]:
        """Return the range as JSON has it."""
        return {"start": self.start.isoformat(), "end_exclusive": self.end_exclusive.isoformat()}

    @classmethod
    def from_document(cls, document: Mapping[str, str]) -> "DateRange":
        """Return the range that ``to_document`` wrote."""
        return cls(date.fromisoformat(document["start"]), date.fromisoformat(document["end_exclusive"]))


def instant(moment: datetime) -> str:
    """Return an aware instant as every document has it: ISO 8601 in UTC, with Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def utc_day(moment: datetime) -> date:
    """Return the UTC day of an aware instant.

    Raises:
        ValueError: the instant is naive, so that its day is not known.

    """
    if moment.tzinfo is None:
        raise ValueError("an instant must carry its time zone")
    return moment.astimezone(UTC).date()


def month_start(day: date, *, months_back: int = 0) -> date:
    """Return the first day of the month of ``day``, or of one some months before it."""
    months = day.year * 12 + day.month - 1 - months_back
    return date(months // 12, months % 12 + 1, 1)


def earliest_available(today: date) -> date:
    """Return the first day for which Cost Explorer still has daily cost."""
    return month_start(today, months_back=HISTORY_MONTHS)


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """How far back an ordinary run reads: one that was not asked for certain days.

    trailing_days: how many days every run re-reads, yesterday included.
    month_close_day: until this day of the month, all of last month is re-read, because it can still change.
    history_months: whole months before the current one that an account's first collection reads.
    keep_months: whole months before the current one that are kept; None: all. Older days are not read.
    """

    trailing_days: int = 35
    month_close_day: int = 10
    history_months: int = HISTORY_MONTHS
    keep_months: int | None = None

    def earliest_day_on(self, today: date) -> date:
        """Return the first day that a run on ``today`` may read: AWS still has it, and it will be kept."""
        if self.keep_months is None:
            return earliest_available(today)
        return max(earliest_available(today), month_start(today, months_back=self.keep_months))

    def first_day_read_on(self, today: date) -> date:
        """Return how far back a run on ``today`` reads if no run was missed."""
        start = today - timedelta(days=self.trailing_days)
        return min(start, month_start(today, months_back=1)) if today.day <= self.month_close_day else start


def collection_window(today: date, *, ordinary_end: date | None, policy: WindowPolicy) -> DateRange:
    """Return the days to re-read for an account.

    ordinary_end: the end of the days that its last ordinary run read; None: there was none.
    The window ends with yesterday. It covers the trailing days, and last month until it is closed. After
    an outage it begins where the first missed run would have begun, because the days before the outage
    had not settled either. A first collection reads the history.
    """
    if ordinary_end is None:
        start = month_start(today, months_back=policy.history_months)
    else:
        first_missed = min(ordinary_end + ONE_DAY, today)
        start = min(map(policy.first_day_read_on, DateRange(first_missed, today + ONE_DAY)))
    start = max(start, policy.earliest_day_on(today))
    return DateRange(min(start, today - ONE_DAY), today)


def extend_collected(
    collected: DateRange | None, window: DateRange, *, is_ordinary: bool
) -> DateRange | None:
    """Return what is stored without a gap after ``window`` was read.

    A backfill counts only if it touches the stored days; otherwise the first ordinary run would take the
    gap between them for collected. An ordinary window that touches nothing follows an outage longer than
    AWS's history: the days between can never be read.
    """
    if collected is not None and collected.touches(window):
        return collected.join(window)
    return window if is_ordinary else collected
