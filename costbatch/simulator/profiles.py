"""The shapes of cost that an account can have, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """How an account's daily cost behaves. Shares are fractions of the daily cost."""

    noise: float = 0.04
    weekend: float = 0.9
    growth_per_day: float = 0.0
    season: float = 0.0
    presence: float = 1.0
    ramp_days: int = 0
    first_morning: tuple[float, float] = (0.66, 0.92)
    credit_share: float = 0.0
    refund_share: float = 0.0
    committed_share: float = 0.0
    net_discount: float = 0.0
    month_start: bool = True
    settles: bool = True


STEADY = Profile()

PROFILES: dict[str, Profile] = {
    "steady": STEADY,
    "weekday": Profile(weekend=0.35),
    "growing": Profile(growth_per_day=0.0015),
    "shrinking": Profile(growth_per_day=-0.001),
    "seasonal": Profile(season=0.3),
    "noisy": Profile(noise=0.18),
    "sparse": Profile(presence=0.2, month_start=False),
    "dormant": Profile(presence=0.08, month_start=False, noise=0.5),
    "new": Profile(ramp_days=14),
    "late": Profile(first_morning=(0.0, 0.03)),
    "credits": Profile(credit_share=0.3, refund_share=0.5),
    "committed": Profile(committed_share=0.6, net_discount=0.07),
    # For load and for exact tests: every service on every day, complete at once, no monthly charges.
    "uniform": Profile(month_start=False, settles=False, weekend=1.0),
}
