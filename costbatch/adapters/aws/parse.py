"""The body of a Cost Explorer answer to costs: pure, strict, and fast, for it holds thousands of rows.

Whatever is not as documented is refused with the place where it stands; nothing is guessed or filled in.
A day whose text is known from the last time is not read again: most days of a night's answer are.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from hashlib import sha256
from itertools import chain
from itertools import compress as select
from zlib import compress, decompress

import msgspec

from costbatch.adapters.aws.in_flight import Share
from costbatch.adapters.aws.malformed import Explanation, MalformedError, shown
from costbatch.adapters.aws.repeated import check_groups, check_page
from costbatch.adapters.aws.wire import (
    COST_METRICS,
    METRICS,
    NO_CURRENCY,
    Amounts,
    Currencies,
    Keys,
    Metrics,
    Result,
    check_name,
    read_groups,
    read_page,
    read_total,
)
from costbatch.domain.costs import (
    NOTHING_KNOWN,
    CostColumns,
    CostKey,
    DayAnswer,
    DayAnswers,
    FetchedCosts,
    PackedCosts,
    pack,
)
from costbatch.domain.money import parse_amount
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.strict_json import RepeatedMemberError

# Part of every digest: another number here, and every day is read and compared once more. For a change of
# what is stored of a text.
_FORM = b"1"
_DIGEST_BYTES = 16

# What is read at once, so that the objects of a text are few beside the text of a large page.
_READ_BYTES = 512 * 1024
# What a row holds, by estimate: its amounts and its places in the columns; its place among the day's keys.
_ROW_BYTES, _KEY_BYTES = 600, 100

# A hostile body may be nested deeper than any stack.
_UNREADABLE = (msgspec.MsgspecError, KeyError, ValueError, RecursionError)


@dataclass(slots=True)
class _Piece:
    """What a page holds of a day; ``place`` is where.

    groups: None once they are read. packed: the same while memory is tight.
    """

    day: date
    place: str
    estimated: bool
    groups: msgspec.Raw | None
    # A copy: the text of a page must not be held by it.
    total: bytes
    digest: bytes
    packed: bytes = b""

    @property
    def size(self) -> int:
        return len(self.packed if self.groups is None else self.groups)

    @property
    def is_read(self) -> bool:
        return self.groups is None and not self.packed

    def take_groups(self) -> bytes | msgspec.Raw:
        """Return the text of the groups, and hold it no longer: it keeps the whole page in memory."""
        groups = decompress(self.packed) if self.groups is None else self.groups
        self.groups, self.packed = None, b""
        return groups

    def pack(self) -> None:
        """Hold the text in less memory."""
        if self.groups is not None:
            self.packed, self.groups = compress(self.groups, level=1), None


class CostAnswer:
    """Gathers the pages of one answer; ``known`` is the last one. Not for several threads.

    share: its part of the memory. What was read of a page is not held any longer.
    """

    def __init__(
        self, window: DateRange, known: DayAnswers = NOTHING_KNOWN, share: Share | None = None
    ) -> None:
        self._window = window
        self._known = known
        self._share = share or Share()
        self._days = _spelt_days(window)
        # A day may be split between two pages.
        self._pieces: dict[date, list[_Piece]] = {}
        self._rows_of_day: dict[date, int] = {}
        # By day and currency: a row's currency belongs to what tells it from the others.
        self._keys_of: dict[tuple[date, str], set[CostKey]] = {}
        # The same while memory is tight, each key a bit: a set takes a hundred times as much.
        self._bits_of: dict[tuple[date, str], int] = {}
        self._bit_of_key: dict[CostKey, int] = {}
        self._keys = Keys()
        self._currencies = Currencies()
        self._columns: list[CostColumns] = []
        # Rows that are zero and name no currency: they take that of the rows around them, once all are read.
        self._zeros: list[CostColumns] = []
        self._packed: list[bytes] = []
        self._unread_bytes = 0

    def add_page(self, body: bytes) -> str | None:
        """Take the body of a page; return the token of the next one, None after the last.

        Raises:
            AccountError: malformed_response, naming the place.

        """
        try:
            page = read_page(body)
            check_page(body, page.ResultsByTime)
            self._take(page.ResultsByTime)
            self._make_room()
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
            if self._zeros:
                self._place_zeros()
            self._check_days_without_groups()
        except MalformedError as error:
            problem = error
        except _UNREADABLE:
            problem = MalformedError("the body", "is not as documented")
        else:
            costs = self._costs()
            self._share.hand_over(costs, self._costs_bytes())
            return FetchedCosts(
                window=self._window,
                answers={day: self._in_short(day) for day in self._window},
                fresh=fresh,
                costs=costs,
                api_requests=api_requests,
            )
        raise problem.to_account_error()

    def _take(self, results: Sequence[Result]) -> None:
        """Read what a page holds, but for the days that are known to the letter."""
        pieces = [self._piece_of(result, index) for index, result in enumerate(results)]
        self._read([piece for piece in pieces if not self._is_known(piece)])
        # One day that is not read holds the text of the whole page.
        if not all(piece.is_read for piece in pieces):
            self._unread_bytes += sum(len(result.Groups) for result in results)

    def _piece_of(self, result: Result, index: int) -> _Piece:
        day = self._days[result.TimePeriod.Start, result.TimePeriod.End]
        digest = _digest(result)
        place, total = f"ResultsByTime[{index}]", bytes(result.Total)
        piece = _Piece(day, place, result.Estimated, result.Groups, total, digest)
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
        if not self._rows_of_day:
            return None
        fresh = DateRange(min(self._rows_of_day), max(self._rows_of_day) + ONE_DAY)
        self._read([piece for day in fresh for piece in self._pieces[day] if not piece.is_read])
        return fresh

    def _check_days_without_groups(self) -> None:
        """Refuse a day whose total says that there was cost, while its groups say nothing of it."""
        for day, pieces in self._pieces.items():
            if self._in_short(day).fetched_rows:
                continue
            for piece in pieces:
                try:
                    totals = read_total(piece.total) or {}
                    costs = [
                        name for name in COST_METRICS & totals.keys() if parse_amount(totals[name].Amount)
                    ]
                except _UNREADABLE:
                    raise MalformedError(f"{piece.place}.Total", "is not as documented") from None
                if costs:
                    name = min(costs)
                    amount = shown(totals[name].Amount)
                    raise MalformedError(
                        f"{piece.place}.Total.{name}", f"is {amount}, but {day} has no groups"
                    )

    def _in_short(self, day: date) -> DayAnswer:
        if day not in self._rows_of_day:
            return self._known[day]
        digests = [piece.digest for piece in self._pieces[day]]
        whole = digests[0] if len(digests) == 1 else sha256(b"".join(digests)).digest()[:_DIGEST_BYTES]
        return DayAnswer(whole, self._rows_of_day[day])

    def _read(self, pieces: Sequence[_Piece]) -> None:
        """Take in what the pieces hold, some at a time, so that a large page needs little memory too."""
        some: list[_Piece] = []
        size = 0
        for piece in pieces:
            some.append(piece)
            size += piece.size
            if size > _READ_BYTES or piece is pieces[-1]:
                with self._share.reading(size):
                    self._columns.append(self._columns_of(some))
                    self._make_room()
                some, size = [], 0

    def _columns_of(self, pieces: Sequence[_Piece]) -> CostColumns:
        """Return what the pieces hold, column by column, because a row at a time costs twice."""
        usage_dates: list[date] = []
        estimated: list[bool] = []
        keys: list[CostKey] = []
        metrics: list[Metrics] = []
        sizes: list[int] = []
        for piece in pieces:
            text = piece.take_groups()
            groups = read_groups(text)
            try:
                check_groups(bytes(text), groups)
            except RepeatedMemberError as error:
                raise MalformedError(f"{piece.place}.Groups", f"holds {error}") from None
            sizes.append(len(groups))
            usage_dates += [piece.day] * len(groups)
            estimated += [piece.estimated] * len(groups)
            keys += [self._keys[group.Keys] for group in groups]
            metrics += [group.Metrics for group in groups]
        columns = self._as_columns(usage_dates, estimated, keys, metrics)
        present, start = set(columns.currencies), 0
        for piece, size in zip(pieces, sizes, strict=True):
            rows = slice(start, start := start + size)
            self._note_keys(piece, keys[rows], columns.currencies[rows], present)
        if NO_CURRENCY in present:
            has_currency = [currency != NO_CURRENCY for currency in columns.currencies]
            self._zeros.append(_selected(columns, [not each for each in has_currency]))
            columns = _selected(columns, has_currency)
        return columns

    def _make_room(self) -> None:
        """Tell what is held by now, and hold it in less memory where that is tight."""
        self._weigh()
        if not self._share.is_tight:
            return
        self._packed += [pack(columns) for columns in self._columns if len(columns)]
        self._columns.clear()
        for piece in chain.from_iterable(self._pieces.values()):
            piece.pack()
        for place, keys in self._keys_of.items():
            bits = (self._bit_of_key.setdefault(key, 1 << len(self._bit_of_key)) for key in keys)
            self._bits_of[place] = sum(bits)
        self._keys_of.clear()
        self._unread_bytes = 0
        self._weigh()

    def _weigh(self) -> None:
        texts = sum(len(piece.packed) for pieces in self._pieces.values() for piece in pieces)
        keys = sum(map(len, self._keys_of.values())) * _KEY_BYTES
        self._share.resize(self._unread_bytes + texts + self._costs_bytes() + keys)

    def _costs_bytes(self) -> int:
        return sum(map(len, self._packed)) + sum(map(len, [*self._columns, *self._zeros])) * _ROW_BYTES

    def _costs(self) -> CostColumns | PackedCosts:
        """Return all rows: packed as soon as some are."""
        if not self._packed:
            return self._columns[0] if len(self._columns) == 1 else _joined(self._columns)
        parts = [*self._packed, *(pack(columns) for columns in self._columns if len(columns))]
        return PackedCosts(parts, sum(self._rows_of_day.values()))

    def _as_columns(
        self, usage_dates: list[date], estimated: list[bool], keys: list[CostKey], metrics: Sequence[Metrics]
    ) -> CostColumns:
        unblended = [each.UnblendedCost for each in metrics]
        amortized = [each.AmortizedCost for each in metrics]
        net_unblended = [each.NetUnblendedCost for each in metrics]
        net_amortized = [each.NetAmortizedCost for each in metrics]
        amounts = Amounts()
        return CostColumns(
            usage_dates=usage_dates,
            keys=keys,
            currencies=self._currencies.of(unblended, amortized, net_unblended, net_amortized),
            unblended=amounts.of(unblended),
            amortized=amounts.of(amortized),
            net_unblended=amounts.of_given(net_unblended),
            net_amortized=amounts.of_given(net_amortized),
            usage_quantities=amounts.of_given([each.UsageQuantity for each in metrics]),
            estimated=estimated,
        )

    def _note_keys(
        self, piece: _Piece, keys: Sequence[CostKey], currencies: Sequence[str], present: Collection[str]
    ) -> None:
        """Refuse a row whose service, record type and currency an earlier one of the day has.

        present: the currencies of all that is read now, nearly always a single one.
        """
        rows = self._rows_of_day.setdefault(piece.day, 0)
        for currency in present:
            mine = keys
            if len(present) > 1:
                mine = [key for key, each in zip(keys, currencies, strict=True) if each == currency]
            if not mine or currency == NO_CURRENCY:
                continue
            known = self._known_keys(piece.day, currency)
            before = len(known)
            known.update(mine)
            if len(known) != before + len(mine):
                raise _repeated([*zip(keys, currencies, strict=True)], currency, piece.day).below(piece.place)
            rows += len(mine)
        self._rows_of_day[piece.day] = rows

    def _known_keys(self, day: date, currency: str) -> set[CostKey]:
        """Return the services and record types that rows of the day have in the currency."""
        known = self._keys_of.setdefault((day, currency), set())
        if bits := self._bits_of.pop((day, currency), 0):
            known.update(key for key, bit in self._bit_of_key.items() if bits & bit)
        return known

    def _place_zeros(self) -> None:
        """Give each zero without a currency the commonest of its day's rows, or else of the answer's.

        It is left out if there is none, or if its service and record type have a row of that day already.
        """
        everywhere: Counter[str] = Counter()
        currencies_of: dict[date, list[str]] = {}
        for day, currency in [*self._keys_of, *self._bits_of]:
            currencies_of.setdefault(day, []).append(currency)
            everywhere[currency] += len(self._known_keys(day, currency))
        for zeros in self._zeros:
            currencies = []
            for day, key in zip(zeros.usage_dates, zeros.keys, strict=True):
                of_day = {each: self._known_keys(day, each) for each in currencies_of.get(day, ())}
                sizes = {currency: len(keys) for currency, keys in of_day.items()} or everywhere
                is_needed = sizes and not any(key in keys for keys in of_day.values())
                currency = max(sizes, key=lambda each: (sizes[each], each)) if is_needed else NO_CURRENCY
                if is_needed:
                    self._known_keys(day, currency).add(key)
                    currencies_of.setdefault(day, [])
                    if currency not in currencies_of[day]:
                        currencies_of[day].append(currency)
                    self._rows_of_day[day] += 1
                currencies.append(currency)
            placed = replace(zeros, currencies=currencies)
            self._columns.append(_selected(placed, [currency != NO_CURRENCY for currency in currencies]))
        self._zeros.clear()

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


def _repeated(rows: Sequence[tuple[CostKey, str]], currency: str, day: date) -> MalformedError:
    """Return where a group stands that an earlier one, here or on a page before, has the keys of."""
    index = next(
        (index for index, each in enumerate(rows) if each[1] == currency and each in rows[:index]), 0
    )
    (service, _), _ = rows[index]
    return MalformedError(f"Groups[{index}].Keys", f"repeats {shown(service)} on {day}")


def _selected(columns: CostColumns, is_wanted: Sequence[bool]) -> CostColumns:
    """Return the rows that are wanted."""
    names = CostColumns.__dataclass_fields__
    return CostColumns(**{name: [*select(getattr(columns, name), is_wanted)] for name in names})


def _joined(parts: Sequence[CostColumns]) -> CostColumns:
    """Return several parts of an answer as one."""
    names = CostColumns.__dataclass_fields__
    columns = {name: [*chain.from_iterable(getattr(part, name) for part in parts)] for name in names}
    return CostColumns(**columns)
