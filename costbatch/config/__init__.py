"""The settings: read once from the environment, checked against each other, and passed on as values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from costbatch.config import environment, parsers
from costbatch.config.database_url import database_passwords
from costbatch.config.environment import KEY_BYTES, PREFIX, Variable
from costbatch.config.fields import VARIABLES, Fields
from costbatch.config.overrides import parse_overrides
from costbatch.config.parsers import MAKE_A_KEY
from costbatch.config.sinks import parse_file
from costbatch.domain.accounts import Account
from costbatch.domain.adaptive_past import SETTLE_DAYS
from costbatch.domain.adaptive_rule import LEARNED_DAYS, AdaptiveRule
from costbatch.domain.causes import CausePolicy
from costbatch.domain.costs import REQUEST_PRICE_USD
from costbatch.domain.credentials import Secret
from costbatch.domain.detection import DetectorName, Rule
from costbatch.domain.first_charges import FirstChargePolicy
from costbatch.domain.key_strength import key_weakness
from costbatch.domain.money import Limit
from costbatch.domain.overrides import NO_OVERRIDE, DetectionOverride, override_of
from costbatch.domain.periods import WindowPolicy
from costbatch.domain.retention import keep_problem
from costbatch.domain.routing import Route
from costbatch.domain.runs import FailOn
from costbatch.errors import ConfigError

T = TypeVar("T")

# A shorter secret would mask parts of any sentence.
_SHORTEST_MASKED = 6

__all__ = ["KEY_BYTES", "PREFIX", "VARIABLES", "FailOn", "Settings", "Variable", "missing_variables"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Fields):
    """The value of every variable. Without arguments: the defaults."""

    # By variable: "environment", or the file that its value was read from. Absent: the default.
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)
    # What the sinks' file refers to.
    sink_secrets: tuple[Secret, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings of the environment.

        Raises:
            ConfigError: with one sentence for each problem.

        """
        problems = list(environment.unknown_names(VARIABLES, environ))
        parsed: dict[str, object] = {}
        sources: dict[str, str] = {}
        secrets: list[Secret] = []
        invalid: set[str] = set()
        for variable in VARIABLES:
            try:
                text, source = environment.read(variable.name, environ)
                if text:
                    if variable.field == "sinks" and source != environment.FROM_ENVIRONMENT:
                        path = environ[f"{variable.name}_FILE"]
                        parsed[variable.field], found = parse_file(text, path, environ)
                        secrets += found
                    elif variable.field == "detection_overrides" and source != environment.FROM_ENVIRONMENT:
                        parsed[variable.field] = parse_overrides(text, environ[f"{variable.name}_FILE"])
                    else:
                        parsed[variable.field] = environment.parse(variable, text, source)
                    sources[variable.name] = source
            except ConfigError as error:
                problems += error.problems
            except ValueError as error:
                problems.append(str(error))
                invalid.add(variable.field)
        settings = cls(**parsed, sources=sources, sink_secrets=tuple(secrets))  # type: ignore[arg-type] # each parser returns its field's type
        problems += _contradictions(settings, invalid)
        if problems:
            # The value of a secret may have been given to another variable by mistake.
            raise ConfigError(*(_masked(problem, settings.secrets) for problem in problems))
        return settings

    def require_database_url(self) -> Secret:
        """Return the database's URL; raise ConfigError if it is not set."""
        return _require(self.database_url, "DATABASE_URL")

    def key_bytes(self) -> bytes:
        """Return the 32 bytes of the encryption key; raise ConfigError if it is not set."""
        return parsers.decode_key(_require(self.encryption_key, "ENCRYPTION_KEY").reveal())

    @property
    def key_weakness(self) -> str:
        """One sentence on why the encryption key is easy to guess; empty if it is not, or is not set."""
        weakness = key_weakness(self.key_bytes()) if self.encryption_key else ""
        return f"ENCRYPTION_KEY {weakness}, so it can be guessed. {MAKE_A_KEY}" if weakness else ""

    @property
    def secrets(self) -> list[Secret]:
        """Every text that must never be printed: the key in all its encodings, and the passwords in URLs."""
        key = parsers.key_encodings(self.encryption_key.reveal()) if self.encryption_key else ()
        texts = {*key, *database_passwords(self.database_url), *parsers.url_passwords(self.pushgateway_url)}
        texts |= {text for secret in self.sink_secrets for text in parsers.url_secrets(secret)}
        return [Secret(text) for text in texts if text]

    @property
    def routes(self) -> tuple[Route, ...]:
        """The ways of events to the sinks."""
        return tuple(sink.route for sink in self.sinks)

    @property
    def window_policy(self) -> WindowPolicy:
        """How far back an ordinary run reads."""
        return WindowPolicy(
            trailing_days=self.window_days,
            month_close_day=self.month_close_day,
            history_months=self.history_months,
            keep_months=self.keep_months,
        )

    @property
    def rule(self) -> Rule:
        """The rule of the detector that judges the nights."""
        return self.rule_of(self.detector)

    def rule_of(self, detector: DetectorName, override: DetectionOverride = NO_OVERRIDE) -> Rule:
        """Which costs are compared, when a day deviates from its baseline, and when an anomaly is over."""
        is_adaptive, threshold_ratio, floor = detector is DetectorName.ADAPTIVE, *_limits_of(detector)
        return Rule(
            threshold_ratio=self._threshold(override, threshold_ratio),
            baseline_days=self.anomaly_baseline_days,
            minimum_history_days=self.anomaly_minimum_history_days,
            floor=override.floor(_given(self.anomaly_floor, floor).over(floor)),
            settle_days=SETTLE_DAYS if is_adaptive else self.anomaly_settle_days,
            cost_basis=self.anomaly_cost_basis,
            excluded_record_types=self.anomaly_excluded_record_types,
            per_service=self.anomaly_per_service,
            medium_impact=self.anomaly_medium_impact,
            high_impact=self.anomaly_high_impact,
            level_margin=self.anomaly_level_margin,
        )

    def rule_of_account(self, account: Account, replayed: DetectorName | None = None) -> Rule:
        """Return the rule of an account by its overrides; replayed: the detector that a backtest replays."""
        found = override_of(account, self.detection_overrides)
        return self.rule_of(replayed or found.detector or self.detector, found)

    def adaptive_rule(self, override: DetectionOverride = NO_OVERRIDE) -> AdaptiveRule:
        """Return what the adaptive detector takes for an anomaly."""
        minimum_ratio, floor = _limits_of(DetectorName.ADAPTIVE)
        return AdaptiveRule(
            sensitivity=override.sensitivity or self.sensitivity,
            minimum_ratio=float(self._threshold(override, minimum_ratio)),
            floor=override.floor(_given(self.anomaly_floor, floor).over(floor)),
            high_impact=self.anomaly_high_impact,
        )

    @property
    def detectors(self) -> set[DetectorName]:
        """The detectors that judge any account."""
        return {self.detector, *(each.detector for each in self.detection_overrides if each.detector)}

    def keep_problem(self, name: str, months: int) -> str:
        """Return a sentence if these months are too few to be kept; else an empty one.

        name: the option or variable that they were given with.
        """
        learned_days = LEARNED_DAYS if DetectorName.ADAPTIVE in self.detectors else 0
        return keep_problem(
            name, months, policy=self.window_policy, rule=self.rule, learned_days=learned_days
        )

    def _threshold(self, override: DetectionOverride, default: Decimal) -> Decimal:
        if override.minimum_percent is not None:
            return override.minimum_percent / 100
        return _given(self.anomaly_threshold, default)

    @property
    def most_requests(self) -> int | None:
        """How many paid requests a run may make; None: any number."""
        return None if self.max_api_cost_usd is None else int(self.max_api_cost_usd / REQUEST_PRICE_USD)

    @property
    def cause_policy(self) -> CausePolicy | None:
        """Which root causes are asked for; None: none."""
        if self.root_cause_minimum is None:
            return None
        return CausePolicy(
            minimum=self.root_cause_minimum,
            rule_of=self.rule_of_account,
            most_requests=self.most_requests,
        )

    @property
    def first_charges(self) -> FirstChargePolicy:
        """Which cost is news whatever its size."""
        return FirstChargePolicy(floor=self.first_charge_floor, dormant=self.dormant_accounts)


def _given(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value


def _masked(problem: str, secrets: Iterable[Secret]) -> str:
    for text in (secret.reveal() for secret in secrets):
        if len(text) >= _SHORTEST_MASKED:
            problem = problem.replace(text, "***")
    return problem


# The variables that every run needs, and what each is for.
_REQUIRED = {
    "DATABASE_URL": "It is the PostgreSQL database to work with.",
    "ENCRYPTION_KEY": MAKE_A_KEY,
}


def missing_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for every required variable that is not set."""
    return [
        _not_set(name)
        for name in _REQUIRED
        if not environ.get(name, "").strip("\r\n") and not environ.get(f"{name}_FILE")
    ]


def _require(secret: Secret | None, name: str) -> Secret:
    if secret is None:
        raise ConfigError(_not_set(name))
    return secret


def _not_set(name: str) -> str:
    return f"{name} is not set; set it, or {name}_FILE to the path of a file that holds it. {_REQUIRED[name]}"


# The fields that decide how far back a run reads and compares.
_LOOK_BACK_FIELDS = {
    "keep_months",
    "window_days",
    "month_close_day",
    "anomaly_baseline_days",
    "anomaly_settle_days",
    "detector",
    "detection_overrides",
}


def _limits_of(detector: DetectorName) -> tuple[Decimal, Limit]:
    """Return the smallest difference of a detector: as a part of what was expected, and in money."""
    if detector is DetectorName.ADAPTIVE:
        adaptive = AdaptiveRule()
        return Decimal(repr(adaptive.minimum_ratio)), adaptive.floor
    return Rule().threshold_ratio, Rule().floor


def _contradictions(settings: Settings, invalid: set[str]) -> Iterable[str]:
    """Yield a sentence for each contradiction among the settings, leaving out invalid ones."""
    if not invalid & {"anomaly_minimum_history_days", "anomaly_baseline_days"}:
        least, most = settings.anomaly_minimum_history_days, settings.anomaly_baseline_days
        if least > most:
            names = f"{PREFIX}ANOMALY_MINIMUM_HISTORY_DAYS must be at most {PREFIX}ANOMALY_BASELINE_DAYS"
            yield f"{names}; they are {least} and {most}."
    if not invalid & {"anomaly_settle_days", "window_days", "detector", "detection_overrides"}:
        yield from _days_never_complete(settings)
    if not invalid & {"anomaly_medium_impact", "anomaly_high_impact"}:
        yield from _crossed_limits(settings.anomaly_medium_impact, settings.anomaly_high_impact)
    months = None if invalid & _LOOK_BACK_FIELDS else settings.keep_months
    if months is not None and (problem := settings.keep_problem(f"{PREFIX}KEEP_MONTHS", months)):
        yield problem


def _days_never_complete(settings: Settings) -> Iterable[str]:
    """Yield a sentence for each detector if no day would be read once it is complete to it."""
    window_days = settings.window_days
    for detector in sorted(settings.detectors):
        settle_days = settings.rule_of(detector).settle_days
        if settle_days < window_days:
            continue
        if detector is DetectorName.ADAPTIVE:
            yield (
                f"{PREFIX}WINDOW_DAYS must be more than the {settle_days} days that the adaptive detector "
                f"waits; it is {window_days}."
            )
        else:
            names = f"{PREFIX}ANOMALY_SETTLE_DAYS must be less than {PREFIX}WINDOW_DAYS"
            yield f"{names}; they are {settle_days} and {window_days}."


def _crossed_limits(medium: Limit, high: Limit) -> Iterable[str]:
    names = f"{PREFIX}ANOMALY_MEDIUM_IMPACT must be at most {PREFIX}ANOMALY_HIGH_IMPACT"
    if medium.of() > high.of():
        yield f"{names}; they are {medium.of()} and {high.of()}."
    for currency in sorted({name for name, _ in (*medium.named, *high.named)}):
        if medium.of(currency) > high.of(currency):
            yield f"{names}; for {currency} they are {medium.of(currency)} and {high.of(currency)}."
