"""What the month will cost, of each account and in total."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from costbatch.application.ports import Database, Transaction
from costbatch.application.selection import check_registered
from costbatch.domain.accounts import NO_PROGRESS
from costbatch.domain.collection import COLLECT
from costbatch.domain.detection import Rule
from costbatch.domain.forecast import Forecast, forecast_month, history_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasts:
    """Forecasts from what is stored; writes nothing.

    Raises:
        ConfigError: the schema does not fit, or an account is not registered.
        StorageError: the database is unreachable.

    """

    database: Database
    rule: Rule

    def month(self, today: date, aws_account_ids: Sequence[str] = ()) -> list[Forecast]:
        """Return the forecast of each account in each currency, then of all of these together.

        The total is forecast as a series of its own: it is steadier than its parts, and not their exact sum.
        """
        self.database.check_schema()
        with self.database.transaction() as tx:
            check_registered(tx, aws_account_ids)
            costs = tx.costs.cost_by_day(
                history_of(today), self.rule, by_account=True, aws_account_ids=aws_account_ids
            )
            progress = tx.progress.load(COLLECT)
            accounts = {each.aws_account_id: each.id for each in tx.accounts.list_all()}
        amounts: defaultdict[tuple[str, str], dict[date, Decimal]] = defaultdict(dict)
        totals: defaultdict[str, defaultdict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        for account, (day, currency, amount) in costs:
            amounts[account, currency][day] = amount
            totals[currency][day] += amount
        known_until = {
            account: covered.end_exclusive
            for account, row in accounts.items()
            if (covered := progress.get(row, NO_PROGRESS).covered) is not None
        }
        found = [
            forecast_month(
                mine,
                today=today,
                known_until=known_until.get(account, today),
                settle_days=self.rule.settle_days,
                currency=currency,
                aws_account_id=account,
            )
            for (account, currency), mine in sorted(amounts.items())
        ]
        return found + _of_totals(totals, today, self.rule)


def forecast_totals(tx: Transaction, today: date, rule: Rule) -> list[Forecast]:
    """Return the forecast of all accounts together, by currency."""
    totals: defaultdict[str, dict[date, Decimal]] = defaultdict(dict)
    for _, (day, currency, amount) in tx.costs.cost_by_day(history_of(today), rule, by_account=False):
        totals[currency][day] = amount
    return _of_totals(totals, today, rule)


def _of_totals(totals: Mapping[str, Mapping[date, Decimal]], today: date, rule: Rule) -> list[Forecast]:
    return [
        forecast_month(mine, today=today, known_until=today, settle_days=rule.settle_days, currency=currency)
        for currency, mine in sorted(totals.items())
    ]
