"""What is paid: requests that AWS charges count; refused ones and those that were never sent do not."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest

from costbatch.simulator.world import Fault
from tests.support.harness import Finished, Harness, make_account
from tests.support.machine import free_port

ONE, TWO, THREE = "100000000001", "100000000002", "100000000003"


def counted(run: Finished, aws_account_id: str = ONE) -> tuple[int, int]:
    """Return the paid requests of an account, and how many of them had no answer."""
    account = run.account(aws_account_id)
    return account["api"]["requests"], account["api_requests_unanswered"]


REFUSED = [
    "access_denied",
    "not_enabled",
    "data_unavailable",
    "limit_exceeded",
    "throttling",
    "validation",
    "http_500",
    "http_503",
]


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_request_costs_nothing(harness: Harness, kind: str) -> None:
    """However often it is refused: in the summary, the tables and the run's record."""
    harness.open(make_account(1, faults=(Fault(kind),)))
    run = harness.collect(COSTBATCH_AWS_MAX_ATTEMPTS="2")
    assert run.account(ONE)["state"] == "failed"
    assert counted(run) == (0, 0)
    assert run.summary["run"]["api"] == {"requests": 0, "cost_usd": "0.00"}
    assert harness.value("SELECT sum(api_requests) FROM run_items") == harness.aws.paid() == 0


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("kind", ["limit_exceeded", "http_503"])
def test_a_request_that_is_answered_in_the_end_is_one(harness: Harness, kind: str, times: int) -> None:
    """Refused first, repeated by botocore or by the run, then answered: one cent."""
    harness.open(make_account(1, faults=(Fault(kind, times=times),)))
    run = harness.collect(COSTBATCH_AWS_MAX_ATTEMPTS="2")
    assert (counted(run), harness.aws.paid()) == ((1, 0), 1)


@pytest.mark.parametrize("fault", [Fault("body", status=404, body="<html>"), Fault("body", status=502)])
def test_a_status_that_is_not_200_costs_nothing(harness: Harness, fault: Fault) -> None:
    """A proxy may have given it, and any text may follow."""
    harness.open(make_account(1, faults=(fault,)))
    assert (counted(harness.collect()), harness.aws.paid()) == ((0, 0), 0)


@pytest.mark.parametrize("kind", ["not_json", "repeat_token"])
def test_an_answer_that_cannot_be_used_is_paid(harness: Harness, kind: str) -> None:
    """AWS answered, so it charges."""
    harness.open(make_account(1, faults=(Fault(kind),)))
    run = harness.collect()
    assert run.outcomes == {ONE: "malformed_response"}
    assert counted(run) == (harness.aws.paid(), 0)
    assert harness.aws.paid() > 0


@pytest.mark.parametrize("kind", ["reset", "hang"])
def test_without_an_answer_every_attempt_may_cost(harness: Harness, kind: str) -> None:
    """Each attempt counts, of botocore and of the run, and the summary says that it may be less."""
    harness.open(make_account(1, faults=(Fault(kind, seconds=30),)), make_account(2))
    usual = {"COSTBATCH_AWS_MAX_ATTEMPTS": "2", "COSTBATCH_AWS_READ_TIMEOUT_SECONDS": "0.5"}
    run = harness.collect(**usual)
    assert run.outcomes == {ONE: "timeout", TWO: "collected"}
    assert counted(run) == (6, 6)
    assert counted(run, TWO) == (1, 0)
    assert run.summary["run"]["api_requests_unanswered"] == 6
    assert harness.value("SELECT sum(api_requests_unanswered) FROM run_items") == 6
    printed = " ".join(harness.run("collect", **usual).stdout.split())
    assert "at most 7 requests, 0.07 USD" in printed


def test_an_attempt_without_an_answer_counts_beside_the_one_that_is_answered(harness: Harness) -> None:
    """The first may have been charged as well."""
    harness.open(make_account(1, faults=(Fault("reset", times=1),)))
    run = harness.collect(COSTBATCH_AWS_MAX_ATTEMPTS="2")
    assert (run.outcomes, counted(run)) == ({ONE: "collected"}, (2, 1))


def test_the_table_does_not_say_at_most_if_all_is_known(harness: Harness) -> None:
    """Refused requests leave no doubt."""
    harness.open(make_account(1), make_account(2, faults=(Fault("access_denied"),)))
    printed = " ".join(harness.run("collect").stdout.split())
    assert "API 1 request, 0.01 USD" in printed
    assert "at most" not in printed


@contextmanager
def _server(answer: bytes) -> Iterator[int]:
    """Listen on a port, and give each connection this answer and an end."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(100_000)
                    connection.sendall(answer)

        Thread(target=serve, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)


def _unsent(harness: Harness, **environ: str) -> None:
    """Collect an account whose Cost Explorer cannot be reached; STS can."""
    harness.open(make_account(1))
    run = harness.collect(AWS_ENDPOINT_URL_STS=harness.aws.url, **environ)
    assert run.outcomes == {ONE: "timeout"}
    assert counted(run) == (0, 0)
    assert harness.aws.paid() == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_refused_connection_costs_nothing(harness: Harness, scheme: str) -> None:
    """Nothing was sent."""
    _unsent(harness, AWS_ENDPOINT_URL_COST_EXPLORER=f"{scheme}://127.0.0.1:{free_port()}")


def test_a_name_that_does_not_resolve_costs_nothing(harness: Harness) -> None:
    """Nothing was sent."""
    _unsent(harness, AWS_ENDPOINT_URL_COST_EXPLORER="http://cost-explorer.invalid")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["plain HTTP", "an end"])
def test_a_handshake_that_fails_costs_nothing(harness: Harness, answer: bytes) -> None:
    """TLS was never agreed on, so that no request was sent."""
    with _server(answer) as port:
        _unsent(harness, AWS_ENDPOINT_URL_COST_EXPLORER=f"https://127.0.0.1:{port}")


def test_a_proxy_that_refuses_costs_nothing(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """It did not let anything through to AWS."""
    with _server(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        _unsent(harness, AWS_ENDPOINT_URL_COST_EXPLORER="https://ce.us-east-1.example.com")


def test_what_is_not_charged_is_given_back_to_the_cap(harness: Harness) -> None:
    """One cent is enough for the third account, because AWS refused the two before it."""
    denied: dict[str, Any] = {"faults": (Fault("access_denied"),)}
    harness.open(make_account(1, **denied), make_account(2, **denied), make_account(3))
    for concurrency in ("1", "3"):
        run = harness.collect("--max-api-cost", "0.01", "--concurrency", concurrency)
        assert run.outcomes == {ONE: "access_denied", TWO: "access_denied", THREE: "collected"}
        assert run.summary["run"]["api"] == {"requests": 1, "cost_usd": "0.01"}


def test_what_may_be_charged_is_not_given_back(harness: Harness) -> None:
    """The cap is never passed: a request without an answer uses it up, also between two attempts."""
    harness.open(make_account(1, faults=(Fault("reset"),)), make_account(2))
    run = harness.collect("--max-api-cost", "0.01", COSTBATCH_AWS_MAX_ATTEMPTS="3")
    assert harness.aws.requests()["total"]["requests"] <= 2 + 1
    assert run.summary["run"]["api"] == {"requests": 1, "cost_usd": "0.01"}
    assert run.outcomes[TWO] == "skipped"
