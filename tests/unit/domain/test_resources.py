"""What an ARN says of a resource, and what was read of an account."""

import pytest

from costbatch.domain.resources import GLOBAL, Inventory, Resource, SourceChoice
from costbatch.domain.runs import Failure
from costbatch.errors import ErrorKind

DOWN = Failure(kind=ErrorKind.TIMEOUT, message="It did not answer.")


def resource(arn: str, region: str = "eu-west-1", **tags: str) -> Resource:
    """Return a resource that was found in a region."""
    return Resource.parse(arn, tags, asked_region=region)


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        ("arn:aws:ec2:us-east-1:1:instance/i-1", ("ec2", "instance", "us-east-1", "i-1")),
        ("arn:aws:lambda:us-east-1:1:function:f", ("lambda", "function", "us-east-1", "f")),
        ("arn:aws:s3:::bucket", ("s3", "bucket", "eu-west-1", "bucket")),
        ("arn:aws:s3:::bucket/key", ("s3", "bucket", "eu-west-1", "bucket/key")),
        ("arn:aws:sqs:us-east-1:1:jobs", ("sqs", "queue", "us-east-1", "jobs")),
        ("arn:aws:iam::1:role/a/b", ("iam", "role", GLOBAL, "a/b")),
        ("arn:aws:apigateway:us-east-1::/restapis/x", ("apigateway", "restapis", "us-east-1", "x")),
        ("arn:aws:logs:us-east-1:1:log-group:/aws/x", ("logs", "log-group", "us-east-1", "/aws/x")),
        ("arn:aws-cn:dax:cn-north-1:1:thing", ("dax", "resource", "cn-north-1", "thing")),
    ],
)
def test_an_arn_says_service_type_region_and_name(arn: str, expected: tuple[str, ...]) -> None:
    """If it names no region, the resource lies in the one that was asked, or in none."""
    found = resource(arn)
    assert (found.service, found.type, found.region, found.name) == expected


def test_the_tag_name_is_the_name() -> None:
    """It is what the console shows; an empty one is none."""
    assert resource("arn:aws:ec2:us-east-1:1:vpc/vpc-1", Name="main").name == "main"
    assert resource("arn:aws:ec2:us-east-1:1:vpc/vpc-1", Name="").name == "vpc-1"


@pytest.mark.parametrize("text", ["", "i-1", "arn:aws:ec2:us-east-1:1", "arn:aws:ec2:us-east-1:1:"])
def test_what_is_not_an_arn_is_refused(text: str) -> None:
    """The message says so in a sentence."""
    with pytest.raises(ValueError, match=r"is not an ARN\.$"):
        resource(text)


def test_what_cannot_be_stored_is_replaced() -> None:
    """PostgreSQL holds no NUL and no half surrogate; other control characters stay."""
    found = resource("arn:aws:ec2:us-east-1:1:vpc/v\0", **{"a\0": "b\ud800", "c": "\x1b[31m\t"})
    assert found.arn.endswith("v\N{REPLACEMENT CHARACTER}")
    assert found.tags == {"a\N{REPLACEMENT CHARACTER}": "b\N{REPLACEMENT CHARACTER}", "c": "\x1b[31m\t"}


def test_resources_are_sorted_by_region() -> None:
    """A region without a resource counts as read too; one that is named twice is there once."""
    one, two = resource("arn:aws:sns:us-east-1:1:b"), resource("arn:aws:sns:us-east-1:1:a")
    inventory = Inventory.of(
        SourceChoice.TAGGING, [one, two, one], read=["us-east-1", "eu-west-1", GLOBAL], failed={}
    )
    found = {region: content.resources for region, content in inventory.regions.items()}
    assert found == {"us-east-1": (two, one), "eu-west-1": (), GLOBAL: ()}


def test_what_two_regions_show_is_there_once() -> None:
    """In the first of them, whichever was read first: a night in another order changes nothing."""
    both = [resource("arn:aws:s3:::b", region) for region in ("us-east-1", "eu-west-1")]
    for found in (both, both[::-1]):
        regions = Inventory.of(
            SourceChoice.TAGGING, found, read=["us-east-1", "eu-west-1", GLOBAL], failed={}
        ).regions
        assert {region: len(content.resources) for region, content in regions.items()} == {
            "eu-west-1": 1,
            "us-east-1": 0,
            GLOBAL: 0,
        }


def test_nothing_is_known_of_a_failed_region() -> None:
    """What was read of it before it failed is not kept. Of what is global there may be more."""
    found = [resource("arn:aws:sns:us-east-1:1:b"), resource("arn:aws:iam::1:role/r")]
    inventory = Inventory.of(SourceChoice.TAGGING, found, read=["eu-west-1"], failed={"us-east-1": DOWN})
    assert {
        region: (content.resources, content.is_complete) for region, content in inventory.regions.items()
    } == {"eu-west-1": ((), True), GLOBAL: ((found[1],), False)}
    assert inventory.failed == {"us-east-1": DOWN}


def test_a_digest_says_whether_a_region_is_unchanged() -> None:
    """Neither the order of the answer nor of the tags matters; each tag does."""

    def digest(*resources: Resource) -> bytes:
        return (
            Inventory.of(SourceChoice.TAGGING, resources, read=["eu-west-1"], failed={})
            .regions["eu-west-1"]
            .digest
        )

    one, two = resource("arn:aws:s3:::a", x="1", y="2"), resource("arn:aws:s3:::b")
    assert digest(one, two) == digest(two, resource("arn:aws:s3:::a", y="2", x="1"))
    assert len({digest(one, two), digest(one), digest(), digest(resource("arn:aws:s3:::a", x="1"), two)}) == 4
