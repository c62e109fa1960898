"""What the resources of a large account take in memory."""

import json
import tracemalloc

import msgspec

from costbatch.adapters.aws.inventory.pages import TaggedPage, resource_of
from costbatch.adapters.aws.operations import GET_RESOURCES
from costbatch.domain.resources import Inventory, SourceChoice

REGION = "ap-southeast-2"
PAGES, PER_PAGE = 20, 100


def page(number: int) -> bytes:
    """Return a response as AWS's, with four tags on each resource."""
    resources = [
        {
            "ResourceARN": f"arn:aws:ec2:{REGION}:123456789012:instance/i-{number * PER_PAGE + each:017x}",
            "Tags": [
                {"Key": key, "Value": f"{key} of {number}-{each}"}
                for key in ("Name", "Environment", "Owner", "CostCenter")
            ],
        }
        for each in range(PER_PAGE)
    ]
    return json.dumps({"PaginationToken": f"{number}", "ResourceTagMappingList": resources}).encode()


def test_a_resource_takes_less_than_450_bytes() -> None:
    """So 100,000 of them are at most 45 MB: a pod of 512 MiB has room for those of several accounts."""
    bodies = [page(number) for number in range(PAGES)]
    tracemalloc.start()
    found = []
    for body in bodies:
        decoded = msgspec.json.decode(body, type=TaggedPage)
        found += [resource_of(GET_RESOURCES, each.arn, each.tags, REGION) for each in decoded.resources]
    inventory = Inventory.of(SourceChoice.TAGGING, found, read=[REGION], failed={})
    del found, decoded
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    count = len(inventory.regions[REGION].resources)
    assert count == PAGES * PER_PAGE
    assert held / count < 450
    assert peak / count < 600
    assert len({id(each.region) for each in inventory.regions[REGION].resources}) == 1
