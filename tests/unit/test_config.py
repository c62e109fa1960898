"""The settings: every variable, and a sentence for everything that can be wrong with one."""

import base64
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from costbatch.config import VARIABLES, FailOn, Settings
from costbatch.config.sinks import LOG
from costbatch.domain.adaptive_rule import AdaptiveRule, Sensitivity
from costbatch.domain.costs import CostBasis
from costbatch.domain.credentials import Secret
from costbatch.domain.detection import DetectorName, Rule
from costbatch.domain.links import LinkTemplate
from costbatch.domain.money import Limit
from costbatch.domain.overrides import DetectionOverride
from costbatch.domain.periods import WindowPolicy
from costbatch.domain.resources import SourceChoice
from costbatch.errors import ConfigError

KEY = bytes(range(32))
URL = "postgresql://cost:hunter2@db:5432/costs"


def read(**environ: str) -> Settings:
    """Return the settings of an environment."""
    return Settings.from_environment(environ)


def sentences_of(environ: Mapping[str, str]) -> str:
    """Return what an environment earns, if it earns anything."""
    try:
        Settings.from_environment(environ)
    except ConfigError as error:
        return str(error)
    return ""


def problems(environ: Mapping[str, str]) -> list[str]:
    """Return the sentences that an environment earns."""
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment(environ)
    return list(caught.value.problems)


def test_an_empty_environment_gives_the_defaults() -> None:
    """Nothing has to be set for the settings themselves to be read."""
    assert read() == Settings()


def test_the_defaults_are_the_domains_own() -> None:
    """The rule and the window policy have one set of defaults."""
    assert (read().rule, read().window_policy) == (Rule(), WindowPolicy())


def test_an_empty_variable_counts_as_unset() -> None:
    """A template that leaves a value empty asks for the default."""
    assert read(COSTBATCH_CONCURRENCY="", DATABASE_URL="", COSTBATCH_NONSENSE="") == Settings()


GIVEN = [
    ("DATABASE_URL", URL, "database_url", Secret("postgresql://cost:hunter2@db:5432/costs")),
    ("DATABASE_URL", "postgres://db/costs", "database_url", Secret("postgresql://db/costs")),
    (
        "DATABASE_URL",
        "postgresql:///costs?host=/run/pg\n",
        "database_url",
        Secret("postgresql:///costs?host=/run/pg"),
    ),
    ("ENCRYPTION_KEY", KEY.hex(), "encryption_key", Secret(KEY.hex())),
    ("PUSHGATEWAY_URL", "http://push:9091/", "pushgateway_url", Secret("http://push:9091")),
    ("COSTBATCH_PUSH_TIMEOUT_SECONDS", "0.5", "push_timeout_seconds", 0.5),
    (
        "COSTBATCH_PUSH_LABELS",
        "release=costs, namespace = finops,",
        "push_labels",
        ("namespace=finops", "release=costs"),
    ),
    ("COSTBATCH_PUSH_LABELS", "none", "push_labels", ()),
    ("COSTBATCH_CONCURRENCY", "256", "concurrency", 256),
    ("COSTBATCH_WINDOW_DAYS", "40", "window_days", 40),
    ("COSTBATCH_HISTORY_MONTHS", "0", "history_months", 0),
    ("COSTBATCH_MONTH_CLOSE_DAY", "0", "month_close_day", 0),
    ("COSTBATCH_KEEP_MONTHS", "37", "keep_months", 37),
    ("COSTBATCH_VANISHED_RATIO", "100%", "vanished_ratio", Decimal(1)),
    ("COSTBATCH_FAIL_ON", "Partial", "fail_on", FailOn.PARTIAL),
    ("COSTBATCH_MAX_API_COST_USD", "1.50", "max_api_cost_usd", Decimal("1.50")),
    ("COSTBATCH_RUN_KEY", "8d0c-41", "run_key", "8d0c-41"),
    ("COSTBATCH_RETRY_PAUSE_SECONDS", "0", "retry_pause_seconds", 0.0),
    ("COSTBATCH_LEASE_SECONDS", "60", "lease_seconds", 60.0),
    ("COSTBATCH_DEADLINE_SECONDS", "14400", "deadline_seconds", 14400.0),
    ("COSTBATCH_GRACE_SECONDS", "5", "grace_seconds", 5.0),
    ("COSTBATCH_AWS_CONNECT_TIMEOUT_SECONDS", "3", "aws_connect_timeout_seconds", 3.0),
    ("COSTBATCH_AWS_READ_TIMEOUT_SECONDS", "30", "aws_read_timeout_seconds", 30.0),
    ("COSTBATCH_AWS_MAX_ATTEMPTS", "1", "aws_max_attempts", 1),
    ("COSTBATCH_PAGE_LIMIT", "7", "page_limit", 7),
    ("COSTBATCH_ANOMALY_THRESHOLD", "0.25", "anomaly_threshold", Decimal("0.25")),
    ("COSTBATCH_ANOMALY_THRESHOLD", "25%", "anomaly_threshold", Decimal("0.25")),
    ("COSTBATCH_ANOMALY_THRESHOLD", " 25 % ", "anomaly_threshold", Decimal("0.25")),
    ("COSTBATCH_ANOMALY_BASELINE_DAYS", "14", "anomaly_baseline_days", 14),
    ("COSTBATCH_ANOMALY_MINIMUM_HISTORY_DAYS", "3", "anomaly_minimum_history_days", 3),
    ("COSTBATCH_ANOMALY_FLOOR", "0.01", "anomaly_floor", Limit(Decimal("0.01"))),
    ("COSTBATCH_ANOMALY_SETTLE_DAYS", "0", "anomaly_settle_days", 0),
    ("COSTBATCH_ANOMALY_COST_BASIS", "amortized", "anomaly_cost_basis", CostBasis.AMORTIZED),
    (
        "COSTBATCH_ANOMALY_EXCLUDED_RECORD_TYPES",
        "Tax, Fee,",
        "anomaly_excluded_record_types",
        frozenset({"Tax", "Fee"}),
    ),
    ("COSTBATCH_ANOMALY_EXCLUDED_RECORD_TYPES", "none", "anomaly_excluded_record_types", frozenset()),
    ("COSTBATCH_ANOMALY_PER_SERVICE", "true", "anomaly_per_service", True),
    ("COSTBATCH_ANOMALY_MEDIUM_IMPACT", "50", "anomaly_medium_impact", Limit(Decimal(50))),
    ("COSTBATCH_ANOMALY_HIGH_IMPACT", "500", "anomaly_high_impact", Limit(Decimal(500))),
    ("COSTBATCH_ANOMALY_LEVEL_MARGIN", "10%", "anomaly_level_margin", Decimal("0.1")),
    ("COSTBATCH_REMIND_DAYS", "7", "remind_days", 7),
    ("COSTBATCH_RESOURCE_SOURCE", "Tagging", "resource_source", SourceChoice.TAGGING),
    ("COSTBATCH_REGIONS", "eu-west-1, us-east-1,", "regions", frozenset({"eu-west-1", "us-east-1"})),
    ("COSTBATCH_REGIONS", "none", "regions", frozenset()),
    ("COSTBATCH_EXPECTED_REGIONS", "eu-west-1", "expected_regions", frozenset({"eu-west-1"})),
    ("COSTBATCH_REQUIRED_TAGS", "team, Cost Center", "required_tags", frozenset({"team", "Cost Center"})),
    ("COSTBATCH_DETECTOR", "adaptive", "detector", DetectorName.ADAPTIVE),
    ("COSTBATCH_SENSITIVITY", "High", "sensitivity", Sensitivity.HIGH),
    (
        "COSTBATCH_ROOT_CAUSE_MINIMUM",
        "EUR=50",
        "root_cause_minimum",
        Limit(None, (("EUR", Decimal(50)),)),
    ),
    (
        "COSTBATCH_DETECTION_OVERRIDES",
        "quiet: {labels: {env: test}, sensitivity: low}",
        "detection_overrides",
        (DetectionOverride(name="quiet", labels=(("env", "test"),), sensitivity=Sensitivity.LOW),),
    ),
    ("COSTBATCH_FIRST_CHARGE_FLOOR", "0.5", "first_charge_floor", Limit(Decimal("0.5"))),
    (
        "COSTBATCH_DORMANT_ACCOUNTS",
        "111122223333, 0000-0000-0001",
        "dormant_accounts",
        frozenset({"111122223333", "000000000001"}),
    ),
    ("COSTBATCH_SINKS", "log", "sinks", (LOG,)),
    ("COSTBATCH_DELIVERY_ATTEMPTS", "3", "delivery_attempts", 3),
    ("COSTBATCH_DELIVERY_SECONDS", "30", "delivery_seconds", 30.0),
    (
        "COSTBATCH_LINK_TEMPLATE",
        "https://x.example/{service}",
        "link_template",
        LinkTemplate("https://x.example/{service}"),
    ),
    ("COSTBATCH_ACCOUNT_METRICS", "off", "account_metrics", False),
    ("COSTBATCH_LOG_LEVEL", "DEBUG", "log_level", "debug"),
    ("COSTBATCH_LOG_FORMAT", "json", "log_format", "json"),
]


def test_what_is_not_set_depends_on_the_detector() -> None:
    """Each detector has limits of its own, for levels of answers too; one that is given is that of both."""
    assert (read().rule.threshold_ratio, read().rule.floor) == (Decimal("0.5"), Limit(Decimal(1)))
    adaptive = read(COSTBATCH_DETECTOR="adaptive").rule
    assert (adaptive.threshold_ratio, adaptive.floor) == (Decimal("0.25"), Limit(Decimal(3)))
    assert read().adaptive_rule() == AdaptiveRule()
    given = read(
        COSTBATCH_ANOMALY_THRESHOLD="40%",
        COSTBATCH_ANOMALY_FLOOR="7",
        COSTBATCH_ANOMALY_HIGH_IMPACT="800",
        COSTBATCH_SENSITIVITY="low",
    )
    assert (given.rule.threshold_ratio, given.rule.floor) == (Decimal("0.4"), Limit(Decimal(7)))
    assert given.adaptive_rule() == AdaptiveRule(
        sensitivity=Sensitivity.LOW,
        minimum_ratio=0.4,
        floor=Limit(Decimal(7)),
        high_impact=Limit(Decimal(800)),
    )


def test_a_limit_of_some_currencies_leaves_the_others_as_without_it() -> None:
    """The smallest difference is that of the detector; without a minimum no root cause is asked for."""
    given = {"COSTBATCH_ANOMALY_FLOOR": "JPY=450", "COSTBATCH_ROOT_CAUSE_MINIMUM": "EUR=200"}
    settings = read(COSTBATCH_DETECTOR="adaptive", **given)
    for floor in (settings.rule.floor, settings.adaptive_rule().floor):
        assert (floor.of("JPY"), floor.of("USD")) == (Decimal(450), Decimal(3))
    plain = read(**given).rule.floor
    assert (plain.of("JPY"), plain.of("USD")) == (Decimal(450), Decimal(1))
    causes = settings.cause_policy
    assert causes is not None
    assert (causes.minimum.of("EUR"), causes.minimum.of("USD")) == (Decimal(200), Decimal("Infinity"))
    assert str(causes.minimum) == "EUR=200"


def test_the_adaptive_detector_has_its_own_days_of_waiting() -> None:
    """It learns a day when it is two days old, whatever the other rule waits for."""
    assert read(COSTBATCH_ANOMALY_SETTLE_DAYS="4").rule.settle_days == 4
    adaptive = read(COSTBATCH_ANOMALY_SETTLE_DAYS="4", COSTBATCH_DETECTOR="adaptive")
    assert adaptive.rule.settle_days == 2


@pytest.mark.parametrize(("name", "text", "field", "expected"), GIVEN)
def test_a_variable_sets_its_field(name: str, text: str, field: str, expected: object) -> None:
    """Each variable reaches its field, typed."""
    settings = read(**{name: text})
    assert getattr(settings, field) == expected
    assert type(getattr(settings, field)) is type(expected)
    assert settings.sources == {name: "environment"}


# The file of the sinks is YAML: see test_sinks_file.py.
@pytest.mark.parametrize(
    ("name", "text", "field", "expected"), [given for given in GIVEN if given[0] != "COSTBATCH_SINKS"]
)
def test_a_variable_can_come_from_a_file(
    tmp_path: Path, name: str, text: str, field: str, expected: object
) -> None:
    """NAME_FILE names a file that holds the value; its last newline does not count."""
    path = tmp_path / "value"
    path.write_text(text + "\n")
    settings = read(**{f"{name}_FILE": str(path)})
    assert getattr(settings, field) == expected
    assert settings.sources == {name: f"file {path}"}


def test_every_variable_is_covered_and_described() -> None:
    """No variable is untested, and each has a sentence."""
    assert {variable.name for variable in VARIABLES} == {name for name, *_ in GIVEN}
    assert all(variable.description.endswith(".") for variable in VARIABLES)


def test_exactly_the_three_variables_that_hold_secrets_are_marked() -> None:
    """Whoever prints the table knows what to mask."""
    secret = {variable.name for variable in VARIABLES if variable.is_secret}
    assert secret == {"DATABASE_URL", "ENCRYPTION_KEY", "PUSHGATEWAY_URL"}


SENTENCES = [
    ("COSTBATCH_CONCURRENCY", "0", "COSTBATCH_CONCURRENCY must be a whole number from 1 to 256, not '0'."),
    (
        "COSTBATCH_CONCURRENCY",
        "257",
        "COSTBATCH_CONCURRENCY must be a whole number from 1 to 256, not '257'.",
    ),
    (
        "COSTBATCH_CONCURRENCY",
        "8.0",
        "COSTBATCH_CONCURRENCY must be a whole number from 1 to 256, not '8.0'.",
    ),
    (
        "COSTBATCH_CONCURRENCY",
        "1_0",
        "COSTBATCH_CONCURRENCY must be a whole number from 1 to 256, not '1_0'.",
    ),
    (
        "COSTBATCH_WINDOW_DAYS",
        "9999999999",
        "COSTBATCH_WINDOW_DAYS must be a whole number from 1 to 1000, not '9999999999'.",
    ),
    (
        "COSTBATCH_ANOMALY_FLOOR",
        "NaN",
        "COSTBATCH_ANOMALY_FLOOR must be a number from 0 to 1000000000, not 'NaN'.",
    ),
    (
        "COSTBATCH_DEADLINE_SECONDS",
        "0",
        "COSTBATCH_DEADLINE_SECONDS must be a number from 0.1 to 604800, not '0'.",
    ),
    (
        "COSTBATCH_KEEP_MONTHS",
        "3 years",
        "COSTBATCH_KEEP_MONTHS must be a whole number from 1 to 1200, not '3 years'.",
    ),
    (
        "COSTBATCH_KEEP_MONTHS",
        "2",
        (
            "COSTBATCH_KEEP_MONTHS must be at least 3 months, because that is how far back a run reads again "
            "and compares; it is 2."
        ),
    ),
    ("COSTBATCH_GRACE_SECONDS", "-1", "COSTBATCH_GRACE_SECONDS must be a number from 0 to 3600, not '-1'."),
    (
        "COSTBATCH_ANOMALY_THRESHOLD",
        "half",
        "COSTBATCH_ANOMALY_THRESHOLD must be a ratio such as 0.5 or a percentage such as 50%, not 'half'.",
    ),
    (
        "COSTBATCH_ANOMALY_THRESHOLD",
        "50",
        "COSTBATCH_ANOMALY_THRESHOLD must be at most 10 or 1000%, not '50'; percentages end with %.",
    ),
    (
        "COSTBATCH_VANISHED_RATIO",
        "101%",
        "COSTBATCH_VANISHED_RATIO must be at most 1 or 100%, not '101%'.",
    ),
    (
        "COSTBATCH_ANOMALY_PER_SERVICE",
        "maybe",
        "COSTBATCH_ANOMALY_PER_SERVICE must be true or false, not 'maybe'.",
    ),
    ("COSTBATCH_FAIL_ON", "never", "COSTBATCH_FAIL_ON must be one of total, partial; it is 'never'."),
    (
        "COSTBATCH_SINKS",
        "log,pager",
        (
            "COSTBATCH_SINKS must be log or none, not 'pager'; describe other sinks in a YAML file and set "
            "COSTBATCH_SINKS_FILE to its path."
        ),
    ),
    (
        "COSTBATCH_DORMANT_ACCOUNTS",
        "123456789012,12",
        "COSTBATCH_DORMANT_ACCOUNTS has '12', which is not an AWS account id: it must have 12 digits.",
    ),
    (
        "COSTBATCH_PUSH_LABELS",
        "finops",
        (
            "COSTBATCH_PUSH_LABELS must be pairs such as namespace=finops,release=costbatch; "
            "'finops' has no =."
        ),
    ),
    (
        "COSTBATCH_RUN_KEY",
        "two words",
        "COSTBATCH_RUN_KEY must be 1 to 200 printable ASCII characters without spaces.",
    ),
    ("PUSHGATEWAY_URL", "push:9091", "PUSHGATEWAY_URL must be a URL such as http://pushgateway:9091."),
    ("PUSHGATEWAY_URL", "http://[::1", "PUSHGATEWAY_URL must be a URL such as http://pushgateway:9091."),
    *(
        (
            "PUSHGATEWAY_URL",
            url,
            (
                "PUSHGATEWAY_URL must have neither a query (?) nor a fragment (#), which a push leaves out; "
                "write these characters of a password as %3F and %23."
            ),
        )
        for url in ("https://gw/?token=t0ken", "https://gw:9091?", "https://gw/#t0ken", "https://u:a#b@gw/")
    ),
    (
        "COSTBATCH_CONCURENCY",
        "3",
        "COSTBATCH_CONCURENCY is not a variable of costbatch; did you mean COSTBATCH_CONCURRENCY?",
    ),
    (
        "COSTBATCH_ZZZZ_QQQQQQQQQ",
        "3",
        "COSTBATCH_ZZZZ_QQQQQQQQQ is not a variable of costbatch; run `costbatch config` to list them all.",
    ),
]


@pytest.mark.parametrize(("name", "text", "sentence"), SENTENCES)
def test_a_wrong_value_earns_one_sentence(name: str, text: str, sentence: str) -> None:
    """The sentence says what is wrong, where, and what is right."""
    assert problems({name: text}) == [sentence]


@pytest.mark.parametrize(
    "text",
    [
        "mysql://cost:hunter2@db/costs",
        "postgresql+asyncpg://cost:hunter2@db/costs",
        "hunter2",
        "postgresql://cost:hunter2@db",
        "postgresql://cost:hunter2@x@db/costs",
        "postgresql://cost:hunter2@db:port/costs",
        "postgresql://cost:hunter2@db:0/costs",
        "postgresql://cost:hunter2#x@db/costs",
        "postgresql://cost:hunter2 x@db/costs",
        "postgresql://cost:hunter2/x@db/costs",
    ],
)
def test_a_wrong_database_url_is_refused_without_showing_it(text: str) -> None:
    """One sentence, and never the password."""
    (sentence,) = problems({"DATABASE_URL": text})
    assert sentence.startswith("DATABASE_URL ")
    assert sentence.endswith(".")
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        KEY.hex().upper(),
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        base64.urlsafe_b64encode(b"\xff" * 32).decode().rstrip("="),
        "correct horse battery staple 32!",
    ],
)
def test_an_encryption_key_is_32_bytes_in_any_usual_form(text: str) -> None:
    """Hex digits, base64 with or without padding, or characters."""
    assert read(ENCRYPTION_KEY=text).key_bytes() in {KEY, b"\xff" * 32, text.encode()}
    assert len(read(ENCRYPTION_KEY=text).key_bytes()) == 32


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (base64.b64encode(bytes(16)).decode(), "16 bytes of base64"),
        ("ab" * 24, "24 bytes of hexadecimal"),
        ("x" * 31, "31 characters"),
        ("ü" * 32, "32 characters outside ASCII"),
    ],
)
def test_a_wrong_encryption_key_is_described_but_not_shown(text: str, found: str) -> None:
    """The sentence says what was found and how to make a key."""
    (sentence,) = problems({"ENCRYPTION_KEY": text})
    assert sentence == (
        f"ENCRYPTION_KEY must be 32 bytes: 64 hex digits, base64, or 32 characters. It has {found}. "
        "Make one with `costbatch keys generate`."
    )


def test_what_is_required_says_so_when_it_is_asked_for() -> None:
    """Commands without a database or a key work without them; the others get a sentence."""
    with pytest.raises(ConfigError, match=r"^DATABASE_URL is not set; set it, or DATABASE_URL_FILE to"):
        read().require_database_url()
    with pytest.raises(ConfigError, match=r"^ENCRYPTION_KEY is not set; .* `costbatch keys generate`\.$"):
        read().key_bytes()
    assert read(DATABASE_URL=URL).require_database_url().reveal().endswith("@db:5432/costs")


def test_all_problems_come_together() -> None:
    """Nobody has to fix one variable to hear of the next."""
    assert len(problems({"COSTBATCH_SINKS": "x", "DATABASE_URL": "x", "COSTBATCH_X": "1"})) == 3


@pytest.mark.parametrize(
    "name",
    [
        "COSTBATCH_SERVICE_HOST",
        "COSTBATCH_SERVICE_PORT",
        "COSTBATCH_SERVICE_PORT_HTTP",
        "COSTBATCH_PORT",
        "COSTBATCH_PORT_5432_TCP",
        "COSTBATCH_PORT_5432_TCP_ADDR",
        "COSTBATCH_PUSHGATEWAY_SERVICE_HOST",
        "COSTBATCH_PUSHGATEWAY_PORT",
        "COSTBATCH_PUSHGATEWAY_PORT_9091_TCP_PROTO",
    ],
)
def test_service_links_of_kubernetes_are_not_ours(name: str) -> None:
    """A Service called costbatch must not break the configuration."""
    assert read(**{name: "tcp://10.0.0.1:80"}) == Settings()


def test_a_value_and_its_file_together_are_refused(tmp_path: Path) -> None:
    """Which one counts is not guessed."""
    environ = {"ENCRYPTION_KEY": KEY.hex(), "ENCRYPTION_KEY_FILE": str(tmp_path)}
    assert problems(environ) == ["Both ENCRYPTION_KEY and ENCRYPTION_KEY_FILE are set; remove one of them."]


def test_a_file_that_is_of_no_use_is_named(tmp_path: Path) -> None:
    """Missing, empty and unreadable files each get their sentence."""
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe")
    assert [
        problems({"DATABASE_URL_FILE": str(path)})[0].partition(", which ")[2]
        for path in (tmp_path / "none", tmp_path, empty, binary, "\0")
    ] == [
        "cannot be read: No such file or directory.",
        "cannot be read: Is a directory.",
        "is empty; write the value into it.",
        "is not a text file in UTF-8.",
        "cannot be read: the path is not valid.",
    ]


def test_a_wrong_value_from_a_file_names_the_file(tmp_path: Path) -> None:
    """The reader knows where to look."""
    path = tmp_path / "c"
    path.write_text("many")
    (sentence,) = problems({"COSTBATCH_CONCURRENCY_FILE": str(path)})
    assert sentence.startswith(f"COSTBATCH_CONCURRENCY (from the file {path}) must be")


@pytest.mark.parametrize(
    "content", ["hunter2,Tr0ub4dor", "dGhpcy1pcy1hLXRva2Vu==", "USD=hunter2", "hunter2=Tr0ub4dor,=,,"]
)
def test_nothing_of_a_file_is_quoted(content: str, tmp_path: Path) -> None:
    """It may be a secret that was meant for another variable."""
    (tmp_path / "secret").write_text(content)
    for variable in VARIABLES:
        # Its message names an option that PostgreSQL does not know.
        if variable.name == "DATABASE_URL":
            continue
        environ = {"DATABASE_URL": URL, f"{variable.name}_FILE": str(tmp_path / "secret")}
        # A secret may be a valid name, such as that of a tag.
        told = sentences_of(environ)
        assert not any(part in told for part in ("hunter2", "Tr0ub4dor", "dGhpcy")), told


@pytest.mark.parametrize(
    ("low", "high", "order"),
    [
        ("COSTBATCH_ANOMALY_MINIMUM_HISTORY_DAYS", "COSTBATCH_ANOMALY_BASELINE_DAYS", "at most"),
        ("COSTBATCH_ANOMALY_MEDIUM_IMPACT", "COSTBATCH_ANOMALY_HIGH_IMPACT", "at most"),
        ("COSTBATCH_ANOMALY_SETTLE_DAYS", "COSTBATCH_WINDOW_DAYS", "less than"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(low: str, high: str, order: str) -> None:
    """A rule that could never judge anything is an error, not a silence."""
    assert problems({low: "20", high: "10"}) == [f"{low} must be {order} {high}; they are 20 and 10."]


@pytest.mark.parametrize(
    "adaptive",
    [
        {"COSTBATCH_DETECTOR": "adaptive"},
        {"COSTBATCH_DETECTION_OVERRIDES": "prod: {labels: {env: prod}, detector: adaptive}"},
    ],
)
def test_the_adaptive_detector_sees_no_complete_day_in_a_window_of_two(adaptive: dict[str, str]) -> None:
    """It waits two days whatever the setting of the other detector says, which it does not heed."""
    short = {"COSTBATCH_ANOMALY_SETTLE_DAYS": "0", "COSTBATCH_WINDOW_DAYS": "2"}
    (sentence,) = problems({**adaptive, **short})
    assert sentence == (
        "COSTBATCH_WINDOW_DAYS must be more than the 2 days that the adaptive detector waits; it is 2."
    )
    assert read(**short).window_days == 2
    assert read(**{**adaptive, **short, "COSTBATCH_WINDOW_DAYS": "3"}).window_days == 3


def test_the_adaptive_detector_does_not_heed_the_days_of_the_other() -> None:
    """They contradict nothing if no account is judged by it."""
    long = {"COSTBATCH_ANOMALY_SETTLE_DAYS": "9", "COSTBATCH_WINDOW_DAYS": "5"}
    assert len(problems(long)) == 1
    assert read(**long, COSTBATCH_DETECTOR="adaptive").rule.settle_days == 2


@pytest.mark.parametrize("text", [",", " ", " , ,"])
@pytest.mark.parametrize("name", ["COSTBATCH_SINKS", "COSTBATCH_REGIONS", "COSTBATCH_PUSH_LABELS"])
def test_a_list_without_items_is_refused(name: str, text: str) -> None:
    """As when a template left the value out: no sink at all would be no alert, without a word."""
    assert problems({name: text}) == [f"{name} has no items; use none for an empty list."]
    field = name.removeprefix("COSTBATCH_").lower()
    assert not getattr(read(**{name: "none"}), field)


def test_a_value_that_cannot_be_read_contradicts_nothing() -> None:
    """The default that stands in for it is not held against the other."""
    environ = {"COSTBATCH_ANOMALY_BASELINE_DAYS": "x", "COSTBATCH_ANOMALY_MINIMUM_HISTORY_DAYS": "50"}
    assert len(problems(environ)) == 1


def test_what_is_kept_must_hold_what_is_read_and_compared() -> None:
    """A longer window needs more months; a window that cannot be read says nothing about them."""
    environ = {"COSTBATCH_KEEP_MONTHS": "4", "COSTBATCH_WINDOW_DAYS": "90"}
    (sentence,) = problems(environ)
    assert sentence.startswith("COSTBATCH_KEEP_MONTHS must be at least 5 months")
    assert len(problems({**environ, "COSTBATCH_WINDOW_DAYS": "many"})) == 1
    assert read(COSTBATCH_KEEP_MONTHS="4").window_policy == WindowPolicy(keep_months=4)
    overrides = "quiet: {labels: {env: test}, detector: adaptive}"
    for name, text in (("COSTBATCH_DETECTOR", "adaptive"), ("COSTBATCH_DETECTION_OVERRIDES", overrides)):
        (sentence,) = problems({"COSTBATCH_KEEP_MONTHS": "13", name: text})
        assert sentence.startswith(
            "COSTBATCH_KEEP_MONTHS must be at least 14 months, because that is how far"
        )
        assert read(**{"COSTBATCH_KEEP_MONTHS": "14", name: text}).keep_months == 14


def test_the_secrets_to_mask_are_the_key_and_the_passwords() -> None:
    """A password counts as it is written and as it is meant, the key as its bytes may be printed."""
    settings = read(
        DATABASE_URL="postgresql://u:p%40ss@db/c?sslpassword=tls",
        PUSHGATEWAY_URL="https://u:push@gw",
        ENCRYPTION_KEY=KEY.hex(),
    )
    texts = {secret.reveal() for secret in settings.secrets}
    assert texts - {"p%40ss", "p@ss", "tls", "push"} == {
        KEY.hex(),
        KEY.hex().upper(),
        repr(KEY)[2:-1],
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode(),
    }
    assert texts >= {"p%40ss", "p@ss", "tls", "push"}
    assert read().secrets == []
    for address in ("https://t%40ken@gw", "https://t%40ken:@gw"):
        assert {secret.reveal() for secret in read(PUSHGATEWAY_URL=address).secrets} == {"t%40ken", "t@ken"}


def test_the_settings_print_no_secret() -> None:
    """Not even a stray repr gives one away."""
    assert "hunter2" not in repr(read(DATABASE_URL=URL))


def test_a_key_file_may_hold_the_raw_bytes(tmp_path: Path) -> None:
    """32 bytes that are no text are the key itself, its last byte included even if it is a newline."""
    key = bytes([0xFF, *range(30), 0x0A])
    path = tmp_path / "key"
    path.write_bytes(key)
    settings = Settings.from_environment({"ENCRYPTION_KEY_FILE": str(path)})
    assert settings.key_bytes() == key
