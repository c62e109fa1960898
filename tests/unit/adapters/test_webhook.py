"""The webhook against real receivers: what they get, whom they can trust, and what they may answer."""

import json
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from cloudevents.http import from_http
from standardwebhooks import Webhook, WebhookVerificationError

from costbatch.adapters.sinks import http
from costbatch.adapters.sinks.http import is_public, parse_retry_after
from costbatch.application.outbox import Sink
from costbatch.errors import DeliveryError
from tests.support.receiver import Receiver, Reply, receiving
from tests.support.sinks import SIGNING, SIGNING_NEW, anomaly_event, make_sink
from tests.support.slow_servers import dripping
from tests.support.web_servers import certificate, closed_port

__all__ = ["certificate", "closed_port"]

NOW = datetime(2025, 3, 12, 6, 30, tzinfo=UTC)
SECRETS = {"SIGN": SIGNING, "SIGN_NEW": SIGNING_NEW, "TOKEN": "bearer-t0ken", "URL": "x"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Receive on loopback."""
    with receiving() as found:
        yield found


def webhook(url: str, *more: str, timeout_seconds: str = "5") -> Sink:
    """Return a webhook to an address inside of the network."""
    lines = [
        "type: webhook",
        f"url: {url}",
        "allow_private: true",
        f"timeout_seconds: {timeout_seconds}",
        *more,
    ]
    return make_sink("\n".join(lines), SECRETS)


def problem_of(sink: Sink) -> DeliveryError:
    """Deliver what is not accepted."""
    with pytest.raises(DeliveryError) as caught:
        sink.deliver([anomaly_event()])
    return caught.value


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_the_receivers_library_reads_the_event(receiver: Receiver, mode: str) -> None:
    """CloudEvents over HTTP, in both modes, whatever is in a subject or a name."""
    event = {**anomaly_event(account={"name": 'é"\n%🚀'}), "subject": 'a/"é"\n% 🚀'}
    assert webhook(f"{receiver.url}/hook?x=1", f"mode: {mode}").deliver([event]).endswith("204 No Content.")
    (asked,) = receiver.asked
    read = from_http(asked.headers, asked.body)
    assert (read["id"], read["type"], read["source"]) == (event["id"], event["type"], "/costbatch")
    assert read.data == event["data"]
    assert (asked.target, asked.headers["user-agent"]) == ("/hook?x=1", "costbatch/1.0")
    if mode == "structured":
        assert read["subject"] == event["subject"]


def test_a_digest_is_a_batch_with_an_id_of_its_own(receiver: Receiver) -> None:
    """One request for a run; the same events make the same id."""
    sink = webhook(receiver.url, "digest: true")
    for _ in range(2):
        sink.deliver([anomaly_event(1), anomaly_event(2)])
    first, second = receiver.asked
    assert first.headers["content-type"].startswith("application/cloudevents-batch+json")
    assert [each["id"] for each in json.loads(first.body)] == [anomaly_event(n)["id"] for n in (1, 2)]
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_both_secrets_sign_during_a_rotation(receiver: Receiver) -> None:
    """A receiver with either verifies with the standard's library; one with another does not."""
    sink = webhook(receiver.url, "secrets: [{secret_env: SIGN}, {secret_env: SIGN_NEW}]")
    sink.deliver([anomaly_event()])
    (asked,) = receiver.asked
    assert asked.headers["webhook-id"] == anomaly_event()["id"]
    for secret in (SIGNING, SIGNING_NEW):
        assert Webhook(secret).verify(asked.body, asked.headers) == anomaly_event()
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "a" * 32).verify(asked.body, asked.headers)


def test_a_token_is_sent_and_a_signature_needs_a_secret(receiver: Receiver) -> None:
    """Each is there if it is configured."""
    webhook(receiver.url, "token: {secret_env: TOKEN}").deliver([anomaly_event()])
    (asked,) = receiver.asked
    assert asked.headers["authorization"] == "Bearer bearer-t0ken"
    assert "webhook-signature" not in asked.headers


@pytest.mark.parametrize(
    ("reply", "sentence", "is_refused"),
    [
        (Reply(500), "answered 500 Internal Server Error.", False),
        (Reply(599), "answered 599.", False),
        (
            Reply(302, {"Location": "http://127.0.0.1:1/"}),
            "answered 302 Found; redirects are not followed, so give the final address.",
            False,
        ),
        (Reply(400, body=b"password: s3cret"), "answered 400 Bad Request.", True),
        (Reply(401), "answered 401 Unauthorized; check its secrets and its token.", False),
        (Reply(413), "answered 413 Request Entity Too Large: the message is too large for it.", True),
        (Reply(raw=b"SSH-2.0-hello\r\n"), "answered something that is not HTTP.", False),
        (Reply(resets=True), "closed the connection without an answer.", False),
    ],
)
def test_an_answer_that_is_no_success_is_a_sentence(
    receiver: Receiver,
    reply: Reply,
    sentence: str,
    *,
    is_refused: bool,
) -> None:
    """With what to do; never with what the receiver said. A redirect is not followed."""
    receiver.reply = reply
    error = problem_of(webhook(receiver.url))
    assert str(error).startswith(f"The webhook at {receiver.url} ")
    assert (sentence in str(error), error.is_refused) == (True, is_refused)
    assert "s3cret" not in str(error)
    assert len(receiver.asked) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("Wed, 12 Mar 2025 06:31:00 GMT", 60),
        ("12 Mar 99999999999 06:31:00", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_has_seconds_or_a_date(header: str, seconds: int | None) -> None:
    """Anything else counts as not given."""
    assert parse_retry_after(header, NOW) == seconds


def test_retry_after_reaches_the_deliverer(receiver: Receiver) -> None:
    """Of any refusal."""
    receiver.reply = Reply(429, {"Retry-After": "7"})
    error = problem_of(webhook(receiver.url))
    assert (error.retry_after_seconds, error.is_refused) == (7, False)


def test_a_receiver_that_hangs_has_one_timeout_for_everything(receiver: Receiver) -> None:
    """Its connection and its silence together."""
    receiver.reply = Reply(hangs=True)
    error = problem_of(webhook(receiver.url, timeout_seconds="0.1"))
    assert str(error).endswith("did not answer within 0.1 seconds.")


def test_a_receiver_that_is_not_there_is_a_sentence(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed port, and a name that does not exist."""
    assert "cannot be reached: Connection refused." in str(
        problem_of(webhook(f"http://127.0.0.1:{closed_port}"))
    )

    def no_name(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    assert "its name does not resolve." in str(problem_of(webhook("http://gone.example")))


def test_an_answer_is_read_up_to_a_limit(receiver: Receiver) -> None:
    """An endless one fills no memory."""
    receiver.reply = Reply(200, {"Content-Length": str(10**12)}, b"x" * 200_000)
    assert webhook(receiver.url).deliver([anomaly_event()]).endswith("200 OK.")


@pytest.mark.parametrize("rest", [b"ff\r\nabc", b"no length\r\nabc"], ids=["cut", "broken"])
def test_the_status_alone_says_whether_it_was_accepted(receiver: Receiver, rest: bytes) -> None:
    """A body that ends in the middle must not send the event again: the receiver has it."""
    receiver.reply = Reply(raw=b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n" + rest)
    assert webhook(receiver.url).deliver([anomaly_event()]).endswith("answered 202 Accepted.")


@pytest.mark.parametrize(
    ("final", "sentence"),
    [
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", None),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "answered 400 Bad Request."),
        (b"", "closed the connection without an answer."),
    ],
)
def test_what_a_receiver_says_before_its_answer_is_no_answer(
    receiver: Receiver, final: bytes, sentence: str | None
) -> None:
    """Information such as 102 or 103 decides nothing: taken for a failure, it would send the event again."""
    early = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    receiver.reply = Reply(raw=early + final)
    sink = webhook(receiver.url)
    if sentence is None:
        assert sink.deliver([anomaly_event()]).endswith("answered 202 Accepted.")
    else:
        assert sentence in str(problem_of(sink))


def test_the_rest_of_an_answer_is_not_waited_for() -> None:
    """If it takes longer than the timeout, the receiver has the event nevertheless."""
    with dripping(headers=False) as url:
        assert webhook(url, timeout_seconds="1").deliver([anomaly_event()]).endswith("answered 200 OK.")


@pytest.mark.parametrize("error", [BrokenPipeError, ConnectionResetError, ssl.SSLEOFError])
def test_an_answer_that_comes_before_all_was_sent_is_read(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    """A receiver need not read what is too large, and may close: a digest is to be divided, not kept."""
    receiver.reply = Reply(413)
    send = HTTPConnection.request

    def request(*args: Any) -> None:
        send(*args)
        raise error

    monkeypatch.setattr(HTTPConnection, "request", request)
    found = problem_of(webhook(receiver.url))
    assert (found.is_refused, found.is_too_large) == (True, True)
    receiver.reply = Reply(resets=True)
    assert str(problem_of(webhook(receiver.url))).endswith("closed the connection without an answer.")


def test_a_message_that_is_too_large_is_not_sent(receiver: Receiver) -> None:
    """It says how large it is; other events may fit."""
    large = anomaly_event(account={"name": "x" * 300_000})
    with pytest.raises(DeliveryError, match=r"has 30\d,\d{3} bytes, more than the limit") as caught:
        webhook(receiver.url).deliver([large])
    assert (caught.value.is_refused, receiver.asked) == (True, [])


def test_a_certificate_must_be_trusted(certificate: Path) -> None:
    """By the usual authorities, or by the file that the configuration names."""
    with receiving(certificate) as receiver:
        error = problem_of(webhook(receiver.url))
        assert "has a certificate that is not trusted: self-signed certificate; see ca_file." in str(error)
        webhook(receiver.url, f"ca_file: {certificate}").deliver([anomaly_event()])
        assert len(receiver.asked) == 1


def test_addresses_inside_of_a_network_are_refused_unless_allowed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is what the name resolves to when the connection is made, whatever it was before."""
    private = f"type: webhook\nurl: {receiver.url}"
    assert "set allow_private: true if that is meant." in str(problem_of(make_sink(private)))
    answers = [[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers[0])
    rebound = make_sink("type: webhook\nurl: http://rebound.example")
    assert "has only addresses inside of a network" in str(problem_of(rebound))
    assert receiver.asked == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *(
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "fe80::1%eth0",
            "fd00:ec2::254",
            "::ffff:10.0.0.1",
            "ff02::1",
        ),
        *("64:ff9b::a00:1", "2002:a00:1::"),
    ],
)
def test_a_private_address_has_many_forms(address: str) -> None:
    """IPv4 inside of IPv6 too, in each way that a gateway translates."""
    assert not is_public(address)


def test_a_public_address_is_public() -> None:
    """In both families."""
    assert all(map(is_public, ("93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822")))


def test_the_host_has_no_port_that_its_scheme_has_anyway(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some receivers know only their name."""
    context = ssl.create_default_context()
    connection = http._Connection("hooks.example.com", 443, seconds=1, context=context, allow_private=True)
    sent: list[bytes] = []
    monkeypatch.setattr(connection, "send", sent.append)
    connection.putrequest("POST", "/hook")
    connection.endheaders()
    assert b"Host: hooks.example.com\r\n" in sent[0]


def test_a_proxy_that_opens_no_tunnel_is_named(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the receiver that answered; this one knows no CONNECT."""
    monkeypatch.setattr(http, "getproxies", lambda: {"https": receiver.url})
    problem = str(problem_of(make_sink("type: webhook\nurl: https://far.example/hook")))
    assert "is behind a proxy that answered 501; check its address and its password." in problem


def test_a_proxy_that_speaks_https_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be spoken to in plain text."""
    monkeypatch.setattr(http, "getproxies", lambda: {"http": "https://proxy.example:3129"})
    problem = str(problem_of(make_sink("type: webhook\nurl: http://far.example/hook")))
    assert "with the scheme https, which is not supported; give the proxy's http:// address." in problem


def test_a_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """As AWS's client does; a literal private address is refused all the same."""
    proxy = receiver.url.replace("http://", "http://me:pass@")
    monkeypatch.setattr(http, "getproxies", lambda: {"http": proxy})
    monkeypatch.setattr(http, "proxy_bypass", lambda host: host == "inside.example")
    make_sink("type: webhook\nurl: http://far.example/hook").deliver([anomaly_event()])
    assert receiver.asked[0].target == "http://far.example/hook"
    assert receiver.asked[0].headers["proxy-authorization"] == "Basic bWU6cGFzcw=="
    monkeypatch.setattr(http, "getproxies", lambda: {"http": receiver.url.removeprefix("http://")})
    make_sink("type: webhook\nurl: http://far.example/hook").deliver([anomaly_event()])
    assert [each.target for each in receiver.asked] == ["http://far.example/hook"] * 2
    assert "inside of a network" in str(problem_of(make_sink("type: webhook\nurl: http://10.0.0.1/")))
