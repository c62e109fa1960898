"""An anomaly in words: what was expected and from what, what it cost since when, and how sure that is."""

from costbatch.domain.detection import Episode, Reason
from costbatch.domain.money import amount
from costbatch.domain.plural import many

_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_FROM = {
    Reason.SPIKE: "from the level of the last week for {weekday}",
    Reason.BURST: "from its earlier bursts; it is used now and then",
    Reason.GROWTH: "from its level up to four weeks ago; it grows steadily and the account does not",
    Reason.DROP: "from the level of the last week for {weekday}; {days} complete",
    Reason.NEW_SERVICE: "as the account had paid nothing for it before, or far less",
    Reason.DORMANT_SERVICE: "as it had not been used for a long time",
    Reason.DEVIATION: "from the mean of the {baseline} before",
}


def in_words(episode: Episode, currency: str, *, baseline_days: int) -> str:
    """Return one sentence about an episode, with amounts in the currency's decimals.

    baseline_days: of how many days the mean is that its first day was compared with.
    """
    first, days = episode.days[0], len(episode.days)
    weekday = _WEEKDAYS[first.usage_date.weekday()] if days == 1 else "each weekday"
    ground = _FROM[episode.reason].format(
        weekday=weekday,
        days="the day is" if days == 1 else "the days are",
        baseline=many(baseline_days, "day"),
    )
    when = f"on {episode.start}" if days == 1 else f"on {days} days since {episode.start}"
    expected, lower, upper, actual = (
        amount(each, currency) for each in (episode.expected, episode.lower, episode.upper, episode.actual)
    )
    return (
        f"Cost {actual} {currency} {when}; expected {expected} ({lower} to {upper}) {ground}. "
        f"Confidence: {episode.score:.2f}."
    )
