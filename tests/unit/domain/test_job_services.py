"""Which services run jobs, by the names of Cost Explorer and others in use."""

import pytest

from costbatch.domain.job_services import runs_jobs


@pytest.mark.parametrize(
    "service",
    [
        "AWS Config",
        "AWS Glue",
        "Amazon Elastic MapReduce",
        "Amazon EMR Serverless",
        "AmazonSageMaker",
        "CodeBuild",
        "AWS Import/Export Snowball",
    ],
)
def test_services_of_jobs_are_known_by_each_of_their_names(service: str) -> None:
    """With and without the name of the company and spaces."""
    assert runs_jobs(service)


@pytest.mark.parametrize(
    "service",
    [
        "Amazon Elastic Compute Cloud - Compute",
        "AWS Lambda",
        "AmazonCloudWatch",
        "Amazon Bedrock",
        "AWS AppConfig",
        "Snowflake Data Cloud",
    ],
)
def test_services_that_run_all_the_time_are_none(service: str) -> None:
    """Neither is one whose name only ends like that of a service of jobs."""
    assert not runs_jobs(service)
