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
ANSWERED_IN_THE_END = {
    f"{kind}, {times} times": Fault(kind, times=times)
    for kind in ("limit_exceeded", "http_503")
    for times in (1, 3)
}
NOT_200 = {"404": Fault("body", status=404, body="<html>"), "502": Fault("body", status=502)}
UNUSABLE = ["not_json", "repeat_token"]
# Without an answer, always and once.
LOST = {"reset": Fault("reset"), "hang": Fault("hang", seconds=30), "once": Fault("reset", times=1)}


class Night:
    """A run over an account for each fault; with two attempts of botocore, and three of the run."""

    def __init__(self, harness: Harness, faults: dict[str, Fault], **environ: str) -> None:
        accounts = {
            name: make_account(n, faults=(fault,)) for n, (name, fault) in enumerate(faults.items(), 2)
        }
        self.harness = harness
        self.ids = {name: account.account_id for name, account in accounts.items()}
        # The first account has no fault.
        harness.open(make_account(1), *accounts.values())
        self.run = harness.collect(COSTBATCH_AWS_MAX_ATTEMPTS="2", **environ)
        self.ledger = {name: harness.aws.paid(one) for name, one in self.ids.items()}

    def outcome(self, name: str) -> str:
        """Return how an account ended."""
        return self.run.outcomes[self.ids[name]]

    def counted(self, name: str) -> tuple[int, int]:
        """Return the paid requests of an account, and how many of them had no answer."""
        return counted(self.run, self.ids[name])

    def recorded(self, name: str, column: str) -> int:
        """Return what is stored of an account's requests."""
        query = (
            f"SELECT sum({column}) FROM run_items "
            "WHERE account_id = (SELECT id FROM accounts WHERE aws_account_id = %s)"
        )
        return int(self.harness.value(query, self.ids[name]))


@pytest.fixture(scope="module")
def night(shared: Harness) -> Night:
    """Collect every account once; all of them are answered."""
    plain = {kind: Fault(kind) for kind in (*REFUSED, *UNUSABLE)}
    return Night(shared, {**plain, **ANSWERED_IN_THE_END, **NOT_200})


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_request_costs_nothing(night: Night, kind: str) -> None:
    """However often it is refused: in the summary, the tables and the run's record."""
    assert night.run.account(night.ids[kind])["state"] == "failed"
    assert night.counted(kind) == (0, 0)
    assert night.recorded(kind, "api_requests") == night.ledger[kind] == 0


@pytest.mark.parametrize("case", ANSWERED_IN_THE_END)
def test_a_request_that_is_answered_in_the_end_is_one(night: Night, case: str) -> None:
    """Refused first, repeated by botocore or by the run, then answered: one cent."""
    assert (night.counted(case), night.ledger[case]) == ((1, 0), 1)


@pytest.mark.parametrize("status", NOT_200)
def test_a_status_that_is_not_200_costs_nothing(night: Night, status: str) -> None:
    """A proxy may have given it, and any text may follow."""
    assert (night.counted(status), night.ledger[status]) == ((0, 0), 0)


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_answer_that_cannot_be_used_is_paid(night: Night, kind: str) -> None:
    """AWS answered, so it charges."""
    assert night.outcome(kind) == "malformed_response"
    assert night.counted(kind) == (night.ledger[kind], 0)
    assert night.ledger[kind] > 0


def test_the_run_adds_up_what_its_accounts_cost(night: Night) -> None:
    """In requests and in money, and so does AWS."""
    total = sum(night.ledger.values()) + 1
    assert night.run.summary["run"]["api"] == {"requests": total, "cost_usd": f"{total / 100:.2f}"}


def test_without_an_answer_every_attempt_may_cost(harness: Harness) -> None:
    """Each attempt counts, of botocore and of the run, and the summary says that it may be less."""
    night = Night(harness, LOST, COSTBATCH_AWS_READ_TIMEOUT_SECONDS="1")
    assert [night.outcome(name) for name in LOST] == ["timeout", "timeout", "collected"]
    assert night.counted("reset") == night.counted("hang") == (6, 6)
    # An attempt without an answer counts beside the one that is answered.
    assert night.counted("once") == (2, 1)
    assert counted(night.run) == (1, 0)
    assert night.run.summary["run"]["api_requests_unanswered"] == 13
    assert night.recorded("reset", "api_requests_unanswered") == 6
    again = harness.run("collect", "--account", night.ids["reset"], COSTBATCH_AWS_MAX_ATTEMPTS="2")
    printed = " ".join(again.stdout.split())
    assert "at most 6 requests, 0.06 USD" in printed


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
    run = harness.collect("--account", ONE, AWS_ENDPOINT_URL_STS=harness.aws.url, **environ)
    assert run.outcomes == {ONE: "timeout"}
    assert counted(run) == (0, 0)
    assert harness.aws.paid() == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_refused_connection_costs_nothing(shared: Harness, scheme: str) -> None:
    """Nothing was sent."""
    _unsent(shared, AWS_ENDPOINT_URL_COST_EXPLORER=f"{scheme}://127.0.0.1:{free_port()}")


def test_a_name_that_does_not_resolve_costs_nothing(shared: Harness) -> None:
    """Nothing was sent."""
    _unsent(shared, AWS_ENDPOINT_URL_COST_EXPLORER="http://cost-explorer.invalid")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["plain HTTP", "an end"])
def test_a_handshake_that_fails_costs_nothing(shared: Harness, answer: bytes) -> None:
    """TLS was never agreed on, so that no request was sent."""
    with _server(answer) as port:
        _unsent(shared, AWS_ENDPOINT_URL_COST_EXPLORER=f"https://127.0.0.1:{port}")


def test_a_proxy_that_refuses_costs_nothing(shared: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """It did not let anything through to AWS."""
    with _server(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        _unsent(shared, AWS_ENDPOINT_URL_COST_EXPLORER="https://ce.us-east-1.example.com")


def test_what_is_not_charged_is_given_back_to_the_cap(harness: Harness) -> None:
    """One cent is enough for the third account, because AWS refused the two before it."""
    denied: dict[str, Any] = {"faults": (Fault("access_denied"),)}
    harness.open(make_account(1, **denied), make_account(2, **denied), make_account(3))
    for concurrency in ("1", "3"):
        run = harness.collect("--max-api-cost", "0.01", "--concurrency", concurrency)
        # Of several that wait for the one request, the third may be before the second, which is skipped then.
        denied_or_late = {"access_denied"} if concurrency == "1" else {"access_denied", "skipped"}
        assert run.outcomes[THREE] == "collected"
        assert {run.outcomes[ONE], run.outcomes[TWO]} <= denied_or_late
        assert run.summary["run"]["api"] == {"requests": 1, "cost_usd": "0.01"}


def test_what_may_be_charged_is_not_given_back(harness: Harness) -> None:
    """The cap is never passed: a request without an answer uses it up, also between two attempts."""
    harness.open(make_account(1, faults=(Fault("reset"),)), make_account(2))
    run = harness.collect("--max-api-cost", "0.01", "--concurrency", "1", COSTBATCH_AWS_MAX_ATTEMPTS="3")
    assert harness.aws.requests()["total"]["requests"] <= 2 + 1
    assert run.summary["run"]["api"] == {"requests": 1, "cost_usd": "0.01"}
    assert run.outcomes[TWO] == "skipped"
