"""Parses Cost Explorer's responses: pure, strict, and fast, because a response has thousands of rows.

Anything that is not as documented is refused, naming its place; nothing is guessed or filled in.
A day whose text is the same as in the previous response is not parsed again: on most nights, nearly all are.
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

from costbatch.adapters.aws.cost_explorer.diagnose import MalformedError, explain, shown
from costbatch.adapters.aws.cost_explorer.in_flight import Share
from costbatch.adapters.aws.cost_explorer.repeated import check_groups, check_page
from costbatch.adapters.aws.cost_explorer.schema import (
    COST_METRICS,
    NO_CURRENCY,
    Amounts,
    Currencies,
    Keys,
    Metrics,
    Result,
    read_groups,
    read_page,
    read_total,
)
from costbatch.domain.costs import (
    NO_DIGESTS,
    CostColumns,
    CostKey,
    DayDigest,
    DayDigests,
    FetchedCosts,
    PackedCosts,
    pack,
)
from costbatch.domain.money import parse_amount
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.strict_json import RepeatedMemberError

# Part of every digest. Change it with what is stored of a text: then every day is parsed and compared again.
_FORM = b"1"
_DIGEST_BYTES = 16

# Parsed at a time, so that the objects take little memory beside the text of a large page.
_PARSE_BYTES = 512 * 1024
# Estimated memory of a row: its amounts and its cells in the columns; its entry in the day's keys.
_ROW_BYTES, _KEY_BYTES = 600, 100

# A hostile body may be nested deeper than any stack.
_UNREADABLE = (msgspec.MsgspecError, KeyError, ValueError, RecursionError)


@dataclass(slots=True)
class _Piece:
    """A day's part of a page; ``place`` is where in the page.

    groups: None once they are parsed. packed: the same, compressed, while memory is tight.
    """

    day: date
    place: str
    estimated: bool
    groups: msgspec.Raw | None
    # A copy, which does not keep the whole page in memory.
    total: bytes
    digest: bytes
    packed: bytes = b""

    @property
    def size(self) -> int:
        return len(self.packed if self.groups is None else self.groups)

    @property
    def is_parsed(self) -> bool:
        return self.groups is None and not self.packed

    def take_groups(self) -> bytes | msgspec.Raw:
        """Return the text of the groups and release it: it keeps the whole page in memory."""
        groups = decompress(self.packed) if self.groups is None else self.groups
        self.groups, self.packed = None, b""
        return groups

    def pack(self) -> None:
        """Compress the text."""
        if self.groups is not None:
            self.packed, self.groups = compress(self.groups, level=1), None


class CostResponse:
    """Collects the pages of one response; ``previous`` are the digests of the one before. Not thread-safe.

    share: its share of the memory. The text of a page is released once it is parsed.
    """

    def __init__(
        self, window: DateRange, previous: DayDigests = NO_DIGESTS, share: Share | None = None
    ) -> None:
        self._window = window
        self._previous = previous
        self._share = share or Share()
        self._days = _days_by_text(window)
        # A day may be split between two pages.
        self._pieces: dict[date, list[_Piece]] = {}
        self._rows_of_day: dict[date, int] = {}
        # By day and currency, because a row's currency is part of its identity.
        self._keys_of: dict[tuple[date, str], set[CostKey]] = {}
        # The same while memory is tight, with a bit for each key: a set takes a hundred times as much.
        self._bits_of: dict[tuple[date, str], int] = {}
        self._bit_of_key: dict[CostKey, int] = {}
        self._keys = Keys()
        self._currencies = Currencies()
        self._columns: list[CostColumns] = []
        # Zeros without a currency: they get that of the other rows, once all are parsed.
        self._zeros: list[CostColumns] = []
        self._packed: list[bytes] = []
        self._unparsed_bytes = 0

    def add_page(self, body: bytes) -> str | None:
        """Add the body of a page; return the token of the next one, None after the last.

        Raises:
            AccountError: malformed_response, naming the place.

        """
        try:
            page = read_page(body)
            check_page(body, page.ResultsByTime)
            self._add_results(page.ResultsByTime)
            self._make_room()
            if page.NextPageToken != "":
                return page.NextPageToken
            problem = explain(body, self._window, self._days)
        except MalformedError as error:
            problem = error
        except _UNREADABLE:
            problem = explain(body, self._window, self._days)
        # Outside of the handler, so that AWS's text is not even in the context.
        raise problem.to_account_error()

    def fetched(self, api_requests: int) -> FetchedCosts:
        """Return the costs of all pages.

        Raises:
            AccountError: malformed_response: for example a day of the window is missing, which is not a zero.

        """
        try:
            changed = self._parse_changed_days()
            if self._zeros:
                self._assign_currencies_to_zeros()
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
                digests={day: self._digest_of(day) for day in self._window},
                changed_days=changed,
                costs=costs,
                api_requests=api_requests,
            )
        raise problem.to_account_error()

    def _add_results(self, results: Sequence[Result]) -> None:
        """Parse the days of a page, except for those that are byte-for-byte as in the previous response."""
        pieces = []
        for index, result in enumerate(results):
            day = self._days[result.TimePeriod.Start, result.TimePeriod.End]
            place, digest = f"ResultsByTime[{index}]", _digest(result)
            piece = _Piece(day, place, result.Estimated, result.Groups, bytes(result.Total), digest)
            self._pieces.setdefault(day, []).append(piece)
            pieces.append(piece)
        changed = []
        for piece in pieces:
            previous = self._previous.get(piece.day)
            # A day that is on two pages is always parsed.
            if previous is None or previous.digest != piece.digest or len(self._pieces[piece.day]) > 1:
                changed.append(piece)
        self._parse(changed)
        # One day that is not parsed keeps the text of the whole page in memory.
        if not all(piece.is_parsed for piece in pieces):
            self._unparsed_bytes += sum(len(result.Groups) for result in results)

    def _parse_changed_days(self) -> DateRange | None:
        """Return the range from the first changed day to the last, after parsing all days in it."""
        for day in self._window:
            if day not in self._pieces:
                raise MalformedError("ResultsByTime", f"does not contain the day {day}")
        if not self._rows_of_day:
            return None
        changed = DateRange(min(self._rows_of_day), max(self._rows_of_day) + ONE_DAY)
        self._parse([piece for day in changed for piece in self._pieces[day] if not piece.is_parsed])
        return changed

    def _check_days_without_groups(self) -> None:
        """Refuse a day without groups whose total is not zero."""
        for day, pieces in self._pieces.items():
            if self._digest_of(day).fetched_rows:
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

    def _digest_of(self, day: date) -> DayDigest:
        if day not in self._rows_of_day:
            return self._previous[day]
        digests = [piece.digest for piece in self._pieces[day]]
        whole = digests[0] if len(digests) == 1 else sha256(b"".join(digests)).digest()[:_DIGEST_BYTES]
        return DayDigest(whole, self._rows_of_day[day])

    def _parse(self, pieces: Sequence[_Piece]) -> None:
        """Parse some pieces at a time, so that a large page needs little memory too."""
        some: list[_Piece] = []
        size = 0
        for piece in pieces:
            some.append(piece)
            size += piece.size
            if size > _PARSE_BYTES or piece is pieces[-1]:
                with self._share.reading(size):
                    self._columns.append(self._columns_of(some))
                    self._make_room()
                some, size = [], 0

    def _columns_of(self, pieces: Sequence[_Piece]) -> CostColumns:
        """Return the rows of the pieces column by column: row by row takes twice the time."""
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
                raise MalformedError(f"{piece.place}.Groups", f"contains {error}") from None
            sizes.append(len(groups))
            usage_dates += [piece.day] * len(groups)
            estimated += [piece.estimated] * len(groups)
            keys += [self._keys[group.Keys] for group in groups]
            metrics += [group.Metrics for group in groups]
        unblended = [each.UnblendedCost for each in metrics]
        amortized = [each.AmortizedCost for each in metrics]
        net_unblended = [each.NetUnblendedCost for each in metrics]
        net_amortized = [each.NetAmortizedCost for each in metrics]
        amounts = Amounts()
        columns = CostColumns(
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
        """Report the memory in use, and compress it if memory is tight."""
        self._report_memory()
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
        self._unparsed_bytes = 0
        self._report_memory()

    def _report_memory(self) -> None:
        texts = sum(len(piece.packed) for pieces in self._pieces.values() for piece in pieces)
        keys = sum(map(len, self._keys_of.values())) * _KEY_BYTES
        self._share.resize(self._unparsed_bytes + texts + self._costs_bytes() + keys)

    def _costs_bytes(self) -> int:
        return sum(map(len, self._packed)) + sum(map(len, [*self._columns, *self._zeros])) * _ROW_BYTES

    def _costs(self) -> CostColumns | PackedCosts:
        """Return all rows, packed if some are packed already."""
        if not self._packed:
            if len(self._columns) == 1:
                return self._columns[0]
            names = CostColumns.__dataclass_fields__
            all_of = chain.from_iterable
            return CostColumns(
                **{name: [*all_of(getattr(part, name) for part in self._columns)] for name in names}
            )
        parts = [*self._packed, *(pack(columns) for columns in self._columns if len(columns))]
        return PackedCosts(parts, sum(self._rows_of_day.values()))

    def _note_keys(
        self, piece: _Piece, keys: Sequence[CostKey], currencies: Sequence[str], present: Collection[str]
    ) -> None:
        """Refuse a row with the service, record type and currency of an earlier one of the same day.

        present: the currencies of all rows parsed now, nearly always a single one.
        """
        rows = self._rows_of_day.setdefault(piece.day, 0)
        for currency in present:
            mine = keys
            if len(present) > 1:
                mine = [key for key, each in zip(keys, currencies, strict=True) if each == currency]
            if not mine or currency == NO_CURRENCY:
                continue
            seen = self._keys_seen(piece.day, currency)
            before = len(seen)
            seen.update(mine)
            if len(seen) != before + len(mine):
                raise _repeated(piece, [*zip(keys, currencies, strict=True)], currency)
            rows += len(mine)
        self._rows_of_day[piece.day] = rows

    def _keys_seen(self, day: date, currency: str) -> set[CostKey]:
        """Return the services and record types of the day's rows in the currency."""
        seen = self._keys_of.setdefault((day, currency), set())
        if bits := self._bits_of.pop((day, currency), 0):
            seen.update(key for key, bit in self._bit_of_key.items() if bits & bit)
        return seen

    def _assign_currencies_to_zeros(self) -> None:
        """Give each zero without a currency the most common one of its day's rows, or else of the response's.

        It is left out if there is none, or if its service and record type already have a row of that day.
        """
        everywhere: Counter[str] = Counter()
        currencies_of: dict[date, list[str]] = {}
        for day, currency in [*self._keys_of, *self._bits_of]:
            currencies_of.setdefault(day, []).append(currency)
            everywhere[currency] += len(self._keys_seen(day, currency))
        for zeros in self._zeros:
            currencies = []
            for day, key in zip(zeros.usage_dates, zeros.keys, strict=True):
                of_day = {each: self._keys_seen(day, each) for each in currencies_of.get(day, ())}
                sizes = {currency: len(keys) for currency, keys in of_day.items()} or everywhere
                is_needed = sizes and not any(key in keys for keys in of_day.values())
                currency = max(sizes, key=lambda each: (sizes[each], each)) if is_needed else NO_CURRENCY
                if is_needed:
                    self._keys_seen(day, currency).add(key)
                    currencies_of.setdefault(day, [])
                    if currency not in currencies_of[day]:
                        currencies_of[day].append(currency)
                    self._rows_of_day[day] += 1
                currencies.append(currency)
            assigned = replace(zeros, currencies=currencies)
            self._columns.append(_selected(assigned, [currency != NO_CURRENCY for currency in currencies]))
        self._zeros.clear()


@lru_cache(maxsize=8)
def _days_by_text(window: DateRange) -> Mapping[tuple[str, str], date]:
    """Return each day by the texts of its start and end: faster and stricter than parsing dates.

    Most accounts of a run have the same window.
    """
    return {(day.isoformat(), (day + ONE_DAY).isoformat()): day for day in window}


def _digest(result: Result) -> bytes:
    """Return the digest of a day's text."""
    digest = sha256(_FORM + (b"t" if result.Estimated else b"f"))
    digest.update(result.Groups)
    return digest.digest()[:_DIGEST_BYTES]


def _repeated(piece: _Piece, rows: Sequence[tuple[CostKey, str]], currency: str) -> MalformedError:
    """Return which group has the keys of an earlier one, here or on an earlier page."""
    index = next(
        (index for index, each in enumerate(rows) if each[1] == currency and each in rows[:index]), 0
    )
    (service, _), _ = rows[index]
    problem = f"repeats {shown(service)} on {piece.day}"
    return MalformedError(f"{piece.place}.Groups[{index}].Keys", problem)


def _selected(columns: CostColumns, is_wanted: Sequence[bool]) -> CostColumns:
    """Return the rows that are wanted."""
    names = CostColumns.__dataclass_fields__
    return CostColumns(**{name: [*select(getattr(columns, name), is_wanted)] for name in names})
