"""The regions of AWS, by partition, and which of them a new account has."""

from __future__ import annotations

GLOBAL = "global"
AWS, CHINA, GOVCLOUD = "aws", "aws-cn", "aws-us-gov"

# Enabled in every account, the most used first.
DEFAULT_REGIONS = (
    "us-east-1",
    "eu-central-1",
    "us-west-2",
    "eu-west-1",
    "us-east-2",
    "ap-southeast-1",
    "eu-west-2",
    "ap-northeast-1",
    "ap-southeast-2",
    "ap-south-1",
    "ca-central-1",
    "eu-west-3",
    "eu-north-1",
    "sa-east-1",
    "us-west-1",
    "ap-northeast-2",
    "ap-northeast-3",
)
OPT_IN_REGIONS = (
    "af-south-1",
    "ap-east-1",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
)
CHINA_REGIONS = ("cn-north-1", "cn-northwest-1")
GOVCLOUD_REGIONS = ("us-gov-west-1", "us-gov-east-1")
REGIONS = (*DEFAULT_REGIONS, *OPT_IN_REGIONS, *CHINA_REGIONS, *GOVCLOUD_REGIONS)
# The region in which AWS lists the resources that belong to no region.
_HOME = {AWS: "us-east-1", CHINA: "cn-northwest-1", GOVCLOUD: "us-gov-west-1"}
_SUFFIX = {AWS: "amazonaws.com", CHINA: "amazonaws.com.cn", GOVCLOUD: "amazonaws.com"}


def partition_of(region: str) -> str:
    """Return the partition of a region."""
    if region in CHINA_REGIONS:
        return CHINA
    return GOVCLOUD if region in GOVCLOUD_REGIONS else AWS


def regions_of(partition: str) -> tuple[str, ...]:
    """Return every region of a partition, enabled or not."""
    return tuple(region for region in REGIONS if partition_of(region) == partition)


def home_of(partition: str) -> str:
    """Return the region in which AWS lists the resources that belong to no region."""
    return _HOME[partition]


def endpoint_of(service: str, region: str) -> str:
    """Return the host name of a service."""
    return f"{service}.{region}.{_SUFFIX[partition_of(region)]}"
