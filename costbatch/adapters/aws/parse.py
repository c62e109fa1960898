"""The body of a Cost Explorer answer to costs: pure, strict, and fast, for it holds thousands of rows.

Whatever is not as documented is refused with the place where it stands; nothing is guessed or filled in.
A day whose text is known from the last time is not read again: most days of a night's answer are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from hashlib import sha256
from itertools import chain

import msgspec

from costbatch.adapters.aws.malformed import Explanation, MalformedError, shown
from costbatch.adapters.aws.repeated import check_groups, check_page
from costbatch.adapters.aws.wire import (
    METRICS,
    Amounts,
    Currencies,
    Group,
    Keys,
    Metrics,
    Result,
    check_name,
    check_units,
    read_groups,
    read_page,
)
from costbatch.domain.costs import (
    NOTHING_KNOWN,
    CostColumns,
    CostKey,
    DayAnswer,
    DayAnswers,
    FetchedCosts,
)
from costbatch.domain.money import parse_amount
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.strict_json import RepeatedMemberError

# Part of every digest: another number here, and every day is read and compared once more. For a change of
# what is stored of a text.
_FORM = b"1"
_DIGEST_BYTES = 16

# A hostile body may be nested deeper than any stack.
_UNREADABLE = (msgspec.MsgspecError, KeyError, ValueError, RecursionError)


@dataclass(slots=True)
class _Piece:
    """What a page holds of a day; ``place`` is where."""

    day: date
    place: str
    estimated: bool
    groups: msgspec.Raw
    digest: bytes
    is_read: bool = False


class CostAnswer:
    """Gathers the pages of one answer; ``known`` is the last one. Not for several threads."""

    def __init__(self, window: DateRange, known: DayAnswers = NOTHING_KNOWN) -> None:
        self._window = window
        self._known = known
        self._days = _spelt_days(window)
        # A day may be split between two pages.
        self._pieces: dict[date, list[_Piece]] = {}
        self._keys_of_day: dict[date, set[CostKey]] = {}
        self._keys = Keys()
        self._currencies = Currencies()
        self._columns: list[CostColumns] = []

    def add_page(self, body: bytes) -> str | None:
        """Take the body of a page; return the token of the next one, None after the last.

        Raises:
            AccountError: malformed_response, naming the place.

        """
        try:
            page = read_page(body)
            check_page(body, page.ResultsByTime)
            self._take(page.ResultsByTime)
            if page.NextPageToken != "":
                return page.NextPageToken
            problem = self._explain(body)
        except MalformedError as error:
            problem = error
        except _UNREADABLE:
            problem = self._explain(body)
        # Outside of the handler, so that what AWS sent is not even the context.
        raise problem.to_account_error()

    def fetched(self, api_requests: int) -> FetchedCosts:
        """Return what all pages say.

        Raises:
            AccountError: malformed_response: a day of the window is missing, which is not a zero.

        """
        try:
            fresh = self._read_between()
        except MalformedError as error:
            problem = error
        except _UNREADABLE:
            problem = MalformedError("the body", "is not as documented")
        else:
            return FetchedCosts(
                window=self._window,
                answers={day: self._in_short(day) for day in self._window},
                fresh=fresh,
                costs=self._columns[0] if len(self._columns) == 1 else _joined(self._columns),
                api_requests=api_requests,
            )
        raise problem.to_account_error()

    def _take(self, results: Sequence[Result]) -> None:
        """Read what a page holds, but for the days that are known to the letter."""
        pieces = [self._piece_of(result, index) for index, result in enumerate(results)]
        self._read([piece for piece in pieces if not self._is_known(piece)])

    def _piece_of(self, result: Result, index: int) -> _Piece:
        day = self._days[result.TimePeriod.Start, result.TimePeriod.End]
        digest = _digest(result)
        piece = _Piece(day, f"ResultsByTime[{index}]", result.Estimated, result.Groups, digest)
        self._pieces.setdefault(day, []).append(piece)
        return piece

    def _is_known(self, piece: _Piece) -> bool:
        known = self._known.get(piece.day)
        return known is not None and known.digest == piece.digest and len(self._pieces[piece.day]) == 1

    def _read_between(self) -> DateRange | None:
        """Return the range of days that hold what was not known, all of it read by now."""
        for day in self._window:
            if day not in self._pieces:
                raise MalformedError("ResultsByTime", f"does not hold the day {day}")
        if not self._keys_of_day:
            return None
        fresh = DateRange(min(self._keys_of_day), max(self._keys_of_day) + ONE_DAY)
        self._read([piece for day in fresh for piece in self._pieces[day] if not piece.is_read])
        return fresh

    def _in_short(self, day: date) -> DayAnswer:
        if day not in self._keys_of_day:
            return self._known[day]
        digests = [piece.digest for piece in self._pieces[day]]
        whole = digests[0] if len(digests) == 1 else sha256(b"".join(digests)).digest()[:_DIGEST_BYTES]
        return DayAnswer(whole, len(self._keys_of_day[day]))

    def _read(self, pieces: Sequence[_Piece]) -> None:
        """Take in what the pieces hold, column by column, because a row at a time costs twice."""
        if not pieces:
            return
        usage_dates: list[date] = []
        estimated: list[bool] = []
        keys: list[CostKey] = []
        metrics: list[Metrics] = []
        for piece in pieces:
            groups = read_groups(piece.groups)
            try:
                check_groups(bytes(piece.groups), groups)
            except RepeatedMemberError as error:
                raise MalformedError(f"{piece.place}.Groups", f"holds {error}") from None
            usage_dates += [piece.day] * len(groups)
            estimated += [piece.estimated] * len(groups)
            keys += self._keys_in(groups, piece)
            metrics += [group.Metrics for group in groups]
            piece.is_read = True
        self._columns.append(self._as_columns(usage_dates, estimated, keys, metrics))

    def _as_columns(
        self, usage_dates: list[date], estimated: list[bool], keys: list[CostKey], metrics: Sequence[Metrics]
    ) -> CostColumns:
        unblended = [each.UnblendedCost for each in metrics]
        amortized = [each.AmortizedCost for each in metrics]
        net_unblended = [each.NetUnblendedCost for each in metrics]
        net_amortized = [each.NetAmortizedCost for each in metrics]
        currencies = [cost.Unit for cost in unblended]
        for costs in (amortized, net_unblended, net_amortized):
            check_units(costs, currencies)
        amounts = Amounts()
        return CostColumns(
            usage_dates=usage_dates,
            keys=keys,
            currencies=[self._currencies[currency] for currency in currencies],
            unblended=amounts.of(unblended),
            amortized=amounts.of(amortized),
            net_unblended=amounts.of_given(net_unblended),
            net_amortized=amounts.of_given(net_amortized),
            usage_quantities=amounts.of_given([each.UsageQuantity for each in metrics]),
            estimated=estimated,
        )

    def _keys_in(self, groups: Sequence[Group], piece: _Piece) -> list[CostKey]:
        keys = [self._keys[group.Keys] for group in groups]
        known = self._keys_of_day.setdefault(piece.day, set())
        before = len(known)
        known.update(keys)
        if len(known) != before + len(keys):
            raise _repeated(keys, piece.day).below(piece.place)
        return keys

    def _explain(self, body: bytes) -> MalformedError:
        return Explanation(
            metrics=METRICS,
            window=self._window,
            days=self._days,
            check_name=check_name,
            check_amount=parse_amount,
        ).of_page(body)


@lru_cache(maxsize=8)
def _spelt_days(window: DateRange) -> Mapping[tuple[str, str], date]:
    """Return each day by its texts: faster than parsing dates, and stricter, as there is one spelling.

    Most accounts of a run have the same window.
    """
    return {(day.isoformat(), (day + ONE_DAY).isoformat()): day for day in window}


def _digest(result: Result) -> bytes:
    """Return what tells the text of a day from every other one."""
    digest = sha256(_FORM + (b"t" if result.Estimated else b"f"))
    digest.update(result.Groups)
    return digest.digest()[:_DIGEST_BYTES]


def _repeated(keys: Sequence[CostKey], day: date) -> MalformedError:
    """Return where a group stands that an earlier one, here or on a page before, has the keys of."""
    index = next((index for index, each in enumerate(keys) if each in keys[:index]), 0)
    return MalformedError(f"Groups[{index}].Keys", f"repeats {shown(keys[index][0])} on {day}")


def _joined(parts: Sequence[CostColumns]) -> CostColumns:
    """Return several parts of an answer as one."""
    names = CostColumns.__dataclass_fields__
    columns = {name: [*chain.from_iterable(getattr(part, name) for part in parts)] for name in names}
    return CostColumns(**columns)
