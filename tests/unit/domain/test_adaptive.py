"""The adaptive detector: each kind of anomaly is found and explained, and later days change nothing."""

import random
from datetime import timedelta
from decimal import Decimal

import pytest

from costbatch.domain.adaptive import Detector
from costbatch.domain.adaptive_rule import AdaptiveRule, Excuse, Sensitivity
from costbatch.domain.detection import Reason
from costbatch.domain.expectation import History
from costbatch.domain.money import Limit
from tests.support.factories import day
from tests.support.mornings import DAYS, anomalies, changed, days_of, judgements, steady


def test_a_constant_series_raises_nothing() -> None:
    """Neither does one that has never moved, of any size."""
    assert anomalies({"cents": [0.01] * DAYS, "dollars": [100.0] * DAYS, "free": [0.0] * DAYS}) == []


@pytest.mark.parametrize("past", [0, 3, 17])
def test_it_says_from_which_day_on_it_judges(past: int) -> None:
    """A rise on that day is found, and one on the day before is not."""
    detector = Detector(AdaptiveRule(), "USD")
    for n in range(past + 1):
        detector.judge(day(n), {"EC2": [100.0 * (n >= age) for age in range(3)]})
    first = detector.judges_from
    assert first is not None
    place = (first - day(0)).days
    found = {
        n: [each.reason for each in judgements({"EC2": changed([100.0] * DAYS, n, lambda _: 5.0, 1)})[n]]
        for n in (place - 1, place)
    }
    assert Reason.SPIKE not in found[place - 1]
    assert Reason.SPIKE in found[place]


@pytest.mark.parametrize(
    ("trial", "days"),
    [([1.5], 1), ([0.05], 6), ([0.05, *[0.0] * 50], 18), ([0.05, *[0.0] * 50], 23), ([12.0] * 30, 11)],
    ids=["late in the evening", "for a week", "once", "once, weeks before", "already told"],
)
def test_a_young_service_is_told_when_it_becomes_dear(trial: list[float], days: int) -> None:
    """However little it cost at first; each morning says the same of its first three days."""
    first = 60 + days
    young = [0.0] * 60 + [*trial * days][:days] + [900.0] * (DAYS - first)
    services = {"EC2": steady(370), "this": young}
    mornings = judgements(services)
    for n in range(first, first + 3):
        for morning in mornings[n : n + 3]:
            (judged,) = (each for each in morning if (each.service, each.usage_date) == ("this", day(n)))
            assert judged.reason in {Reason.NEW_SERVICE, Reason.SPIKE}
    dear = [each for each in mornings[first] if each.usage_date == day(first)]
    assert [each.reason for each in dear if each.service == "this"] == [Reason.NEW_SERVICE]
    later = {each.usage_date for morning in mornings[first + 12 :] for each in morning if each.reason}
    assert later == set()


def test_a_young_service_at_its_level_is_told_once() -> None:
    """Neither up to four times what it cost on its first days is news, nor what began with the account."""
    wavering = [0.0] * 60 + [40.0, 40, 30, 50, 60, 90, 40, 30, 45, 60, 50, 100, 35, 40, 60, 55] + [50.0] * 74
    found = anomalies({"EC2": steady(370), "this": wavering})
    assert {each.usage_date for each in found} == {day(60 + n) for n in range(3)}
    assert anomalies({"EC2": [0.05] * 7 + [900.0] * (DAYS - 7)}) == []


@pytest.mark.parametrize(("daily", "is_told"), [(900.0, False), (1100.0, True)])
@pytest.mark.parametrize("first", [60, 85])
def test_in_a_large_account_a_new_service_is_told_from_a_high_impact_on(
    first: int, daily: float, *, is_told: bool
) -> None:
    """However small a part of the account it is, new or used again after a long time."""
    idle = [1.0 if n == 20 and first == 85 else 0.0 for n in range(first)]
    services = {"EC2": steady(100_000), "this": idle + [daily] * (DAYS - first)}
    assert ({each.service for each in anomalies(services)} == {"this"}) is is_told
    dear = AdaptiveRule(high_impact=Limit(Decimal(1000), (("USD", Decimal(2000)),)))
    assert anomalies(services, dear) == []


@pytest.mark.parametrize(("before", "is_told"), [(100.0, True), (0.0, False)])
def test_a_dear_day_hides_a_new_service_only_in_an_account_that_has_just_woken(
    before: float, *, is_told: bool
) -> None:
    """A visible part of what an account usually costs is told, whatever else it costs that day."""
    services = {
        "EC2": [before] * 60 + [10_000.0] + [100.0] * (DAYS - 61),
        "long ago": [1.0] + [0.0] * (DAYS - 1),
        "this": [0.0] * 60 + [20.0] * (DAYS - 60),
    }
    found = anomalies(services)
    assert any((each.service, each.usage_date) == ("EC2", day(60)) for each in found)
    assert any((each.service, each.usage_date) == ("this", day(60)) for each in found) is is_told


def test_without_a_floor_a_cent_is_the_smallest_difference() -> None:
    """Also of services that cost nothing on most days."""
    services = {
        "cents": changed(steady(0.1), 100, lambda _: 5.0, 1),
        "free": [0.0] * DAYS,
        "now and then": [0.01 * (n % 20 == 0) for n in range(DAYS)],
        "spike": changed(steady(100), 100, lambda _: 2.0, 1),
    }
    found = anomalies(services, AdaptiveRule(floor=Limit(Decimal(0))))
    assert {(each.service, each.reason) for each in found} >= {
        ("cents", Reason.SPIKE),
        ("spike", Reason.SPIKE),
    }
    assert found == anomalies(services, AdaptiveRule(floor=Limit(Decimal("0.01"))))


def test_an_ordinary_week_raises_nothing() -> None:
    """Noise and weekends are expected."""
    assert anomalies({"EC2": steady(100), "S3": steady(30, seed=2, noise=0.1)}) == []


@pytest.mark.parametrize(
    ("amounts", "first", "reason"),
    [
        (changed(steady(100), 100, lambda _: 2.0, 1), 100, Reason.SPIKE),
        (changed(steady(100), 100, lambda _: 1.5), 100, Reason.SPIKE),
        (changed(steady(100), 100, lambda _: 0.05, 4), 100, Reason.DROP),
        (changed(steady(100), 100, lambda n: 1 + n / 30), 100, Reason.GROWTH),
        ([0.0] * 100 + steady(20)[100:], 100, Reason.NEW_SERVICE),
        ([5.0] + [0.0] * 99 + [40.0] * 50, 100, Reason.DORMANT_SERVICE),
        ([10.0 * (n % 5 == 0) for n in range(100)] + [90.0] + [0.0] * 49, 100, Reason.BURST),
    ],
    ids=["spike", "jump", "drop", "leak", "new", "dormant", "burst"],
)
def test_each_kind_of_anomaly_is_found(amounts: list[float], first: int, reason: Reason) -> None:
    """It is found within three days, a leak within a month, with a score above one half."""
    found = anomalies({"other": steady(200, seed=3), "this": amounts})
    assert {each.service for each in found} == {"this"}
    late = timedelta(days=30 if reason is Reason.GROWTH else 2)
    first_found = found[0]
    assert first_found.reason is reason
    assert timedelta(0) <= first_found.usage_date - day(first) <= late
    assert 0.5 <= first_found.score < 1
    assert first_found.lower <= first_found.expected <= first_found.upper


@pytest.mark.parametrize(
    ("amounts", "reason", "below", "above"),
    [
        (changed(steady(100), 100, lambda _: 2.0, 1), Reason.SPIKE, 0.9, 1.1),
        (changed(steady(100), 100, lambda _: 0.3, 4), Reason.DROP, 0.6, 0.8),
        (changed(steady(100), 100, lambda n: 1 + n / 30), Reason.GROWTH, 0.5, 1.0),
        ([10.0 * (n % 5 == 0) for n in range(100)] + [90.0] + [0.0] * 49, Reason.BURST, 7.5, 8.5),
    ],
    ids=["spike", "drop", "leak", "burst"],
)
def test_the_smallest_difference_in_percent_holds_for_every_reason(
    amounts: list[float], reason: Reason, below: float, above: float
) -> None:
    """Of a burst, it is the difference to the largest one before."""
    services = {"other": steady(200, seed=3), "this": amounts}
    assert {each.reason for each in anomalies(services, AdaptiveRule(minimum_ratio=below))} == {reason}
    assert anomalies(services, AdaptiveRule(minimum_ratio=above)) == []


def test_a_level_shift_is_reported_and_then_adapted_to() -> None:
    """After a week the new level is what is expected."""
    found = anomalies({"this": changed(steady(100), 100, lambda _: 2.0)})
    assert max(each.usage_date for each in found) < day(108)


def test_a_monthly_charge_is_known_from_its_second_time() -> None:
    """What came on the same day of the month before is no news."""
    amounts = [amount + 300 * (n > 40 and day(n).day == 3) for n, amount in enumerate(steady(100))]
    found = anomalies({"this": amounts})
    assert len({each.usage_date for each in found}) == 1
    excuses = {each.excuse for morning in judgements({"this": amounts}) for each in morning}
    assert Excuse.RECURRING in excuses


def test_a_rise_that_lasts_is_no_monthly_charge() -> None:
    """A jump that begins on the day of a fee is found by its third day; a stint of every month is known."""
    fees = [amount + 300 * (day(n).day == 3) for n, amount in enumerate(steady(100))]
    first = next(n for n in range(100, DAYS) if day(n).day == 3)
    jumped = [amount + 120 * (n >= first) for n, amount in enumerate(fees)]
    found = [each.usage_date for each in anomalies({"this": jumped}) if each.usage_date >= day(first)]
    assert min(found) - day(first) <= timedelta(days=2)
    stints = [amount + 120 * (3 <= day(n).day <= 9) for n, amount in enumerate(steady(100))]
    assert not [each for each in anomalies({"this": stints}) if each.usage_date >= day(first)]


def test_one_charge_of_a_month_explains_one_day_of_the_next() -> None:
    """The day after the fee, as large again, is told; a charge of two days explains two."""
    fee, after = [n for n in range(DAYS) if day(n).day == 3], [n for n in range(DAYS) if day(n).day == 4]
    once = [amount + 300 * (n in {*fee, after[-1]}) for n, amount in enumerate(steady(100))]
    assert after[-1] in days_of(anomalies({"this": once}), Reason.SPIKE)
    twice = [amount + 300 * (n in {*fee, *after}) for n, amount in enumerate(steady(100))]
    assert after[-1] not in days_of(anomalies({"this": twice}), Reason.SPIKE)


@pytest.mark.parametrize("later", [28, 33])
def test_the_end_of_a_rise_is_no_outage_of_that_day(later: int) -> None:
    """About a month after a rise was over, an outage is told."""
    risen = changed(steady(100), 85, lambda _: 2.5, 10)
    found = anomalies({"this": changed(risen, 95 + later, lambda _: 0.05, 4)})
    assert 95 + later in days_of(found, Reason.DROP)


def test_a_long_low_of_every_year_is_told_once() -> None:
    """Also of more days than those that a fall is compared with."""
    chance = random.Random(1)
    amounts = [
        100 * (0.1 if day(n).month == 12 and day(n).day >= 24 else 1.0) * chance.gauss(1, 0.03)
        for n in range(760)
    ]
    judged = judgements({"other": [300.0] * 760, "this": amounts}, days=760)
    drops = days_of([each for morning in judged for each in morning], Reason.DROP)
    assert len({day(n).year for n in drops}) == 1


def test_a_tail_after_a_monthly_charge_is_known_with_it() -> None:
    """What comes on the day after a charge is compared with that day of the month before."""
    chance, extra = random.Random(1), {1: 100.0, 2: 20.0}
    amounts = [20 * chance.gauss(1, 0.03) + extra.get(day(n).day, 0.0) for n in range(400)]
    judged = judgements({"other": [300.0] * 400, "this": amounts}, days=400)
    found = days_of([each for morning in judged for each in morning], Reason.SPIKE)
    assert max(found, default=0) < 62


def test_growth_does_not_hide_a_later_jump() -> None:
    """All days of a ramp are above what was expected; what jumps later is compared with other jumps."""
    grown = changed(steady(100, noise=0.01), 80, lambda n: 1 + 0.6 * min(n, 14) / 14)
    found = days_of(anomalies({"this": changed(grown, 125, lambda _: 1.35)}), Reason.SPIKE)
    assert 125 in found


@pytest.mark.parametrize(("away", "excuse"), [(0, Excuse.RECURRING), (3, None)])
def test_a_charge_on_its_very_day_may_be_twice_as_large(away: int, excuse: Excuse | None) -> None:
    """A few days off, it must be about as large as the last one."""
    last, next_ = (n for n in range(90, DAYS) if day(n).day == 12)
    amounts = steady(100)
    amounts[last] += 50
    amounts[next_ + away] += 100
    judged = [
        each
        for morning in judgements({"this": amounts})[next_:]
        for each in morning
        if each.usage_date == day(next_ + away)
    ]
    assert {each.excuse for each in judged} == {excuse}
    assert any(each.reason for each in judged) is (excuse is None)


def test_every_monday_is_no_step_of_an_earlier_month() -> None:
    """A service that rests at weekends starts anew each week: that excuses no jump."""
    chance = random.Random(1)
    office = [100 * (0.4 if day(n).weekday() >= 5 else 1.0) * chance.gauss(1, 0.02) for n in range(DAYS)]
    first = next(n for n in range(100, DAYS) if day(n).weekday() == 0)
    fees = [amount + 150 * (day(n).day == day(first).day) for n, amount in enumerate(office)]
    found = anomalies({"this": [amount + 60 * (n >= first) for n, amount in enumerate(fees)]})
    jumped = [each.usage_date for each in found if each.usage_date >= day(first)]
    assert jumped
    assert min(jumped) - day(first) <= timedelta(days=2)


def test_cheap_days_tell_more_of_a_rise_that_lasts() -> None:
    """A dear Friday strays by more money than a weekend does, and hides a third of the rise by itself."""
    chance = random.Random(4)
    ordinary = [90 if day(n).weekday() >= 5 else 300 for n in range(DAYS)]
    friday = next(n for n in range(100, DAYS) if day(n).weekday() == 4)
    rise = range(friday, friday + 3)
    strays = [amount * chance.gauss(1, 0.06) for amount in ordinary]
    amounts = [ordinary[n] + 31.5 if n in rise else strays[n] for n in range(DAYS)]
    assert days_of(anomalies({"this": amounts}), Reason.SPIKE) == {friday + 2}


def test_a_service_that_bursts_for_a_day_does_not_stay_high() -> None:
    """Bursts excuse bursts; three days on end are compared with what lasted as long."""
    amounts = [amount * (2.5 if n % 11 == 4 else 1.0) for n, amount in enumerate(steady(100))]
    lasting = range(120, 123)
    amounts[lasting.start : lasting.stop] = [220.0] * len(lasting)
    found = [each for each in anomalies({"this": amounts}) if each.usage_date > day(80)]
    assert {each.usage_date for each in found} <= {day(n) for n in lasting}
    assert found


def test_what_the_whole_account_does_is_reported_of_no_service() -> None:
    """A campaign that moves every service is not four anomalies."""
    services = {f"s{n}": changed(steady(100, seed=n), 100, lambda _: 1.8, 3) for n in range(4)}
    assert anomalies(services) == []
    excused = [each for each in judgements(services)[100] if each.excuse]
    assert {each.excuse for each in excused} == {Excuse.ACCOUNT_WIDE}
    assert all(each.score < 0.5 for each in excused)


@pytest.mark.parametrize(("factor", "is_told"), [(3.5, False), (5.0, True), (10.0, True)])
def test_no_campaign_makes_everything_several_times_as_dear(factor: float, *, is_told: bool) -> None:
    """A rise of three times the level is told of each service, whatever the others do."""
    services = {f"s{n}": changed(steady(100, seed=n), 100, lambda _: factor) for n in range(5)}
    found = anomalies(services)
    assert ({each.service for each in found} == set(services)) is is_told
    assert {each.usage_date for each in found} <= {day(n) for n in range(100, 107)}


def test_a_drop_waits_for_a_complete_day() -> None:
    """A first reading that is nearly empty is no outage."""
    amounts = steady(100)
    detector = Detector(AdaptiveRule(), "USD")
    for n in range(DAYS):
        known = [amounts[n] / 20, *(amounts[n - age] if n >= age else 0.0 for age in (1, 2))]
        assert [each for each in detector.judge(day(n), {"this": known}) if each.reason] == []


@pytest.mark.parametrize("seed", range(5))
def test_the_future_changes_no_judgement(seed: int) -> None:
    """Cutting the series anywhere leaves every earlier morning as it was."""
    chance = random.Random(seed)
    first = chance.randrange(40, 120)
    services = {"a": changed(steady(50, seed=seed), first, lambda _: 3.0, 4), "b": steady(20, noise=0.3)}
    whole = judgements(services)
    cut = chance.randrange(first - 5, first + 5)
    assert judgements({name: each[:cut] for name, each in services.items()}, days=cut) == whole[:cut]


def test_the_same_mornings_give_the_same_judgements_in_any_order_of_services() -> None:
    """Neither chance nor the order of rows has a say."""
    services = {
        "a": changed(steady(50), 90, lambda _: 3.0, 4),
        "b": steady(20, seed=2),
        "c": steady(9, seed=3),
    }
    turned = dict(reversed(services.items()))
    assert judgements(services) == judgements(turned)


@pytest.mark.parametrize("factor", [4.0, 64.0, 1024.0])
def test_money_has_no_scale_above_the_floor(factor: float) -> None:
    """Ten times the bill, with ten times the floor, has the same anomalies and scores."""
    services = {"a": changed(steady(50), 90, lambda _: 3.0, 4), "b": [0.0] * 60 + steady(20, seed=2)[60:]}
    larger = {name: [amount * factor for amount in amounts] for name, amounts in services.items()}
    rule = AdaptiveRule(floor=Limit(Decimal(3) * Decimal(factor)))
    found, scaled = anomalies(services), anomalies(larger, rule)
    key = [(each.service, each.usage_date, each.reason) for each in found]
    assert key == [(each.service, each.usage_date, each.reason) for each in scaled]
    assert [each.score for each in scaled] == pytest.approx([each.score for each in found])


def test_a_service_that_bursts_by_nature_is_known_for_it() -> None:
    """After a few bursts a day as large is no alarm."""
    amounts = [amount * (2.5 if n % 11 == 4 else 1.0) for n, amount in enumerate(steady(100))]
    found = anomalies({"this": amounts, "other": steady(40, seed=2)})
    assert all(each.usage_date < day(60) for each in found)


def test_bursts_of_one_day_are_remembered_for_a_year() -> None:
    """A day that three bursts of the year explain is no alarm, however long ago; one that lasts is."""
    amounts = [*steady(100), *steady(100, seed=2), *steady(100, seed=3)[:8]]
    for n in (40, 60, 80):
        amounts[n] = 300.0
    again = 80 + 20 * 7
    once = [each * (2.8 if n == again else 1.0) for n, each in enumerate(amounts)]
    lasting = [each * (2.8 if again <= n < again + 3 else 1.0) for n, each in enumerate(amounts)]
    found, found_lasting = (
        [
            each
            for morning in judgements({"this": these}, days=len(these))
            for each in morning
            if each.reason and each.usage_date >= day(again)
        ]
        for these in (once, lasting)
    )
    assert found == []
    assert {each.usage_date - day(again) for each in found_lasting} <= {timedelta(days=n) for n in range(3)}
    assert found_lasting


@pytest.mark.parametrize(
    ("slows_after", "reasons"), [(40, {Reason.GROWTH}), (14, set())], ids=["goes on", "has nearly ended"]
)
def test_only_growth_that_goes_on_is_told(slows_after: int, reasons: set[Reason]) -> None:
    """A ramp that has nearly ended is no news when its four weeks are large enough."""
    grown = changed(
        steady(100), 100, lambda n: 1 + 0.02 * min(n, slows_after) + 0.004 * max(0, n - slows_after)
    )
    assert max(grown[114:128]) > 130
    assert {each.reason for each in anomalies({"this": grown})} == reasons


@pytest.mark.parametrize(("weeks", "is_told"), [(2, True), (5, False)])
def test_slow_growth_must_exceed_how_the_service_grows_by_itself(weeks: int, *, is_told: bool) -> None:
    """What grows by a tenth in four weeks may grow by a third in five; within two weeks, that is a leak."""
    grows = [amount * 1.1 ** (n / 28) for n, amount in enumerate(steady(100, noise=0.01))]
    days = 7 * weeks
    amounts = changed(grows, 112, lambda n: 1 + 0.35 * min(n, days) / days)
    assert bool(days_of(anomalies({"this": amounts}), Reason.GROWTH)) is is_told


def test_a_leak_is_measured_against_the_noise_before_it() -> None:
    """What grows strays from the last week, and seems noisier with each day; it is told all the same."""
    leak = changed(steady(100, noise=0.08, seed=3), 100, lambda n: 1 + 0.05 * n)
    found = [each for each in anomalies({"this": leak}) if each.reason is Reason.GROWTH]
    assert day(100) < min(each.usage_date for each in found) < day(116)


@pytest.mark.parametrize("shift", range(7))
def test_growth_is_told_with_a_day_that_shows_it(shift: int) -> None:
    """Of a service that costs nothing at weekends, with a working day, whenever it begins to grow."""
    office = [0.0 if day(n).weekday() >= 5 else amount for n, amount in enumerate(steady(100, seed=3))]
    leak = changed(office, 90 + shift, lambda n: 1 + 0.02 * n)
    found = [each for each in anomalies({"this": leak}) if each.reason is Reason.GROWTH]
    assert found
    assert all(each.actual > each.expected for each in found)


@pytest.mark.parametrize("noise", [0.02, 0.08])
def test_what_is_told_as_growth_lies_outside_the_band_that_it_shows(noise: float) -> None:
    """The edge is the growth that would be ordinary; the score is how far beyond it the service has grown."""
    leak = changed(steady(100, noise=noise, seed=3), 100, lambda n: 1 + 0.05 * n)
    found = [each for each in anomalies({"this": leak}) if each.reason is Reason.GROWTH]
    assert found
    for each in found:
        assert each.lower < each.expected < each.upper < each.actual
        beyond = (each.actual - each.expected) / (each.upper - each.expected)
        assert each.score == pytest.approx(beyond / (1 + beyond))


def test_growth_is_measured_from_an_alarm_on() -> None:
    """A spike three weeks ago hides no leak, and a jump three weeks ago is none."""
    spiked = changed(steady(100), 90, lambda _: 3.0, 1)
    leak = [each.usage_date for each in anomalies({"this": changed(spiked, 94, lambda n: 1 + 0.02 * n)})]
    assert day(100) < max(leak) < day(90 + 28)
    jumped = changed(steady(100), 90, lambda _: 1.5)
    assert {each.reason for each in anomalies({"this": jumped})} == {Reason.SPIKE}


def test_a_large_fee_elsewhere_does_not_excuse_a_rise() -> None:
    """What the account does moves its services by as much; a charge of many times a day is something else."""
    fees = {f"fee {n}": changed(steady(100, seed=n), 120, lambda _: 40.0, 1) for n in (2, 3)}
    found = anomalies({"this": changed(steady(100), 120, lambda _: 2.0, 1), **fees})
    assert {each.service for each in found} == {"this", *fees}


def test_a_holiday_before_an_outage_is_not_its_first_day() -> None:
    """The drop is told of the day on which it began, when that one is complete."""
    amounts = steady(100)
    amounts[118] = 73.0
    amounts[119:123] = [2.0] * 4
    found = [(each.usage_date, each.reason) for each in anomalies({"this": amounts})]
    assert found == [(day(119), Reason.DROP)]


@pytest.mark.parametrize(
    ("service", "factor", "length", "days"),
    [
        ("AWS Glue", 3.0, 1, set()),
        ("AWS Glue", 3.0, 3, {101, 102}),
        ("AWS Glue", 30.0, 1, {100}),
        ("AmazonCloudWatch", 3.0, 1, {100}),
    ],
    ids=["one job", "jobs that go on", "more than the account costs", "no service of jobs"],
)
def test_a_service_of_jobs_is_told_when_its_rise_lasts(
    service: str, factor: float, length: int, days: set[int]
) -> None:
    """A day of it is a job that somebody ran, unless it is more than the whole account costs."""
    jobs = changed(steady(100), 100, lambda _: factor, length)
    services = {"EC2": steady(500, seed=3), service: jobs}
    assert days_of(anomalies(services), Reason.SPIKE) == days
    excuses = {each.excuse for morning in judgements(services) for each in morning if each.service == service}
    assert (Excuse.JOB in excuses) is (service == "AWS Glue" and factor < 10)


def test_jobs_now_and_then_are_told_when_they_go_on() -> None:
    """A service that idles between its jobs is treated alike."""
    runs = [10.0 * (n % 5 == 0) for n in range(DAYS)]
    runs[101] = 90.0
    services = {"EC2": steady(500, seed=3), "Amazon SageMaker": runs}
    assert not anomalies(services)
    runs[102] = 95.0
    assert days_of(anomalies(services), Reason.BURST) == {102}


@pytest.mark.parametrize(
    ("months", "factor", "is_told"),
    [
        (1, 3.0, False),
        (1, 6.0, True),
        (2, 3.0, False),
        (3, 3.8, True),
        (4, 1.9, False),
        (4, 3.0, True),
        (4, 4.8, True),
    ],
)
def test_only_the_first_charges_of_a_fee_may_be_a_third_of_the_next(
    months: int, factor: float, *, is_told: bool
) -> None:
    """They follow an account that begins; a fee that has come three times may become twice as large."""
    firsts = [n for n in range(DAYS) if day(n).day == 1]
    fee = [0.0] * DAYS
    for n in firsts[4 - months : 4]:
        fee[n] = 1000.0
    fee[firsts[4]] = 1000.0 * factor
    found = [each for each in anomalies({"EC2": steady(370), "fee": fee}) if each.usage_date > day(100)]
    assert [each.usage_date for each in found] == [day(firsts[4])] * 3 * is_told


@pytest.mark.parametrize("first", range(96, 103))
def test_a_dormant_service_that_comes_back_for_good_is_told_once(first: int) -> None:
    """What it costs every day is no burst after a week, however long it takes to learn its weekdays anew."""
    back = [100.0] * 20 + [0.0] * (first - 20) + [500.0] * (DAYS - first)
    found = [each for each in anomalies({"EC2": steady(370), "this": back}) if each.usage_date >= day(first)]
    assert found[0].reason is Reason.DORMANT_SERVICE
    assert {each.usage_date for each in found} == {day(first + n) for n in range(6)}


def test_a_job_after_a_long_time_is_told_when_it_goes_on() -> None:
    """A service of jobs that was not used for months ran one; of another service the first day is told."""
    runs = [5.0, *[0.0] * 99, 40.0, *[0.0] * 49]
    assert not anomalies({"EC2": steady(500, seed=3), "Amazon SageMaker": runs})
    assert days_of(anomalies({"EC2": steady(500, seed=3), "Amazon S3": runs}), Reason.DORMANT_SERVICE) == {
        100
    }
    runs[101] = 45.0
    found = anomalies({"EC2": steady(500, seed=3), "Amazon SageMaker": runs})
    assert days_of(found, Reason.DORMANT_SERVICE) == {101}


def test_weeks_of_jobs_are_no_growth() -> None:
    """The same rise is growth in a service that runs all the time."""
    leak = changed(steady(100), 100, lambda n: 1 + n / 30)
    reasons = {
        name: {each.reason for each in anomalies({"EC2": steady(500, seed=3), name: leak})}
        for name in ("Amazon SageMaker", "EC2 - Other")
    }
    assert Reason.GROWTH not in reasons["Amazon SageMaker"]
    assert Reason.GROWTH in reasons["EC2 - Other"]


def test_a_fee_does_not_excuse_a_rise_that_is_a_fraction_of_it() -> None:
    """A charge of last month explains one of about its size on the same days of this month."""
    amounts = [amount + 1000 * (day(n).day == 3) for n, amount in enumerate(steady(100))]
    first = next(n for n in range(100, DAYS) if day(n).day == 1)
    amounts[first] += 150
    found = anomalies({"this": amounts})
    assert first in days_of(found, Reason.SPIKE)


def test_the_return_from_an_outage_is_no_surprise_of_the_service() -> None:
    """After an outage of two weeks, when its level had been learned, a jump is found as before."""
    amounts = changed(steady(100), 78, lambda _: 0.05, 12)
    found = anomalies({"this": changed(amounts, 130, lambda _: 1.8)})
    assert days_of(found, Reason.DROP)
    assert 130 in days_of(found, Reason.SPIKE)


def test_the_return_from_an_outage_that_was_not_told_is_no_spike() -> None:
    """Also on the mornings when the days that are back have raised the level, and are judged again."""
    grown = [2.0 * max(0, n - 90) for n in range(DAYS)]
    services = {"EC2": steady(370), "this": changed(grown, 130, lambda _: 0.1, 5)}
    found = [each for each in anomalies(services) if each.service == "this"]
    assert not days_of(found, Reason.DROP)
    assert not days_of(found, Reason.SPIKE)


@pytest.mark.parametrize(
    ("level", "rise", "is_told"), [(1.0, 1.5, True), (0.9, 1.5, False), (0.9, 2.0, True)]
)
def test_a_rise_from_a_low_level_takes_more_evidence(level: float, rise: float, *, is_told: bool) -> None:
    """What is often a little below its usual level comes back without a cause."""
    amounts = changed(steady(100, noise=0.04), 110, lambda n: level * (rise if n == 20 else 1))
    assert (130 in days_of(anomalies({"this": amounts}), Reason.SPIKE)) is is_told


def test_a_surge_of_the_account_excuses_no_later_rise_of_one_service() -> None:
    """What several services did together says nothing of how far each strays by itself."""
    services = {f"s{n}": steady(100, seed=n, noise=0.02) for n in range(6)}
    for first in (62, 73, 84):
        services = {name: changed(each, first, lambda _: 2.5, 2) for name, each in services.items()}
    assert not anomalies(services)
    services["s3"] = changed(services["s3"], 134, lambda _: 2.0, 1)
    assert {(each.service, each.usage_date) for each in anomalies(services)} == {("s3", day(134))}


def test_a_free_tier_that_starts_anew_is_no_outage_in_the_first_month() -> None:
    """A fall to nothing at the start of a month waits for a month before it; on another day it is told."""
    first = next(n for n in range(25, DAYS) if day(n).day == 1)
    for begin, reasons in ((first, set()), (first + 7, {Reason.DROP})):
        amounts = changed(steady(100), begin, lambda _: 0.0, 6)[: begin + 4]
        services = {"this": amounts + [0.0] * (DAYS - len(amounts))}
        found = [each for morning in judgements(services, days=begin + 4) for each in morning]
        assert {each.reason for each in found if each.reason} == reasons


def test_what_a_service_cost_within_nine_weeks_is_an_amount_and_no_share() -> None:
    """Days without cost at the start of a month bend the shares of the weekdays, not what is usual."""
    history = History(day(0))
    amounts = [0.0 if day(n).day <= 6 else 20.0 + n % 5 for n in range(80)]
    for n, amount in enumerate(amounts):
        history.open_day(day(n))
        history.settle(amount)
    weekday = next(n for n in range(70, 80) if day(n).weekday() < 5)
    usual = sorted(amounts[n] for n in range(weekday - 63, weekday) if day(n).weekday() < 5)
    assert history.usual_top(weekday, weekday) == pytest.approx(usual[-3])


@pytest.mark.parametrize(
    ("length", "pause", "is_told"), [(12, 25, True), (12, 4, False), (47, 12, True), (54, 12, False)]
)
def test_a_level_that_was_told_and_is_over_is_not_usual(length: int, pause: int, *, is_told: bool) -> None:
    """It is told again, unless it had stayed for seven weeks or was only away for some days."""
    amounts = changed(steady(100), 60, lambda _: 2.0, length)
    again = 60 + length + pause
    found = days_of(anomalies({"this": changed(amounts, again, lambda _: 2.0, 12)}), Reason.SPIKE)
    assert 60 in found
    assert (again in found) is is_told


def test_below_the_floor_nothing_is_reported() -> None:
    """Cents are not worth an alarm, whatever their ratio."""
    assert anomalies({"this": changed(steady(0.05), 100, lambda _: 20.0, 3)}) == []


def test_a_sensitive_rule_finds_what_an_ordinary_one_leaves() -> None:
    """Sensitivity moves the edge of the band."""
    services = {"this": changed(steady(100, noise=0.05), 100, lambda _: 1.3, 1), "other": steady(40, seed=2)}
    low, high = (
        anomalies(services, AdaptiveRule(sensitivity=each)) for each in (Sensitivity.LOW, Sensitivity.HIGH)
    )
    assert low == []
    assert high


def test_a_morning_cannot_be_left_out() -> None:
    """The detector's memory is of consecutive days."""
    detector = Detector(AdaptiveRule(), "USD")
    detector.judge(day(0), {"this": [1.0, 0.0, 0.0]})
    with pytest.raises(ValueError, match="does not follow"):
        detector.judge(day(2), {"this": [1.0, 1.0, 1.0]})
