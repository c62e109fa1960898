"""The checks of an installation: their order, and which earlier checks each depends on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from costbatch.application.discover.ports import ResourceSource
from costbatch.application.doctor.configuration import check_configuration, check_key
from costbatch.application.doctor.database import check_clock, check_rights, check_schema, check_server
from costbatch.application.doctor.examination import Check, examine
from costbatch.application.doctor.findings import CheckResult, PaidRequest
from costbatch.application.doctor.network import (
    check_aws_environment,
    check_cost_explorer,
    check_discovery_access,
    check_endpoints,
    check_gateway,
    check_pod,
)
from costbatch.application.doctor.ports import AwsProbe, DatabaseHealth, Gateway
from costbatch.application.doctor.records import (
    check_accounts,
    check_discovered,
    check_events,
    check_job,
    check_newest_discovery,
    check_newest_run,
)
from costbatch.application.ports import Clock, Database, Vault
from costbatch.application.sources import CostSource
from costbatch.domain.collection import COLLECT
from costbatch.domain.discovery import DISCOVER
from costbatch.domain.jobs import JOBS
from costbatch.domain.reports import JobWords
from costbatch.domain.resources import SourceChoice

# The names of the checks, also in the JSON.
CONFIGURATION = "configuration"
DATABASE = "database"
SCHEMA = "schema"
RIGHTS = "privileges"
CLOCK = "clock"
KEY = "encryption key"
ACCOUNTS = "accounts"
NEWEST_RUN = "last run"
NEWEST_DISCOVERY = "last discovery"
DISCOVERED = "discovery"
DISCOVERY_ACCESS = "discovery access"
EVENTS = "events"
ENVIRONMENT = "AWS settings"
ENDPOINTS = "AWS endpoints"
POD = "pod identity"
GATEWAY = "Pushgateway"
COST_EXPLORER = "Cost Explorer"
_CHECKS_OF_STORE = (
    DATABASE,
    SCHEMA,
    RIGHTS,
    CLOCK,
    KEY,
    ACCOUNTS,
    NEWEST_RUN,
    NEWEST_DISCOVERY,
    DISCOVERED,
    EVENTS,
    ENVIRONMENT,
    ENDPOINTS,
    POD,
)

# These jobs have checks of their own; every other one has the check of any job.
_KNOWN_JOBS = (COLLECT, DISCOVER)

# A response of Cost Explorer may take long, and giving up saves nothing: the request is paid.
_PAID_LIMIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The database as use cases see it, and as it is inspected."""

    database: Database
    health: DatabaseHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Everything the checks need; None for what the configuration does not allow to build.

    problems: what is wrong with the configuration. is_readable: whether the settings could be read.
    gateway: None also if none is configured. resource_choice: the API that discovery reads.
    paid: None if nothing may be paid. key_weakness: why the key is easy to guess, or empty.
    limit_seconds: the timeout of one check. jobs: every job's words.
    """

    problems: Sequence[str]
    is_readable: bool
    store: Store | None
    vault: Vault | None
    gateway: Gateway | None
    aws: AwsProbe
    source: CostSource | None
    resources: ResourceSource | None
    resource_choice: SourceChoice
    sinks: Sequence[str]
    clock: Clock
    paid: PaidRequest | None = None
    key_weakness: str = ""
    limit_seconds: float = 15.0
    jobs: Sequence[JobWords] = tuple(JOBS.values())

    def examine(self) -> Iterator[CheckResult]:
        """Yield the result of each check as soon as it is known; nothing is written."""
        return examine(self.checks(), limit_seconds=self.limit_seconds)

    def checks(self) -> list[Check]:
        """Return the checks in order."""
        gateway = Check(GATEWAY, partial(check_gateway, self.gateway))
        blocked = map(_blocked_by_configuration, _CHECKS_OF_STORE)
        return [
            Check(CONFIGURATION, partial(check_configuration, self.problems)),
            *(self._of_store(self.store) if self.store else blocked),
            *map(self._of_job, [words for words in self.jobs if words.name not in _KNOWN_JOBS]),
            gateway if self.is_readable else _blocked_by_configuration(GATEWAY),
            self._of_discovery(),
            *self._of_money(),
        ]

    def _of_store(self, store: Store) -> list[Check]:
        database, health, clock = store.database, store.health, self.clock
        key = _blocked_by_configuration(KEY)
        if self.vault is not None:
            key = Check(KEY, partial(check_key, health, self.vault, self.key_weakness), [SCHEMA])
        return [
            Check(DATABASE, partial(check_server, health)),
            Check(SCHEMA, partial(check_schema, health), [DATABASE]),
            Check(RIGHTS, partial(check_rights, health), [SCHEMA]),
            Check(CLOCK, partial(check_clock, health, clock), [DATABASE]),
            key,
            Check(ACCOUNTS, lambda: check_accounts(database, health, clock()), [SCHEMA]),
            Check(NEWEST_RUN, lambda: check_newest_run(health, clock()), [SCHEMA]),
            Check(NEWEST_DISCOVERY, lambda: check_newest_discovery(health, clock()), [SCHEMA]),
            Check(DISCOVERED, lambda: check_discovered(database, health, clock()), [SCHEMA]),
            Check(EVENTS, lambda: check_events(health, clock(), self.sinks), [SCHEMA]),
            Check(ENVIRONMENT, partial(check_aws_environment, database, self.aws), [SCHEMA]),
            Check(ENDPOINTS, partial(check_endpoints, database, self.aws), [SCHEMA, ENVIRONMENT]),
            Check(POD, partial(check_pod, database, self.aws), [SCHEMA, ENDPOINTS]),
        ]

    def _of_job(self, words: JobWords) -> Check:
        name, store, clock = f"job {words.name}", self.store, self.clock
        if store is None:
            return _blocked_by_configuration(name)
        return Check(name, lambda: check_job(store.database, store.health, words, clock()), [SCHEMA])

    def _of_discovery(self) -> Check:
        if self.store is None or self.resources is None:
            return _blocked_by_configuration(DISCOVERY_ACCESS)
        store, resources = self.store, self.resources
        return Check(
            DISCOVERY_ACCESS,
            lambda: check_discovery_access(
                store.database, store.health, resources, self.resource_choice, self.clock()
            ),
            [SCHEMA, ENDPOINTS],
        )

    def _of_money(self) -> list[Check]:
        if self.paid is None:
            return []
        if self.store is None or self.source is None:
            return [_blocked_by_configuration(COST_EXPLORER)]
        database, source, asked = self.store.database, self.source, self.paid.aws_account_id
        limit_seconds = max(self.limit_seconds, _PAID_LIMIT_SECONDS)
        return [
            Check(
                COST_EXPLORER,
                lambda: check_cost_explorer(database, source, self.clock(), asked),
                [SCHEMA, ENDPOINTS],
                limit_seconds,
            )
        ]


def _blocked_by_configuration(name: str) -> Check:
    """Return a check that is skipped, because its parts could not be built."""
    return Check(name, partial(check_configuration, ()), [CONFIGURATION])
