"""SNS against moto: what subscribers receive, what filter policies see, and what is refused."""

import json
from typing import Any
from uuid import UUID

import pytest
from botocore.session import Session

from costbatch.errors import DeliveryError
from tests.support.sinks import anomaly_event, make_sink

LABELS = {f"key-{n:02}": f"value {n}" for n in range(9)}


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Point SNS and SQS to moto; return clients by service."""
    for service in ("SNS", "SQS"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAMOTO")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    session = Session()
    return lambda service: session.create_client(service, region_name="eu-west-1")


def subscribed(aws: Any, name: str = "costs", *, policy: dict[str, Any] | None = None) -> tuple[str, Any]:
    """Return a topic, and a function that returns what a queue behind it has received."""
    fifo = {"FifoTopic": "true"} if name.endswith(".fifo") else {}
    topic = aws("sns").create_topic(Name=name, Attributes=fifo)["TopicArn"]
    queue_attributes = {"FifoQueue": "true"} if fifo else {}
    queue = aws("sqs").create_queue(QueueName=f"q-{name}", Attributes=queue_attributes)["QueueUrl"]
    arn = aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    filters = {"FilterPolicy": json.dumps(policy)} if policy else {}
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=filters)

    def received() -> list[dict[str, Any]]:
        answer = aws("sqs").receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=["All"], WaitTimeSeconds=0
        )
        return [
            {**json.loads(message["Body"]), "sqs": message["Attributes"]}
            for message in answer.get("Messages", [])
        ]

    return topic, received


def test_a_subscriber_receives_the_event_with_its_attributes(aws: Any) -> None:
    """A CloudEvent, ten attributes at most, labels as far as there is room."""
    topic, received = subscribed(aws)
    event = anomaly_event(account={"labels": LABELS}, service="Amazon EC2")
    answer = make_sink(f"type: sns\ntopic_arn: {topic}").deliver([event])
    (message,) = received()
    assert answer == f"SNS accepted it as message {message['MessageId']}."
    assert json.loads(message["Message"]) == event
    attributes = {name: each["Value"] for name, each in message["MessageAttributes"].items()}
    assert attributes == {
        "type": "anomaly.detected",
        "aws_account_id": "100000000001",
        "severity": "high",
        "direction": "spike",
        "service": "Amazon EC2",
        "currency": "USD",
        "impact": "1218.16",
        "label_key-00": "value 0",
        "label_key-01": "value 1",
        "label_key-02": "value 2",
    }


def test_no_label_takes_the_place_of_another(aws: Any) -> None:
    """Two keys that SNS would take for one are two attributes."""
    topic, received = subscribed(aws)
    event = anomaly_event(account={"labels": {"a.b": "1", "a/b": "2"}})
    make_sink(f"type: sns\ntopic_arn: {topic}").deliver([event])
    (message,) = received()
    attributes = {name: each["Value"] for name, each in message["MessageAttributes"].items()}
    assert (attributes["label_a_b"], attributes["label_a_b_2"]) == ("1", "2")


def test_a_filter_policy_chooses(aws: Any) -> None:
    """By label and by severity."""
    policy = {"label_team": ["payments"], "severity": ["high"], "impact": [{"numeric": [">=", 1000]}]}
    topic, received = subscribed(aws, policy=policy)
    sink = make_sink(f"type: sns\ntopic_arn: {topic}")
    sink.deliver([anomaly_event(1)])
    sink.deliver([anomaly_event(2, severity="low")])
    sink.deliver([anomaly_event(3, account={"labels": {"team": "search"}})])
    assert [json.loads(message["Message"])["id"] for message in received()] == [anomaly_event(1)["id"]]


def test_a_fifo_topic_keeps_the_order_of_an_account_and_drops_repeats(aws: Any) -> None:
    """The group is the account, the deduplication id that of the event."""
    topic, received = subscribed(aws, "costs.fifo")
    make_sink(f"type: sns\ntopic_arn: {topic}").deliver([anomaly_event()])
    (message,) = received()
    assert message["sqs"]["MessageGroupId"] == "100000000001"
    assert message["sqs"]["MessageDeduplicationId"] == anomaly_event()["id"]


def test_a_digest_with_a_new_event_is_no_repeat(aws: Any) -> None:
    """A first attempt may have been accepted without an answer: SNS drops its repeat, and nothing else."""
    topic, received = subscribed(aws, "digests.fifo")
    sink = make_sink(f"type: sns\ntopic_arn: {topic}\nformat: text\ndigest: true")
    first, new = anomaly_event(1), anomaly_event(2, id=str(UUID(int=8)))
    for digest in ([first], [first], [first, new]):
        sink.deliver(digest)
    assert [message["Message"].count("search") > 1 for message in received()] == [False, True]


def test_people_get_words_and_a_subject(aws: Any) -> None:
    """For subscriptions by mail; a digest is one message."""
    topic, received = subscribed(aws)
    sink = make_sink(f"type: sns\ntopic_arn: {topic}\nformat: text\ndigest: true")
    sink.deliver([anomaly_event(account={"name": "sütch\n"})])
    sink.deliver([anomaly_event(1), anomaly_event(2, id=str(UUID(int=8)))])
    first, second = received()
    assert first["Subject"].isascii()
    assert first["Subject"].isprintable()
    assert "1,218.16" in first["Message"]
    assert second["Message"].count("search") == 2


def test_a_subject_shows_a_name_as_it_is(aws: Any) -> None:
    """What breaks mentions and links in a text is no question mark in a subject, where nothing is active."""
    topic, received = subscribed(aws)
    sink = make_sink(f"type: sns\ntopic_arn: {topic}\nformat: text")
    sink.deliver([anomaly_event(account={"name": "dev@example.com https://x <!here>"})])
    sink.deliver([anomaly_event(account={"name": "יצור"})])
    message, other = received()
    assert "dev@example.com https://x <!here> (100000000001)" in message["Subject"]
    assert " ???? (100000000001)" in other["Subject"]


def test_a_topic_that_does_not_exist_is_a_sentence(aws: Any) -> None:
    """Without AWS's own words."""
    sink = make_sink("type: sns\ntopic_arn: arn:aws:sns:eu-west-1:123456789012:gone")
    with pytest.raises(DeliveryError, match="gone: the topic does not exist") as caught:
        sink.deliver([anomaly_event()])
    assert not caught.value.is_refused


def test_a_message_above_the_limit_is_not_sent(aws: Any) -> None:
    """SNS would refuse it, and the next one may fit."""
    topic, received = subscribed(aws)
    with pytest.raises(DeliveryError, match=r"SNS takes at most 262,144") as caught:
        make_sink(f"type: sns\ntopic_arn: {topic}").deliver([anomaly_event(account={"name": "x" * 270_000})])
    assert (caught.value.is_refused, received()) == (True, [])


def test_without_an_identity_it_is_a_sentence(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pod has none."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(DeliveryError, match="the pod has no AWS identity"):
        make_sink("type: sns\ntopic_arn: arn:aws:sns:eu-west-1:123456789012:x").deliver([anomaly_event()])
