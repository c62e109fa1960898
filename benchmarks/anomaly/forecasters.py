"""Two methods of a statistics library (statsmodels), as one would apply it to each service every morning.

They are slow: a series that is too small to raise an alarm is not shown to them.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.anomaly.rules import Band, Method, Rule, rule_of
from costbatch.domain.adaptive_past import median

_WEEK, _HISTORY = 7, 56


def stl_residual(multiple: float, floor: float) -> Rule:
    """Return a rule: the day's residual of a robust STL against the MAD of the residuals before."""

    def method(_service: str, _day: int, past: list[float], amount: float) -> Band | None:
        days = [*past[-_HISTORY + 1 :], amount]
        if len(days) < _HISTORY or _is_small(days, floor):
            return None
        *before, residual = map(float, _stl(days).resid)
        spread = 1.4826 * median([abs(each) for each in before])
        expected = amount - residual
        return Band(expected, max(multiple * spread, floor, 0.25 * abs(expected)))

    return rule_of(lambda: method)


def _stl(days: Sequence[float]) -> Any:  # noqa: ANN401 - statsmodels has no types
    from statsmodels.tsa.seasonal import STL  # noqa: PLC0415 - takes seconds

    return STL(np.array(days), period=_WEEK, robust=True).fit()


def exponential_smoothing(multiple: float, floor: float) -> Rule:
    """Return a rule: the interval of a Holt-Winters forecast, fitted every week."""

    def new_method() -> Method:
        fitted: dict[str, tuple[int, Sequence[float], float]] = {}

        def method(service: str, day: int, past: list[float], amount: float) -> Band | None:
            if len(past) < _HISTORY or _is_small([*past[-_HISTORY:], amount], floor):
                return None
            if service not in fitted or day - fitted[service][0] >= _WEEK:
                # The newest day of the past is incomplete: it is forecast too, and not compared.
                fitted[service] = (day, *_forecast(past[-_HISTORY - 1 : -1]))
            first, forecast, deviation = fitted[service]
            expected = forecast[1 + day - first]
            return Band(expected, max(multiple * deviation, floor, 0.25 * abs(expected)))

        return method

    return rule_of(new_method)


def _forecast(days: Sequence[float]) -> tuple[list[float], float]:
    """Return the expected amounts of eight days, and the deviation of the errors of one day."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing  # noqa: PLC0415 - takes seconds

    with warnings.catch_warnings():
        # A fit that did not converge is a fit nevertheless.
        warnings.simplefilter("ignore")
        model = ExponentialSmoothing(
            np.array(days), trend="add", damped_trend=True, seasonal="add", seasonal_periods=_WEEK
        )
        fit: Any = model.fit()
    errors = [abs(float(each)) for each in fit.resid]
    return [float(each) for each in fit.forecast(_WEEK + 1)], 1.4826 * median(errors)


def _is_small(days: Sequence[float], floor: float) -> bool:
    return max(abs(each) for each in days) < floor


SLOW_RULES: dict[str, Rule] = {
    "STL residual": stl_residual(8, 10),
    "Holt-Winters forecast": exponential_smoothing(6, 10),
}
