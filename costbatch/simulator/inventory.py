"""The resources of an account on a day: generated from the seed, or exactly those that the world names."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from costbatch.simulator.noise import draws
from costbatch.simulator.regions import GLOBAL, partition_of
from costbatch.simulator.world import Resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from costbatch.simulator.world import Account, Burst

MOST_ESTATES = 32
NAMES = ("api", "web", "worker", "ledger", "search", "images", "reports", "queue", "cache", "gateway")
ENVIRONMENTS = ("production", "staging", "development")
OWNERS = ("platform", "payments", "data", "mobile")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource: its share of an account's resources, and how its ARN is built."""

    share: float
    arn: str
    is_global: bool = False


KINDS = (
    Kind(0.22, "arn:{partition}:ec2:{region}:{account}:instance/i-{id}"),
    Kind(0.16, "arn:{partition}:ec2:{region}:{account}:volume/vol-{id}"),
    Kind(0.06, "arn:{partition}:ec2:{region}:{account}:security-group/sg-{id}"),
    Kind(0.12, "arn:{partition}:lambda:{region}:{account}:function:{name}-{number}"),
    Kind(0.08, "arn:{partition}:s3:::{name}-{id}"),
    Kind(0.08, "arn:{partition}:logs:{region}:{account}:log-group:/aws/lambda/{name}-{number}"),
    Kind(0.06, "arn:{partition}:rds:{region}:{account}:db:{name}-{number}"),
    Kind(0.04, "arn:{partition}:dynamodb:{region}:{account}:table/{name}-{number}"),
    Kind(0.04, "arn:{partition}:sqs:{region}:{account}:{name}-{number}"),
    Kind(
        0.03, "arn:{partition}:elasticloadbalancing:{region}:{account}:loadbalancer/app/{name}-{number}/{id}"
    ),
    Kind(0.03, "arn:{partition}:kms:{region}:{account}:key/{id}"),
    Kind(0.02, "arn:{partition}:ecs:{region}:{account}:cluster/{name}-{number}"),
    Kind(0.04, "arn:{partition}:iam::{account}:role/{name}-{number}", is_global=True),
    Kind(0.02, "arn:{partition}:cloudfront::{account}:distribution/E{id}", is_global=True),
)
# Of the draws that decide how long a resource exists, and how it is tagged.
ALWAYS, APPEARS, VANISHES = 0.7, 0.8, 0.9
FULLY_TAGGED, NAMED, ONCE_TAGGED = 0.6, 0.8, 0.9
LIFE_DAYS = 400
# The share of the first region, and of the second one.
FIRST_REGION, SECOND_REGION = 0.6, 0.85

Estate = dict[str, list[Resource]]


class Inventory:
    """The resources of the accounts of one world."""

    def __init__(self, *, seed: int) -> None:
        """Generate from this seed."""
        self._seed = seed
        self._estates: OrderedDict[tuple[Account, date], Estate] = OrderedDict()

    def estate(self, account: Account, day: date) -> Mapping[str, Sequence[Resource]]:
        """Return the resources that exist on a day, by region; those of no region are "global"."""
        key = (account, day)
        estate = self._estates.get(key)
        if estate is None:
            estate = self._estates[key] = defaultdict(list)
            for resource in self._resources(account, day):
                estate[resource.region].append(resource)
            if len(self._estates) > MOST_ESTATES:
                self._estates.popitem(last=False)
        self._estates.move_to_end(key)
        return estate

    def _resources(self, account: Account, day: date) -> Sequence[Resource]:
        if account.inventory is not None:
            return account.inventory
        taken = {burst.region for burst in account.bursts}
        regions = [region for region in account.regions if region not in taken]
        numbers = range(account.resources if regions else 0)
        found = (_resource(account, number, regions, day=day, seed=self._seed) for number in numbers)
        return [
            *(resource for resource in found if resource is not None),
            *(resource for burst in account.bursts for resource in _burst(account, burst, day)),
        ]


def _resource(
    account: Account, number: int, regions: Sequence[str], *, day: date, seed: int
) -> Resource | None:
    which, where, life, moment, tagging, name, identity, other = draws(
        f"{seed}|{account.account_id}|resource|{number}"
    )
    if not _exists(life, moment, age_days=(day - account.start).days):
        return None
    kind, region = _kind(which), _region(where, regions)
    word = NAMES[int(name * len(NAMES))]
    arn = kind.arn.format(
        partition=partition_of(region),
        region=region,
        account=account.account_id,
        id=f"{int(identity * 2**60):017x}",
        name=word,
        number=number,
    )
    return Resource(
        arn=arn,
        region=GLOBAL if kind.is_global else region,
        tags=_tags(tagging, f"{word}-{number}", other),
        was_tagged=NAMED <= tagging < ONCE_TAGGED,
    )


def _burst(account: Account, burst: Burst, day: date) -> Iterator[Resource]:
    """Yield a burst's instances: their tags are gone, so that the tagging API lists them too."""
    if 0 <= (day - burst.start).days < burst.days:
        owner = f"arn:{partition_of(burst.region)}:ec2:{burst.region}:{account.account_id}"
        for number in range(burst.instances):
            yield Resource(f"{owner}:instance/i-{number:017x}", burst.region, was_tagged=True)


def _exists(life: float, moment: float, *, age_days: int) -> bool:
    """Whether a resource exists: always, from a day on, until a day, or again and again for some days."""
    if age_days < 0:
        return False
    if life < ALWAYS:
        return True
    turn = timedelta(days=int(moment * LIFE_DAYS)).days
    if life < APPEARS:
        return age_days >= turn
    if life < VANISHES:
        return age_days < turn
    span = 3 + turn % 20
    return (age_days // span) % 2 == 0


def _kind(which: float) -> Kind:
    for kind in KINDS:
        which -= kind.share
        if which < 0:
            return kind
    return KINDS[0]


def _region(where: float, regions: Sequence[str]) -> str:
    if where < FIRST_REGION or len(regions) == 1:
        return regions[0]
    if where < SECOND_REGION:
        return regions[1]
    return regions[int((where - SECOND_REGION) / (1 - SECOND_REGION) * len(regions))]


def _tags(tagging: float, name: str, other: float) -> tuple[tuple[str, str], ...]:
    if tagging >= NAMED:
        return ()
    if tagging >= FULLY_TAGGED:
        return (("Name", name),)
    return (
        ("Name", name),
        ("Environment", ENVIRONMENTS[int(other * len(ENVIRONMENTS))]),
        ("Owner", OWNERS[int(other * len(OWNERS))]),
        ("CostCenter", f"{1000 + int(other * 40)}"),
    )
