"""The file of sinks: every option reaches its sink, and every mistake is a sentence with its line."""

from decimal import Decimal
from pathlib import Path

import pytest

from costbatch.config import Settings
from costbatch.config.sinks import (
    AlertmanagerOptions,
    Connection,
    NotifyOptions,
    SinkConfig,
    SnsOptions,
    WebhookOptions,
)
from costbatch.domain.credentials import Secret
from costbatch.domain.detection import Direction, Severity
from costbatch.domain.events import EventType
from costbatch.domain.money import Limit
from costbatch.domain.routing import Filter
from costbatch.errors import ConfigError
from costbatch.logs import redact, register_secret
from tests.support.sinks import SIGNING, SIGNING_NEW
from tests.support.web_servers import certificate

__all__ = ["certificate"]

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
ENVIRON = {"SLACK": SLACK, "SIGN_NEW": SIGNING_NEW, "EMPTY": "", "UML": "schlüssel"}


def read(path: Path, text: str, **environ: str) -> Settings:
    """Return the settings with a file of sinks."""
    file = path / "sinks.yaml"
    file.write_text(text)
    return Settings.from_environment({"COSTBATCH_SINKS_FILE": str(file), **ENVIRON, **environ})


def problems(path: Path, text: str) -> list[str]:
    """Return the sentences about a file, without its folder."""
    with pytest.raises(ConfigError) as caught:
        read(path, text)
    return [problem.replace(f"{path}/", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("sink", "is_told"),
    [
        ("{type: log}", True),
        ("{type: webhook, url: 'https://example.com'}", True),
        ("{type: alertmanager, url: 'http://am:9093'}", True),
        ("{type: sns, topic_arn: 'arn:aws:sns:eu-west-1:123456789012:c'}", True),
        ("{type: sns, topic_arn: 'arn:aws:sns:eu-west-1:123456789012:c', format: text}", False),
        ("{type: notify, url: {secret_env: SLACK}}", False),
        ("{type: notify, url: {secret_env: SLACK}, filter: {severity: high}}", False),
        ("{type: notify, url: {secret_env: SLACK}, filter: {types: [anomaly.answered]}}", True),
    ],
)
def test_people_hear_of_answers_only_if_they_ask_for_them(
    tmp_path: Path, sink: str, *, is_told: bool
) -> None:
    """Programs hear of everything, because an alert must end; nobody is paged by an answer."""
    (found,) = read(tmp_path, f"sinks: {{it: {sink}}}").sinks
    taken = {type_ for type_ in EventType if not found.filter.types or type_.value in found.filter.types}
    assert (EventType.ANOMALY_ANSWERED in taken) == is_told
    assert EventType.ANOMALY_DETECTED in taken or found.filter.types == {"anomaly.answered"}


@pytest.mark.parametrize("kind", ["webhook", "alertmanager"])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no certificate", "names a file without a certificate in PEM."),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "names a file with a damaged certificate; write it again, in PEM.",
        ),
        (b"-----BEGIN CERTIFICATE-----\nMII", "names a file with a damaged certificate"),
    ],
)
def test_certificates_are_read_at_the_start(tmp_path: Path, kind: str, content: bytes, problem: str) -> None:
    """Not when the first alert should go out."""
    (tmp_path / "ca.pem").write_bytes(content)
    text = f"sinks:\n  it:\n    type: {kind}\n    url: https://x.example\n    ca_file: {tmp_path}/ca.pem\n"
    (found,) = problems(tmp_path, text)
    assert found.startswith(f"sinks.yaml, line 5: sinks.it.ca_file {problem}")


def test_comments_between_certificates_are_no_damage(tmp_path: Path, certificate: Path) -> None:
    """A bundle of Mozilla's has names in every alphabet."""
    (tmp_path / "ca.pem").write_bytes("# Főtanúsítvány\n".encode() + certificate.read_bytes())
    text = f"sinks: {{it: {{type: webhook, url: 'https://x.example', ca_file: {tmp_path}/ca.pem}}}}"
    assert read(tmp_path, text).sinks[0].name == "it"


def test_every_option_reaches_its_sink(tmp_path: Path, certificate: Path) -> None:
    """Of every type, with a whole filter, and by name."""
    (tmp_path / "sign").write_text(SIGNING + "\n")
    settings = read(
        tmp_path,
        f"""
sinks:
  log: {{type: log}}
  pager:
    type: webhook
    url: https://pager.example.com/hook?x=1
    secrets:
      - secret_file: {tmp_path}/sign
      - secret_env: SIGN_NEW
    token: {{secret_env: SIGN_NEW}}
    mode: binary
    allow_private: true
    connect_timeout_seconds: 1
    timeout_seconds: 2.5
    ca_file: {certificate}
    filter:
      types: [anomaly.detected, anomaly.resolved]
      accounts: ['000000000001', 1234-5678-9012]
      labels: {{team: payments}}
      services: Amazon EC2
      direction: spike
      severity: medium
      minimum: {{USD: 100, JPY: 15000, other: 90.5}}
      minimum_percent: 20
  chat: {{type: notify, url: {{secret_env: SLACK}}, overflow: truncate, digest: false}}
  topic: {{type: sns, topic_arn: "arn:aws:sns:eu-west-1:123456789012:c.fifo", format: text, digest: yes}}
  am: {{type: alertmanager, url: http://alertmanager:9093, firing_days: 3}}
""",
    )
    am, chat, log, pager, topic = settings.sinks
    assert am.options == AlertmanagerOptions(url=Secret("http://alertmanager:9093"), firing_days=3)
    assert chat.options == NotifyOptions(url=Secret(SLACK), overflow="truncate")
    assert (str(chat), str(log), chat.is_digest) == ("chat (notify)", "log", False)
    assert topic == SinkConfig(
        name="topic",
        kind="sns",
        options=SnsOptions(
            topic_arn="arn:aws:sns:eu-west-1:123456789012:c.fifo", region="eu-west-1", as_text=True
        ),
        filter=chat.filter,
        is_digest=True,
    )
    assert pager.options == WebhookOptions(
        url=Secret("https://pager.example.com/hook?x=1"),
        secrets=(Secret(SIGNING), Secret(SIGNING_NEW)),
        token=Secret(SIGNING_NEW),
        is_binary=True,
        connection=Connection(
            connect_timeout_seconds=1, timeout_seconds=2.5, allow_private=True, ca_file=str(certificate)
        ),
    )
    assert pager.filter == Filter(
        types=frozenset({"anomaly.detected", "anomaly.resolved"}),
        accounts=frozenset({"000000000001", "123456789012"}),
        labels=(("team", "payments"),),
        services=frozenset({"Amazon EC2"}),
        direction=Direction.SPIKE,
        severity=Severity.MEDIUM,
        minimum_impact=Limit(Decimal("90.5"), (("JPY", Decimal(15000)), ("USD", Decimal(100)))),
        minimum_percent=Decimal(20),
    )


def test_secrets_of_the_file_are_masked(tmp_path: Path) -> None:
    """Whole and in parts, in every line and every sentence."""
    settings = read(tmp_path, "sinks: {chat: {type: notify, url: {secret_env: SLACK}}}")
    for secret in settings.secrets:
        register_secret(secret)
    assert redact(f"POST {SLACK} failed") == "POST *** failed"
    assert redact("in /TIiajkdnlazkcOXrIdevi7FQ") == "in /***"
    assert SLACK not in repr(settings)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# nothing\n", "sinks.yaml is empty; it must have the key sinks."),
        ("log\n", "sinks.yaml, line 1: it must be a mapping, such as NAME: followed by indented keys."),
        ("sinks: [\n", "sinks.yaml, line 1: it is not YAML; check the indentation and quotes."),
        ("[" * 600, "it is not YAML; check the indentation and quotes."),
        ("sinks: {}\nsink: {}\n", "sinks.yaml, line 2: sink is not a key here; did you mean sinks?"),
        ("sinks:\n  a: {type: log}\n  a: {type: log}\n", "line 3: sinks.a is given twice, first in line 2."),
        ("sinks:\n  A b: {type: log}\n", "line 2: sinks.A b is not a name: 1 to 63 small letters"),
        ("sinks:\n  a: {}\n", "line 2: sinks.a needs the key type."),
        ("sinks:\n  a:\n    type: webhok\n", "line 3: sinks.a.type must be one of log, webhook, sns"),
        (
            "sinks:\n  a:\n    type: log\n    filtr: {}\n",
            "line 4: sinks.a.filtr is not a key here; did you mean filter?",
        ),
        ("sinks:\n  a:\n    type: webhook\n", "line 3: sinks.a needs the key url."),
        (
            "sinks:\n  a:\n    type: webhook\n    url: https://me:pass@x.example/\n",
            "line 4: sinks.a.url must have neither a user nor a fragment",
        ),
        (
            "sinks:\n  a:\n    type: webhook\n    url: https://x.example/T00000000/Bz1ZzzzzzzzzzzzzzzzzzzzzzzzZ\n",
            "line 4: sinks.a.url looks as if it holds a secret; give secret_file or secret_env instead.",
        ),
        (
            "sinks:\n  a:\n    type: webhook\n    url: https://x.example\n    secrets: whsec_hunter2\n",
            "line 5: sinks.a.secrets is a secret and must not be written into this file; give secret_file",
        ),
        (
            "sinks:\n  a:\n    type: webhook\n    url: {secret_fil: x}\n",
            "line 4: sinks.a.url.secret_fil is not a key here; did you mean secret_file?",
        ),
        (
            "sinks:\n  a:\n    type: webhook\n    url: {secret_file: /gone/url}\n",
            "line 4: sinks.a.url.secret_file names /gone/url, which cannot be read: No such file",
        ),
        (
            "sinks:\n  a:\n    type: webhook\n    url: {secret_env: EMPTY}\n",
            "line 4: sinks.a.url.secret_env names the variable 'EMPTY', which is not set.",
        ),
        (
            "sinks:\n  a:\n    type: webhook\n    url: https://x.example\n    secrets: {secret_env: SLACK}\n",
            "line 5: sinks.a.secrets must be whsec_ and base64 of 24 to 64 bytes",
        ),
        *(
            (
                (
                    f"sinks:\n  a:\n    type: {kind}\n    url: https://x.example\n"
                    "    token: {secret_env: UML}\n"
                ),
                "line 5: sinks.a.token must have only letters, digits and signs of ASCII, and no spaces.",
            )
            for kind in ("webhook", "alertmanager")
        ),
        (
            "sinks:\n  a:\n    type: webhook\n    url: https://x.example\n    ca_file: /gone\n",
            "line 5: sinks.a.ca_file names a file that cannot be read: No such file or directory.",
        ),
        (
            "sinks:\n  a:\n    type: webhook\n    url: https://x.io\n    digest: true\n    mode: binary\n",
            "line 6: sinks.a.mode must be structured for a digest",
        ),
        (
            "sinks:\n  a:\n    type: webhook\n    url: https://x.example\n    timeout_seconds: 61\n",
            "line 5: sinks.a.timeout_seconds must be a number from 0.1 to 60, not '61'.",
        ),
        (
            "sinks:\n  a:\n    type: sns\n    topic_arn: costs\n",
            "line 4: sinks.a.topic_arn must look like arn:aws:sns:",
        ),
        (
            "sinks:\n  a:\n    type: sns\n    topic_arn: arn:aws:sns:x:123456789012:c\n    digest: true\n",
            "line 5: sinks.a.digest needs format: text",
        ),
        ("sinks:\n  a:\n    type: notify\n    url: []\n", "line 4: sinks.a.url must be one secret."),
        (
            "sinks:\n  a:\n    type: notify\n    url: {secret_env: SIGN_NEW}\n",
            "line 4: sinks.a.url must be an address of apprise",
        ),
        (
            "sinks:\n  a:\n    type: log\n    filter:\n      severity: hgh\n",
            "line 5: sinks.a.filter.severity must be one of low, medium, high; it is 'hgh'.",
        ),
        (
            "sinks:\n  a:\n    type: log\n    filter:\n      types: [anomaly.detected, anomaly]\n",
            "line 5: sinks.a.filter.types must be one of anomaly.detected",
        ),
        (
            "sinks:\n  a:\n    type: log\n    filter:\n      minimum: {usd: 1}\n",
            "line 5: sinks.a.filter.minimum has 'usd', which is neither a currency such as USD nor other.",
        ),
        (
            "sinks:\n  a:\n    type: log\n    filter:\n      labels: {team: <x>}\n",
            "line 5: sinks.a.filter.labels is wrong: '<x>' is not the value of a label",
        ),
        (
            "sinks:\n  a:\n    type: log\n    filter:\n      accounts: [12]\n",
            "line 5: sinks.a.filter.accounts is wrong: '12' is not an AWS account id",
        ),
    ],
)
def test_a_mistake_is_a_sentence_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    """And with its key, and what is right; never with a secret."""
    (found,) = problems(tmp_path, text)
    assert sentence in found
    assert found.startswith("sinks.yaml")
    assert "hunter2" not in found


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Of the file and of the other variables."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "sinks:\n  a: {}\n  b: {type: log, x: 1}\n", COSTBATCH_CONCURRENCY="0")
    assert len(caught.value.problems) == 3


def test_the_variable_and_the_file_exclude_each_other(tmp_path: Path) -> None:
    """As with every variable."""
    with pytest.raises(ConfigError, match="Both COSTBATCH_SINKS and COSTBATCH_SINKS_FILE are set"):
        read(tmp_path, "sinks: {}", COSTBATCH_SINKS="log")


def test_a_file_can_have_no_sinks(tmp_path: Path) -> None:
    """Then nothing is delivered."""
    assert read(tmp_path, "sinks: {}\n").sinks == ()
