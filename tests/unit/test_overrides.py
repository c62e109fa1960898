"""Overrides of detection: each reaches the accounts that it is for; a mistake is a sentence with its line."""

from decimal import Decimal
from pathlib import Path

import pytest

from costbatch.config import Settings
from costbatch.domain.accounts import Account
from costbatch.domain.adaptive_rule import AdaptiveRule, Sensitivity
from costbatch.domain.detection import DetectorName
from costbatch.domain.money import Limit
from costbatch.domain.overrides import DetectionOverride, override_of
from costbatch.errors import ConfigError
from tests.support.factories import make_account

NAME = "COSTBATCH_DETECTION_OVERRIDES"
DOCUMENT = """
sandboxes:
  labels: {env: sandbox}
  sensitivity: low
  minimum: {EUR: 40, other: 50}
  minimum_percent: 80
payments:
  accounts: ["000000000002", "000000000003"]
  detector: adaptive
  sensitivity: high
  minimum: {JPY: 900}
"""


def read(text: str, **environ: str) -> Settings:
    """Return the settings with overrides."""
    return Settings.from_environment({NAME: text, **environ})


def problems(text: str) -> list[str]:
    """Return the sentences about a document."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    return list(caught.value.problems)


def rule_for(settings: Settings, account: Account) -> AdaptiveRule:
    """Return how the adaptive detector judges an account."""
    return settings.adaptive_rule(override_of(account, settings.detection_overrides))


def test_each_override_holds_for_the_accounts_that_it_names() -> None:
    """What it does not say is as everywhere else; of the same key the last one counts."""
    settings = read(DOCUMENT, COSTBATCH_ANOMALY_FLOOR="7,JPY=500", COSTBATCH_ANOMALY_THRESHOLD="30%")
    general = AdaptiveRule(minimum_ratio=0.3, floor=Limit(Decimal(7), (("JPY", Decimal(500)),)))
    assert rule_for(settings, make_account(1)) == general
    sandbox = make_account(1, labels=(("env", "sandbox"), ("team", "web")))
    assert rule_for(settings, sandbox) == AdaptiveRule(
        sensitivity=Sensitivity.LOW, minimum_ratio=0.8, floor=Limit(Decimal(50), (("EUR", Decimal(40)),))
    )
    payments = rule_for(settings, make_account(2))
    assert (payments.sensitivity, payments.floor.of("JPY"), payments.floor.of("USD")) == (
        Sensitivity.HIGH,
        Decimal(900),
        Decimal(7),
    )
    both = override_of(make_account(3, labels=(("env", "sandbox"),)), settings.detection_overrides)
    assert (both.sensitivity, both.detector) == (Sensitivity.HIGH, DetectorName.ADAPTIVE)
    assert both.minimum_percent == Decimal(80)
    assert both.minimum == (("JPY", Decimal(900)),)
    rule = settings.rule_of_account(sandbox)
    assert (rule.threshold_ratio, rule.floor.of("USD")) == (Decimal("0.8"), Decimal(50))
    assert settings.rule_of_account(make_account(4)) == settings.rule


def test_without_overrides_nothing_is_different() -> None:
    """Neither if the variable says so."""
    assert read("").detection_overrides == read("none").detection_overrides == ()
    assert override_of(make_account(1), ()) == DetectionOverride()


def test_a_file_may_hold_them(tmp_path: Path) -> None:
    """Its problems name the file."""
    file = tmp_path / "overrides.yaml"
    file.write_text(DOCUMENT)
    settings = Settings.from_environment({f"{NAME}_FILE": str(file)})
    assert [str(each) for each in settings.detection_overrides] == ["sandboxes", "payments"]
    file.write_text("a: {sensitivity: low}")
    with pytest.raises(ConfigError, match=r"overrides.yaml, line 1: a needs one of accounts and labels"):
        Settings.from_environment({f"{NAME}_FILE": str(file)})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a", f"{NAME}, line 1: it must be a mapping, such as NAME: followed by indented keys."),
        ("a: [", f"{NAME}, line 1: it is not YAML; check the indentation and quotes."),
        ("# none", f"{NAME} is empty; it must name overrides, or say none."),
        ("a: {sensitivity: low}", f"{NAME}, line 1: a needs one of accounts and labels: for whom it is."),
        (
            "a: {labels: {x: y}}",
            f"{NAME}, line 1: a needs one of detector, sensitivity, minimum, minimum_percent: what is",
        ),
        (
            "a:\n  labels: {x: y}\n  sensitivty: low",
            f"{NAME}, line 3: a.sensitivty is not a key here; did you mean sensitivity?",
        ),
        (
            "a: {labels: {x: y}, sensitivity: loud}",
            f"{NAME}, line 1: a.sensitivity must be one of low, medium, high; it is 'loud'.",
        ),
        (
            "a: {labels: {x: y}, minimum: {usd: 4}}",
            f"{NAME}, line 1: a.minimum has 'usd', which is neither a currency such as USD nor other.",
        ),
        (
            "a: {accounts: [12], sensitivity: low}",
            f"{NAME}, line 1: a.accounts is wrong: '12' is not an AWS account id",
        ),
        ("a: {labels: {}, sensitivity: low}", f"{NAME}, line 1: a needs one of accounts and labels"),
        ("a: {labels: {x: y}, minimum_percent: -3}", f"{NAME}, line 1: a.minimum_percent must be"),
    ],
)
def test_a_mistake_is_a_sentence_with_its_line(text: str, sentence: str) -> None:
    """Before anything is done; a half-right document holds for nobody."""
    found = [each for each in problems(text) if each.startswith(sentence)]
    assert found, problems(text)


def test_every_mistake_of_a_document_is_told() -> None:
    """One run shows them all."""
    assert len(problems("a: {sensitivity: low}\nb: {labels: {x: y}, detector: best}\nc: 1")) == 3
