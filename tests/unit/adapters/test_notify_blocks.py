"""What Slack, Teams, Discord and ntfy get and take, at servers on loopback in their place."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.ntfy import NotifyNtfy
from apprise.plugins.slack import NotifySlack

from costbatch.application.outbox import Sink
from tests.support.receiver import Receiver, Reply, receiving
from tests.support.sinks import anomaly_event, make_sink
from tests.support.web_servers import certificate

__all__ = ["certificate"]

# Mentions of all three, their Markdown, a tag, a control character, and a link.
HOSTILE = (
    "@everyone @here <!channel> <@U0123> <at>all</at> *bold* **bold** _it_ ||spoiler|| ~~gone~~ `code` "
    "<script>x</script> [text](https://evil.example) https://evil.example \x1b[31m\x07 &lt; \\"
)
ACTIVE = ("@everyone", "@here", "<!", "<@", "<at>", "<script", "://evil", "\x1b", "\x07")
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#costs?blocks=yes"
DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?format=markdown"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Receive in the place of Slack and of Discord."""
    with receiving() as found:
        found.reply = Reply(200, body=b"ok")
        monkeypatch.setattr(NotifySlack, "webhook_url", found.url)
        monkeypatch.setattr(NotifyDiscord, "notify_url", found.url)
        yield found


@pytest.fixture
def teams(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Receive in the place of Power Automate."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with receiving(certificate) as found:
        found.reply = Reply(202)
        yield found


def sink_at(url: str, *, options: str = "") -> Sink:
    """Return a sink with this address."""
    return make_sink(f"type: notify\nurl: {{secret_env: URL}}\n{options}", {"URL": url})


def workflow(receiver: Receiver) -> str:
    """Return the address of a workflow at a receiver."""
    return receiver.url.replace("https://", "workflows://") + "/643e69f83c8944/iXvpm2dRqVSfqGcLJ"


def text_of(card: Any, name: str) -> str:
    """Return the title or the body of what was posted to a workflow."""
    (attachment,) = card["attachments"]
    (text,) = [each["text"] for each in attachment["content"]["body"] if each.get("id") == name]
    assert isinstance(text, str)
    return text


def sent(receiver: Receiver) -> Any:
    """Return the one document that came."""
    (body,) = receiver.bodies
    return json.loads(body)


def texts(document: Any) -> Iterator[str]:
    """Return every text in a document."""
    for each in document.values() if isinstance(document, dict) else document:
        if isinstance(each, str):
            yield each
        elif isinstance(each, (dict, list)):
            yield from texts(each)


def assert_nothing_is_active(document: Any) -> None:
    """A name from outside mentions, links and controls nothing, and what formats text is in code alone."""
    for text in texts(document):
        assert not [part for part in ACTIVE if part in text]


def outside_code(markdown: str) -> str:
    """Return a text without its code spans."""
    return "".join(markdown.split("`")[::2])


def test_slack_gets_a_header_and_a_section(receiver: Receiver) -> None:
    """As Block Kit has them, coloured by the severity."""
    sink_at(SLACK).deliver([anomaly_event(account={"name": HOSTILE})])
    document = sent(receiver)
    assert document["channel"] == "#costs"
    (attachment,) = document["attachments"]
    header, section, *_ = attachment["blocks"]
    assert (header["type"], header["text"]["type"]) == ("header", "plain_text")
    assert header["text"]["text"].startswith("[high] Cost spike: ")
    assert (section["type"], section["text"]["type"]) == ("section", "mrkdwn")
    assert "*Cost:* expected 1,583.28 → actual 2,801.44 USD" in section["text"]["text"]
    assert "bold" not in outside_code(section["text"]["text"])
    assert attachment["color"] == "#A32037"
    assert_nothing_is_active(document)


def test_slack_gets_no_block_that_is_too_long_for_it(receiver: Receiver) -> None:
    """It refuses the whole message for a header over 150 letters or a section over 3,000."""
    name = "a name that is long " * 20
    events = [anomaly_event(n, id=f"{n}", account={"name": f"{name}{n}"}) for n in range(1, 21)]
    sink_at(SLACK).deliver(events[:1])
    sink_at(SLACK).deliver(events)
    documents = [json.loads(body) for body in receiver.bodies]
    assert len(documents) > 3
    for document in documents:
        for block in document["attachments"][0]["blocks"]:
            if block["type"] == "header":
                assert len(block["text"]["text"]) <= 150
            elif block["type"] == "section":
                assert 0 < len(block["text"]["text"]) <= 3_000
    assert all(any(f"{name}{n}"[-12:] in body.decode() for body in receiver.bodies) for n in range(1, 21))


def test_discord_gets_an_embed(receiver: Receiver) -> None:
    """With a title, and coloured by the severity; the message itself mentions nobody."""
    sink_at(DISCORD).deliver([anomaly_event(account={"name": HOSTILE})])
    document = sent(receiver)
    (embed,) = document["embeds"]
    assert embed["title"].startswith("[high] Cost spike: ")
    assert "**Cost:** expected 1,583.28 → actual 2,801.44 USD" in embed["description"]
    assert embed["color"] == 0xA32037
    assert "content" not in document
    assert not set("*`~|\\") & set(embed["title"])
    assert " _it_ " not in embed["title"]
    assert "spoiler" not in outside_code(embed["description"])
    assert_nothing_is_active(document)


def test_teams_gets_an_adaptive_card(teams: Receiver) -> None:
    """Through a workflow of Power Automate: a heading and a text."""
    sink_at(workflow(teams)).deliver([anomaly_event(account={"name": HOSTILE})])
    document = sent(teams)
    (card,) = document["attachments"]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert card["content"]["msteams"] == {"width": "full"}
    title, body = text_of(document, "title"), text_of(document, "body")
    assert title.startswith("[high] Cost spike: ")
    assert not set("*`~|\\") & set(title)
    assert "**Cost:** expected 1,583.28 → actual 2,801.44 USD" in body
    assert "spoiler" not in outside_code(body)
    assert_nothing_is_active(document)


def test_teams_gets_a_large_digest_in_few_cards_and_in_time(teams: Receiver) -> None:
    """None is over 28 kB, however Teams counts letters; there is a pause between two, but a short one."""
    name = "\U0001f4b0" * 47
    events = [anomaly_event(n, id=f"{n}", account={"name": f"{name}-{n:02d}"}) for n in range(1, 21)]
    answer = sink_at(workflow(teams), options="timeout_seconds: 4").deliver(events)
    assert answer == "apprise sent it to workflows."
    assert len(teams.bodies) == 2
    assert max(len(body) for body in teams.bodies) < 28 * 1024
    cards = [json.loads(body) for body in teams.bodies]
    texts = [text_of(card, "body") for card in cards]
    assert all(f"-{n:02d}" in "".join(texts) for n in range(1, 21))
    for body, text in zip(teams.bodies, texts, strict=True):
        # Teams adds 4.5 kB, and stores a letter in up to 4 bytes.
        assert 4 * len(text) + len(body) - len(json.dumps(text)) + 4_500 < 28 * 1024


@pytest.mark.parametrize(
    ("named", "number"),
    [("Überwachung", 20), ("\u0444" * 190, 5), ("\U0001f4b0" * 190, 3), ("\U0001f4b0" * 190, 1)],
    ids=["latin", "cyrillic", "emoji", "emoji alone"],
)
def test_ntfy_gets_messages_and_no_files(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, named: str, number: int
) -> None:
    """It takes 4,096 bytes or more for a file, which it refuses unless it was set up to keep files."""
    monkeypatch.setattr(NotifyNtfy, "cloud_notify_url", receiver.url)
    receiver.reply = Reply(200, body=b"{}")
    trend = [{"date": f"2025-02-{day:02}", "amount": f"{day}", "is_anomalous": False} for day in range(1, 29)]
    names = [f"{named}-{n}" for n in range(number)]
    events = [
        anomaly_event(n, id=f"{n}", account={"name": name}, trend=trend) for n, name in enumerate(names)
    ]
    sink_at("ntfys://costs").deliver(events)
    messages = [json.loads(body)["message"] for body in receiver.bodies]
    assert max(len(each.encode()) for each in messages) < 4096
    assert all(name in "".join(messages) for name in names)
    # apprise sends no message of more than this.
    assert max(map(len, receiver.bodies)) <= NotifyNtfy.ntfy_json_upstream_size_limit
