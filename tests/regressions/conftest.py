"""The fixtures of the whole program, as in tests/e2e."""

from tests.support.harness import aws, harness
from tests.support.programs import promtool
from tests.support.pushgateway import gateway_url
from tests.support.second_database import second
from tests.support.web_servers import answering, answering_over_tls, certificate, closed_port, silent_port

__all__ = [
    "answering",
    "answering_over_tls",
    "aws",
    "certificate",
    "closed_port",
    "gateway_url",
    "harness",
    "promtool",
    "second",
    "silent_port",
]
