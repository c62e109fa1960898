"""The AWS services that an account uses: names, weights, first days and patterns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from costbatch.simulator.noise import draws

COMPUTE = "Amazon Elastic Compute Cloud - Compute"
DATABASE = "Amazon Relational Database Service"
SUPPORT = "AWS Support (Business)"
SAVINGS_PLANS = "Savings Plans for AWS Compute usage"
TAX = "Tax"

NAMES = (
    COMPUTE,
    DATABASE,
    "Amazon Simple Storage Service",
    "EC2 - Other",
    "AWS Lambda",
    "AmazonCloudWatch",
    "Amazon Elastic Load Balancing",
    "Amazon DynamoDB",
    "Amazon Virtual Private Cloud",
    "Amazon ElastiCache",
    "Amazon CloudFront",
    "Amazon Elastic Container Service for Kubernetes",
    "Amazon Redshift",
    "AWS Glue",
    "Amazon OpenSearch Service",
    "Amazon Route 53",
    "AWS Key Management Service",
    "Amazon Elastic File System",
    "Amazon Simple Queue Service",
    "Amazon Simple Notification Service",
    "AWS CloudTrail",
    "AWS Config",
    "Amazon GuardDuty",
    "AWS Secrets Manager",
    "Amazon EC2 Container Registry (ECR)",
    "Amazon API Gateway",
    "Amazon Kinesis",
    "Amazon SageMaker",
    "Amazon Bedrock",
    "AWS Step Functions",
    "AWS WAF",
    "Amazon Athena",
    "AWS Backup",
    "Amazon Elastic MapReduce",
    "AWS Direct Connect",
    "Amazon Managed Streaming for Apache Kafka",
    "AWS Transfer Family",
    "Amazon WorkSpaces",
    "AWS Database Migration Service",
    "Amazon Cognito",
    "AWS Cost Explorer",
    "AWS X-Ray",
    "AWS CodeBuild",
    "Amazon Inspector",
    "AWS Security Hub",
    "Amazon Simple Email Service",
    "CodePipeline",
    "Amazon Macie",
    "AWS Systems Manager",
    "Amazon Kendra",
)
# The first services are large and always there; only the tail is new, sparse or slow to be reported.
ALWAYS_PRESENT = 4
TRACE_FROM = 8
TRACE_COST = 4e-9
APPEARS_WITHIN_DAYS = 380


@dataclass(frozen=True, slots=True)
class Service:
    """One service of one account: its share of the daily cost and when it is used."""

    name: str
    weight: float
    presence: float
    first_day: date
    usage_per_cost: float
    trace: bool = False


@lru_cache(maxsize=4096)
def services_of(identity: str, count: int, *, start: date, uniform: bool) -> tuple[Service, ...]:
    """List an account's services, largest first. The last ones cost almost nothing, as on real bills."""
    total = sum(_zipf(rank) for rank in range(count))
    return tuple(
        _service(identity, rank, weight=_zipf(rank) / total, start=start, uniform=uniform, count=count)
        for rank in range(count)
    )


def _zipf(rank: int) -> float:
    return 1.0 / (rank + 1.0)


def _service(identity: str, rank: int, *, weight: float, start: date, uniform: bool, count: int) -> Service:
    habit, moment, rate, *_ = draws(f"{identity}|service|{rank}")
    steady = uniform or rank < ALWAYS_PRESENT
    appears = 0 if steady or habit > 1 / 6 else int(moment * APPEARS_WITHIN_DAYS)
    return Service(
        name=NAMES[rank] if rank < len(NAMES) else f"AWS Service {rank + 1}",
        weight=weight,
        presence=0.15 if not steady and habit > 5 / 6 else 1.0,
        first_day=start + timedelta(days=appears),
        usage_per_cost=0.5 + 40.0 * rate,
        trace=rank >= TRACE_FROM and rank == count - 1,
    )
