"""The operations of AWS that are called besides AssumeRole, and the permission that each needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

COST_EXPLORER, STS = "ce", "sts"
ACCOUNT, EC2 = "account", "ec2"
TAGGING, EXPLORER = "resourcegroupstaggingapi", "resource-explorer-2"
SNS = "sns"
# Every service that is called, and its name in the variable that gives it an endpoint of its own.
SERVICES: Mapping[str, str] = MappingProxyType(
    {
        COST_EXPLORER: "COST_EXPLORER",
        STS: "STS",
        ACCOUNT: "ACCOUNT",
        EC2: "EC2",
        TAGGING: "RESOURCE_GROUPS_TAGGING_API",
        EXPLORER: "RESOURCE_EXPLORER_2",
        SNS: "SNS",
    }
)
# How IAM names a service that botocore names otherwise.
_IAM_PREFIX = {TAGGING: "tag"}


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a service, both as botocore names them.

    example: any valid request of one that is called so often that it takes the fast path; else None.
    """

    service: str
    name: str
    example: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def iam_action(self) -> str:
        """The action that a policy has to allow, such as "tag:GetResources"."""
        return f"{_IAM_PREFIX.get(self.service, self.service)}:{self.name}"


GET_COST_AND_USAGE = Operation(
    COST_EXPLORER,
    "GetCostAndUsage",
    {
        "TimePeriod": {"Start": "2000-01-01", "End": "2000-01-02"},
        "Granularity": "DAILY",
        "Metrics": ["UnblendedCost"],
    },
)
GET_CALLER_IDENTITY = Operation(STS, "GetCallerIdentity", {})
GET_ANOMALIES = Operation(COST_EXPLORER, "GetAnomalies")
LIST_REGIONS = Operation(ACCOUNT, "ListRegions")
DESCRIBE_REGIONS = Operation(EC2, "DescribeRegions")
GET_RESOURCES = Operation(TAGGING, "GetResources", {"ResourcesPerPage": 1})
LIST_INDEXES = Operation(EXPLORER, "ListIndexes")
GET_INDEX = Operation(EXPLORER, "GetIndex")
LIST_VIEWS = Operation(EXPLORER, "ListViews")
GET_VIEW = Operation(EXPLORER, "GetView")
LIST_RESOURCES = Operation(EXPLORER, "ListResources", {"MaxResults": 1})

# What discovery calls, and what for: the policy in the documents and the check of `doctor` are made of it.
DISCOVERY: Mapping[Operation, str] = MappingProxyType(
    {
        LIST_REGIONS: "the enabled regions",
        DESCRIBE_REGIONS: "the enabled regions, if ListRegions is denied",
        GET_RESOURCES: "the resources that have or had tags",
        LIST_INDEXES: "the region of Resource Explorer's aggregator index",
        GET_INDEX: "the regions that the aggregator index covers",
        LIST_VIEWS: "the views of the aggregator index",
        GET_VIEW: "whether a view shows everything",
        LIST_RESOURCES: "the resources of a view",
    }
)
# The services that each job calls.
COST_SERVICES = (COST_EXPLORER, STS)
DISCOVERY_SERVICES = tuple(dict.fromkeys((STS, *(operation.service for operation in DISCOVERY))))
# The permission that each operation needs, by its name.
ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        **{
            operation.name: operation.iam_action
            for operation in (GET_COST_AND_USAGE, GET_CALLER_IDENTITY, GET_ANOMALIES, *DISCOVERY)
        },
        "AssumeRole": "sts:AssumeRole",
    }
)
