"""Messages for people through apprise: its JSON target and a mail server, both on loopback."""

import email
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from apprise import NotifyBase
from apprise.plugins.mattermost import NotifyMattermost
from apprise.plugins.pushplus import NotifyPushplus

from costbatch.application.outbox import Sink
from costbatch.errors import ConfigError, DeliveryError
from tests.support.machine import free_port
from tests.support.receiver import Receiver, Reply, receiving
from tests.support.sinks import anomaly_event, event_of_test, make_sink

HOSTILE = "@everyone <!channel> **bold** <script>alert(1)</script> \x1b[31m `x`"


@dataclass
class Mailbox:
    """The mails that came; ``refuses`` is what the server answers instead."""

    mails: list[EmailMessage] = field(default_factory=list)
    refuses: str = ""
    url: str = ""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        if self.refuses:
            return self.refuses
        self.mails.append(email.message_from_bytes(envelope.content, policy=default))
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Run a mail server."""
    box, port = Mailbox(), free_port()
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    box.url = f"mailto://127.0.0.1:{port}?from=costs@example.com&to=team@example.com&mode=insecure"
    yield box
    server.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Receive on loopback."""
    with receiving() as found:
        yield found


def notify(url: str, *, options: str = "") -> Sink:
    """Return a sink with this address."""
    return make_sink(f"type: notify\nurl: {{secret_env: URL}}\n{options}", {"URL": url})


def as_json(receiver: Receiver) -> str:
    """Return the address of apprise's JSON target at a receiver."""
    return receiver.url.replace("http://", "json://user:s3cretpassword@")


def test_a_mail_has_html_and_a_plain_subject(mailbox: Mailbox) -> None:
    """Hostile names arrive as text in both."""
    answer = notify(mailbox.url).deliver([anomaly_event(account={"name": HOSTILE})])
    assert answer == "apprise sent it to mailto."
    (mail,) = mailbox.mails
    body = mail.get_body(("html",))
    assert body is not None
    content = body.get_content()
    assert "&lt;" in content
    assert "<script" not in content
    assert "\x1b" not in content + mail["subject"]
    assert "1,218.16" in content
    assert (mail["from"], mail["to"]) == ("costs@example.com", "team@example.com")


def test_a_mail_of_a_large_digest_is_one_whole_document(mailbox: Mailbox) -> None:
    """A document that is cut in the middle of a table shows nothing of the rest."""
    events = [anomaly_event(n, id=f"{n}", account={"name": f"account-{n}"}) for n in range(1, 21)]
    notify(mailbox.url).deliver(events)
    (mail,) = mailbox.mails
    body = mail.get_body(("html",))
    assert body is not None
    content = body.get_content()
    assert len(content) > NotifyBase.body_maxlen
    assert content.rstrip().endswith("</html>")
    assert all(f"account-{n}" in content for n in range(1, 21))


@pytest.mark.parametrize(("count", "is_document"), [(1, True), (20, False)])
def test_a_document_that_a_service_would_cut_is_sent_as_text(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, count: int, *, is_document: bool
) -> None:
    """Pushplus shows HTML, but at most 20,000 letters of it."""
    monkeypatch.setattr(NotifyPushplus, "notify_url", receiver.url)
    receiver.reply = Reply(200, body=b'{"code": 200}')
    events = [anomaly_event(n, id=f"{n}", account={"name": f"account-{n}"}) for n in range(1, count + 1)]
    notify("pushplus://0123456789abcdef0123456789abcdef").deliver(events)
    text = "".join(json.loads(body)["content"] for body in receiver.bodies)
    assert ("<table" in text) == is_document
    assert all(f"account-{n}" in text for n in range(1, count + 1))


def test_a_digest_is_one_message(receiver: Receiver) -> None:
    """However many anomalies a run has found."""
    sink = notify(as_json(receiver))
    assert sink.is_digest
    sink.deliver([anomaly_event(n, id=f"{n}", account={"name": f"account-{n}"}) for n in range(1, 6)])
    (body,) = receiver.bodies
    document = json.loads(body)
    assert document["type"] == "warning" or document["type"] == "failure"
    assert all(f"account-{n}" in document["message"] for n in range(1, 6))


def test_a_test_says_that_it_is_one(receiver: Receiver) -> None:
    """Or it would wake someone up."""
    notify(as_json(receiver)).deliver([event_of_test()])
    document = json.loads(receiver.bodies[0])
    assert document["title"] == "Test message of costbatch"
    assert "This is a test." in document["message"]


@pytest.mark.parametrize(("overflow", "is_split"), [("split", True), ("truncate", False)])
def test_long_texts_are_split_or_cut(receiver: Receiver, overflow: str, *, is_split: bool) -> None:
    """As the sink says: nothing is refused for its length."""
    url = receiver.url.replace("http://", "mmost://") + "/3ccdd113474722377935511fc85d3dd4"
    receiver.reply = Reply(200, body=b"{}")
    notify(url, options=f"overflow: {overflow}").deliver([anomaly_event(n, id=f"{n}") for n in range(1, 80)])
    assert (len(receiver.asked) > 1) == is_split


@pytest.mark.parametrize("reply", [Reply(500), Reply(403, body=b"s3cretpassword"), Reply(resets=True)])
def test_a_service_that_refuses_is_a_sentence(receiver: Receiver, reply: Reply) -> None:
    """With its scheme only: addresses hold secrets."""
    receiver.reply = reply
    with pytest.raises(DeliveryError) as caught:
        notify(as_json(receiver)).deliver([anomaly_event()])
    assert str(caught.value) == "apprise: json did not accept the message."
    assert (caught.value.is_refused, caught.value.is_unclear) == (False, True)


def test_a_service_that_hangs_is_left_after_its_time(receiver: Receiver) -> None:
    """It delays no other sink, each of which has a thread of its own."""
    receiver.reply = Reply(hangs=True)
    with pytest.raises(
        DeliveryError, match=r"^apprise: json did not answer within 0\.5 seconds\.$"
    ) as caught:
        notify(as_json(receiver), options="timeout_seconds: 0.5").deliver([anomaly_event()])
    assert not caught.value.is_unclear


def test_a_digest_that_takes_too_long_may_be_divided(receiver: Receiver) -> None:
    """It may have too many parts for the time, and would never be sent as a whole."""
    receiver.reply = Reply(hangs=True)
    sink = notify(as_json(receiver), options="timeout_seconds: 0.5")
    with pytest.raises(DeliveryError, match=r"did not answer within 0\.5 seconds") as caught:
        sink.deliver([anomaly_event(n, id=f"{n}") for n in (1, 2)])
    assert caught.value.is_unclear


def test_what_is_left_of_a_message_that_was_given_up_is_not_sent(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent again from its beginning, and nobody needs the rest of the first attempt after that."""
    monkeypatch.setattr(NotifyMattermost, "request_rate_per_sec", 1.0)
    url = receiver.url.replace("http://", "mmost://") + "/3ccdd113474722377935511fc85d3dd4"
    receiver.reply = Reply(200, body=b"{}")
    sink = notify(url, options="timeout_seconds: 0.5")
    # A service that hung in another test has a thread, too.
    others = {*threading.enumerate()}
    with pytest.raises(DeliveryError, match=r"did not answer within 0\.5 seconds"):
        sink.deliver([anomaly_event(n, id=f"{n}") for n in range(1, 80)])
    (sender,) = (each for each in threading.enumerate() if each not in others and each.name == "bounded")
    sender.join(60)
    assert not sender.is_alive()
    assert len(receiver.asked) == 1


def test_a_mail_server_that_refuses_is_a_sentence(mailbox: Mailbox) -> None:
    """It is tried again later."""
    mailbox.refuses = "550 no such user s3cret"
    with pytest.raises(DeliveryError, match=r"^apprise: mailto did not accept the message\.$"):
        notify(mailbox.url).deliver([anomaly_event()])


@pytest.mark.parametrize("scheme", ["slak", "http", "https"])
def test_an_address_that_apprise_cannot_read_is_refused_at_the_start(scheme: str) -> None:
    """Without showing it; of web addresses, apprise knows only those of its services."""
    sentence = f"The sink it has an address that begins with {scheme}:// and that apprise cannot read"
    with pytest.raises(ConfigError, match=sentence) as caught:
        notify(f"{scheme}://T1/B1/s3cret")
    assert "s3cret" not in str(caught.value)


def test_several_addresses_in_one_are_refused_at_the_start() -> None:
    """If one of them failed, all would get the message again."""
    with pytest.raises(ConfigError, match=r"The sink it has 2 addresses; give each a sink of its own\."):
        notify("json://a.example, json://b.example/s3cret")
