"""Departures that belong together, and the services that explain them."""

from dataclasses import replace
from decimal import Decimal

from costbatch.domain.detection import (
    Contribution,
    Direction,
    Episode,
    JudgedDay,
    Rule,
    Series,
    explain,
    group_episodes,
)
from tests.support.factories import day, make_judged

RULE = Rule()


def spike(n: int) -> JudgedDay:
    """Return a day that cost 300 instead of 100."""
    return make_judged(n, "100", "300")


def drop(n: int) -> JudgedDay:
    """Return a day that cost 10 instead of 100."""
    return make_judged(n, "100", "10")


def spans(deviations: list[JudgedDay], rule: Rule = RULE) -> list[tuple[Direction, int, int]]:
    """Return each episode as its direction, first and last day."""
    return [
        (episode.direction, (episode.start - day(0)).days, (episode.last - day(0)).days)
        for episode in group_episodes(deviations, rule)
    ]


def test_an_episode_goes_on_over_a_weekend() -> None:
    """Two ordinary days between anomalous ones do not end it, three do."""
    assert spans([spike(1), spike(4)]) == [(Direction.SPIKE, 1, 4)]
    assert spans([spike(1), spike(5)]) == [(Direction.SPIKE, 1, 1), (Direction.SPIKE, 5, 5)]


def test_the_gap_is_a_setting() -> None:
    """Without one, only neighbours belong together."""
    assert spans([spike(1), spike(2), spike(4)], replace(RULE, merge_gap_days=0)) == [
        (Direction.SPIKE, 1, 2),
        (Direction.SPIKE, 4, 4),
    ]


def test_the_gap_is_counted_from_the_last_departing_day() -> None:
    """A long episode holds together link by link."""
    assert spans([spike(n) for n in (1, 4, 7, 10)]) == [(Direction.SPIKE, 1, 10)]


def test_directions_are_not_mixed() -> None:
    """A spike and a drop side by side are two episodes, whatever their order."""
    mixed = [drop(3), spike(2), drop(1), spike(4)]
    assert spans(mixed) == [(Direction.DROP, 1, 3), (Direction.SPIKE, 2, 4)]
    assert spans(mixed[::-1]) == spans(mixed)


def test_no_departure_is_no_episode() -> None:
    """Ordinary days make nothing."""
    assert group_episodes([], RULE) == []


def test_an_episode_sums_its_departing_days_only() -> None:
    """The ordinary days inside cost what they should and are not counted."""
    (episode,) = group_episodes([spike(1), spike(4)], RULE)
    assert (episode.expected, episode.actual) == (Decimal(200), Decimal(600))


def services(**amounts: tuple[str, str]) -> dict[str, Series]:
    """Return services that cost the first amount for thirty days and the second on day 30."""
    return {
        name: Series(
            "USD", day(0), {**{day(n): Decimal(usual) for n in range(30)}, day(30): Decimal(unusual)}
        )
        for name, (usual, unusual) in amounts.items()
    }


def explained(deviation: JudgedDay, of: dict[str, Series]) -> list[Contribution]:
    """Return what explains a single anomalous day."""
    return list(explain(Episode((deviation,)), of, rule=RULE))


def test_an_episode_is_explained_by_the_services_that_moved_its_way() -> None:
    """The largest move comes first; those that moved the other way or less than the floor are left out."""
    of = services(ec2=("50", "200"), s3=("20", "90"), rds=("30", "10"), tax=("1", "1.99"), new=("0", "1"))
    assert explained(spike(30), of) == [
        Contribution("ec2", Decimal(50), Decimal(200)),
        Contribution("s3", Decimal(20), Decimal(90)),
        Contribution("new", Decimal(0), Decimal(1)),
    ]
    assert [part.impact for part in explained(spike(30), of)] == [150, 70, 1]


def test_a_drop_is_explained_by_what_went_down() -> None:
    """The sign follows the episode."""
    of = services(ec2=("50", "200"), rds=("30", "10"), s3=("5", "4.01"))
    assert explained(drop(30), of) == [Contribution("rds", Decimal(30), Decimal(10))]


def test_services_that_moved_alike_are_in_the_order_of_their_names() -> None:
    """An explanation does not depend on the order in which a database answers."""
    of = services(b=("1", "9"), a=("1", "9"), c=("1", "9"))
    assert [part.service for part in explained(spike(30), of)] == ["a", "b", "c"]


def test_an_explanation_names_five_services() -> None:
    """A person reads no more."""
    of = services(**{f"s{n}": ("1", f"{n}0") for n in range(1, 8)})
    parts = explain(Episode((spike(30),)), of, rule=RULE)
    assert [part.service for part in parts] == ["s7", "s6", "s5", "s4", "s3"]


def test_a_service_is_summed_over_every_departing_day() -> None:
    """Each day has its own mean."""
    of = {"ec2": Series("USD", day(0), {day(n): Decimal(10 if n < 30 else 40) for n in range(32)})}
    (part,) = explain(Episode((spike(30), spike(31))), of, rule=RULE)
    assert part == Contribution("ec2", Decimal(10) + Decimal(11), Decimal(80))


def test_a_service_with_too_little_history_counts_with_what_it_cost() -> None:
    """Nothing was expected of a week-old account's services."""
    of = {"ec2": Series("USD", day(28), {day(30): Decimal(40)})}
    assert explained(spike(30), of) == [Contribution("ec2", Decimal(0), Decimal(40))]
