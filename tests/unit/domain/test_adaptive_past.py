"""The adaptive detector: what a service has done before decides what is a leak, an outage or a job of it."""

import random

import pytest

from costbatch.domain.adaptive_rule import Excuse
from costbatch.domain.detection import Reason
from tests.support.factories import day
from tests.support.mornings import DAYS, anomalies, changed, days_of, judgements, steady


def test_two_steps_within_weeks_are_no_leak() -> None:
    """Each is too small to be told. Together they are as much as a leak, but most of it came on one day."""
    steps = changed(changed(steady(100, noise=0.005), 100, lambda _: 1.12), 108, lambda _: 1.23)
    leak = changed(steady(100, noise=0.005), 100, lambda n: 1 + 0.38 * min(n, 14) / 14)
    assert days_of(anomalies({"this": steps}), Reason.GROWTH) == set()
    assert days_of(anomalies({"this": leak}), Reason.GROWTH)


@pytest.mark.parametrize(("daily", "is_told"), [(1.02, False), (1.05, True)])
def test_an_account_that_triples_within_four_weeks_is_told(daily: float, *, is_told: bool) -> None:
    """That all services grow alike explains growth to less than that, and each day by itself."""
    services = {f"s{n}": changed(steady(100, seed=n), 90, lambda n: daily**n) for n in range(5)}
    found = [each for each in anomalies(services) if each.reason is Reason.GROWTH]
    assert {each.service for each in found} == (set(services) if is_told else set())


def test_a_service_that_begins_in_earnest_is_no_leak() -> None:
    """It cost cents until weeks ago, and grows to its level."""
    begins = changed([0.2] * DAYS, 62, lambda n: 1 + 12 * min(n, 60))
    assert days_of(anomalies({"EC2": steady(2000), "this": begins}), Reason.GROWTH) == set()


def test_what_grew_once_may_leak_again() -> None:
    """That a service grew for weeks, with its account, is not how it grows by itself for half a year."""
    days, grown, leaks = 340, 150, 290
    services = {}
    for n in range(4):
        chance = random.Random(n)
        level = [100 * (1 + 0.02 * chance.gauss(0, 1)) for _ in range(days)]
        services[f"s{n}"] = changed(level, grown, lambda n: 1 + 0.9 * min(n, 10) / 10, days)
    services["s0"] = changed(services["s0"], leaks, lambda n: 1 + 0.02 * n, days)
    found = [each for morning in judgements(services, days=days) for each in morning if each.reason]
    assert {each.service for each in found if each.usage_date >= day(leaks)} == {"s0"}


@pytest.mark.parametrize(("first", "is_told"), [(60, False), (145, True)])
def test_a_job_far_larger_than_any_is_told(first: int, *, is_told: bool) -> None:
    """Once its jobs are known for months: a day at several times the largest is news by itself."""
    jobs = changed(steady(100, noise=0.15), first, lambda _: 3.5, 1)
    found = days_of(anomalies({"EC2": steady(900, seed=3), "AWS Glue": jobs}), Reason.SPIKE)
    assert found == ({first} if is_told else set())


def test_an_outage_of_a_service_that_strays_far_is_told() -> None:
    """However noisy it is: nothing is left of it, and it never cost so little."""
    chance = random.Random(2)
    noisy = [100 * (0.5 + chance.random()) for _ in range(DAYS)]
    assert days_of(anomalies({"this": changed(noisy, 120, lambda _: 0.02, 4)}), Reason.DROP) == {120}


@pytest.mark.parametrize(("apart", "drops"), [(91, {40, 131}), (30, {40})])
def test_an_outage_a_quarter_ago_explains_no_other(apart: int, drops: set[int]) -> None:
    """What is switched off every month is told once."""
    once = changed(steady(100), 40, lambda _: 0.02, 3)
    assert days_of(anomalies({"this": changed(once, 40 + apart, lambda _: 0.02, 3)}), Reason.DROP) == drops


def test_the_level_before_an_outage_comes_back_unreported() -> None:
    """Also if it had risen only a fortnight before: the last two months know it for some days only."""
    risen = changed(steady(100), 100, lambda _: 1.5)
    services = {"this": changed(risen, 115, lambda _: 0.02, 5)}
    assert days_of(anomalies(services), Reason.SPIKE) <= set(range(100, 108))
    back = [each for each in judgements(services)[121] if each.usage_date == day(120)]
    assert [each.excuse for each in back] == [Excuse.USUAL_LEVEL]


def test_a_leak_of_the_second_month_is_told_in_it() -> None:
    """Five weeks of a service are enough to tell growth over four from its level."""
    leak = changed(steady(100), 24, lambda n: 1 + 0.02 * n)
    assert min(days_of(anomalies({"this": leak}), Reason.GROWTH)) < 50


@pytest.mark.parametrize(("days", "is_told"), [(30, False), (50, True)])
def test_a_leak_may_take_eight_weeks_to_gain_what_counts(days: int, *, is_told: bool) -> None:
    """Ten cents a day are less than the floor in four weeks, and more in eight."""
    week = steady(1.6, noise=0.01)
    leak = [amount + 0.09 * min(max(0, n - 80), days) for n, amount in enumerate(week)]
    assert bool(days_of(anomalies({"this": leak}), Reason.GROWTH)) == is_told


@pytest.mark.parametrize(("first", "is_told"), [(0, False), (90, True)])
def test_an_account_that_begins_grows_as_a_whole(first: int, *, is_told: bool) -> None:
    """In its first months to any size; later, to several times its level, no campaign explains it."""
    services = {f"s{n}": changed(steady(3, seed=n), first, lambda n: 1.06 ** min(n, 50)) for n in range(5)}
    assert bool(days_of(anomalies(services), Reason.GROWTH)) == is_told


def test_what_grew_before_an_outage_comes_back_higher() -> None:
    """Its level is that of the week before, and it went on to grow."""
    grows = changed(steady(100, noise=0.005), 80, lambda n: 1.025**n)
    is_back = 105 + 6
    back = changed(grows, 105, lambda _: 0.02, 6)
    assert {n for n in days_of(anomalies({"this": back}), Reason.SPIKE) if n >= is_back} == set()
    dear = changed(back, is_back, lambda _: 1.5)
    assert is_back in days_of(anomalies({"this": dear}), Reason.SPIKE)
