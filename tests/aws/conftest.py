"""The servers that stand for AWS, for every test in this folder."""

from tests.support.aws import (
    _clean_environment,
    _no_backoff,
    aws,
    changed_simulator,
    moto,
    moto_url,
    simulator,
    simulator_process,
)
from tests.support.web_servers import answering

__all__ = [
    "_clean_environment",
    "_no_backoff",
    "answering",
    "aws",
    "changed_simulator",
    "moto",
    "moto_url",
    "simulator",
    "simulator_process",
]
