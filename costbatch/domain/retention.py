"""How many months of costs are kept: how the setting is written, and its lower limit."""

import re
from math import ceil

from costbatch.domain.detection import Rule
from costbatch.domain.excerpt import excerpt
from costbatch.domain.periods import HISTORY_MONTHS, WindowPolicy

# Even if runs read less: with fewer, last month could not be compared with an earlier one.
LEAST_KEPT_MONTHS = 3
MOST_KEPT_MONTHS = 1200
_MONTHS_OF = {"month": 1, "year": 12}
_KEEP = re.compile(r"([0-9]{1,9}) ?(month|year)s?", re.IGNORECASE)
_LONGEST_MONTH_DAYS = 31


def parse_keep(text: str) -> int:
    """Return the months that a text such as "37 months" or "3 years" means.

    Raises:
        ValueError: not a number of months or years; the message is a whole sentence.

    """
    found = _KEEP.fullmatch(text.strip())
    months = int(found[1]) * _MONTHS_OF[found[2].lower()] if found else 0
    if not 1 <= months <= MOST_KEPT_MONTHS:
        raise ValueError(
            'Expected a number of months or years, such as "37 months" or "3 years", '
            f"up to {MOST_KEPT_MONTHS // 12} years, not {excerpt(text)}."
        )
    return months


def least_kept_months(policy: WindowPolicy, rule: Rule, *, learned_days: int = 0) -> int:
    """Return the fewest months that contain every day that a run re-reads, compares with or learns from."""
    read = max(policy.trailing_days, policy.month_close_day + _LONGEST_MONTH_DAYS - 1)
    read = min(read, (HISTORY_MONTHS + 1) * _LONGEST_MONTH_DAYS)
    compared = read + rule.settle_days + rule.merge_window.days + 1 + rule.baseline_days
    days = max(compared, learned_days + 1)
    # Any N months in a row have at least 30 N - 2 days.
    return max(LEAST_KEPT_MONTHS, ceil((days + 2) / 30))


def keep_problem(name: str, months: int, *, policy: WindowPolicy, rule: Rule, learned_days: int = 0) -> str:
    """Return a sentence if the months are too few; else an empty one.

    name: the option or variable that the months were given with. learned_days: from which a detector learns.
    """
    least = least_kept_months(policy, rule, learned_days=learned_days)
    if months >= least:
        return ""
    is_learned = least > least_kept_months(policy, rule)
    does = "the detector adaptive learns" if is_learned else "a run reads again and compares"
    return f"{name} must be at least {least} months, because that is how far back {does}; it is {months}."
