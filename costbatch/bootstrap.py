"""Settings to adapters to use cases: the only place that knows which adapter stands behind which port."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from costbatch import __version__
from costbatch.adapters.aws.when_needed import CostsWhenNeeded, ResourcesWhenNeeded
from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.inspect import PostgresHealth, PostgresSizes
from costbatch.adapters.postgres.migrations import Schema
from costbatch.adapters.postgres.resource_queries import PostgresResourceQueries
from costbatch.adapters.postgres.retention import PostgresRetention
from costbatch.adapters.pushgateway import GatewayProbe, Pushgateway
from costbatch.adapters.sinks import make_sinks
from costbatch.adapters.sinks.base import Context
from costbatch.adapters.vault import AesGcmVault
from costbatch.adapters.worker_id import is_gone, this_worker
from costbatch.application.accounts import Accounts
from costbatch.application.anomalies import Anomalies, PlannedChanges
from costbatch.application.backtest import Backtest
from costbatch.application.collect.adaptive import AdaptiveDetector
from costbatch.application.collect.by_account import DetectorByAccount
from costbatch.application.collect.detect import Detection
from costbatch.application.collect.detector import Detector
from costbatch.application.collect.deviation import DeviationDetector
from costbatch.application.collect.job import CollectJob
from costbatch.application.collect.plan import PlanPolicy, plan_run
from costbatch.application.collect.report import Detail, full_report
from costbatch.application.collect.root_causes import RootCauses
from costbatch.application.deliver import Deliverer
from costbatch.application.discover.job import DiscoverJob
from costbatch.application.discover.report import full_report as discover_report
from costbatch.application.discover.report import plan_run as plan_discovery
from costbatch.application.doctor.checks import Doctor, Store
from costbatch.application.doctor.findings import PaidRequest
from costbatch.application.events import Events
from costbatch.application.forecast import Forecasts
from costbatch.application.jobs.job import Job
from costbatch.application.jobs.policy import RunPolicy
from costbatch.application.jobs.runner import Runner
from costbatch.application.ledger import Ledger
from costbatch.application.nightly import Nightly, P, check_key
from costbatch.application.outbox import Sink
from costbatch.application.ports import Display, Metrics, Transaction, Vault
from costbatch.application.resources import Resources
from costbatch.application.retention import Retention
from costbatch.application.second_opinion import SecondOpinion
from costbatch.application.selection import find_run
from costbatch.config import Settings
from costbatch.domain.accounts import Account, AwsNeeds
from costbatch.domain.collect_report import CollectReport
from costbatch.domain.collection import COLLECT
from costbatch.domain.detection import DetectorName
from costbatch.domain.discover_report import DiscoverReport, DiscoveryPlan
from costbatch.domain.first_charges import FirstChargePolicy
from costbatch.domain.overrides import NO_OVERRIDE, DetectionOverride, override_of
from costbatch.domain.periods import utc_day
from costbatch.domain.plans import CollectionPlan
from costbatch.domain.runs import Run, RunRequest
from costbatch.errors import ConfigError

if TYPE_CHECKING:
    from costbatch.adapters.aws.adapters import AwsAdapters

Q = TypeVar("Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """Builds what a command needs, when it needs it."""

    settings: Settings
    now: Callable[[], datetime]

    def database(self) -> PostgresDatabase:
        """Return the database; raise ConfigError if its URL is not set."""
        url = self.settings.require_database_url()
        return PostgresDatabase(url)

    def schema(self) -> Schema:
        """Return the database's schema."""
        return Schema(self.database().connection)

    def sizes(self) -> PostgresSizes:
        """Return what measures the database."""
        return PostgresSizes(self.database().connection)

    def ledger(self) -> Ledger:
        """Return what the ledger of restatements tells."""
        return Ledger(database=self.database(), rule=self.settings.rule)

    def backtest(self) -> Backtest:
        """Return what replays past mornings."""
        detections = {name: self._detection(replayed=name) for name in DetectorName}
        return Backtest(
            database=self.database(),
            rule=self.settings.rule,
            rule_of=self.settings.rule_of_account,
            detections=detections,
        )

    def forecasts(self) -> Forecasts:
        """Return what forecasts the month."""
        return Forecasts(database=self.database(), rule=self.settings.rule)

    def retention(self, keep_months: int) -> Retention:
        """Return what takes old costs away."""
        return _retention_of(self.database(), keep_months)

    def resources(self) -> Resources:
        """Return what looks at the stored resources."""
        database = self.database()
        return Resources(database=database, queries=PostgresResourceQueries(database.connection))

    def vault(self) -> Vault:
        """Return the vault; raise ConfigError if its key is not set."""
        return AesGcmVault(self.settings.key_bytes())

    def accounts(self, *, verify: bool = False) -> Accounts:
        """Return the use cases of the accounts; those without secrets work without the key.

        verify: ask AWS whose credentials are before they are stored.
        """
        vault = self.vault() if self.settings.encryption_key else None
        return Accounts(
            database=self.database(),
            vault=vault,
            now=self.now,
            owner_of=(lambda access: self._aws().owner(access, self.vault())) if verify else None,
            routes=self.settings.routes,
            rule_of=self.settings.rule_of_account,
        )

    def anomalies(self) -> Anomalies:
        """Return the use cases of anomalies and their answers."""
        settings = self.settings
        return Anomalies(
            database=self.database(), rule_of=settings.rule_of_account, routes=settings.routes, now=self.now
        )

    def second_opinion(self) -> SecondOpinion:
        """Return what imports the anomalies that AWS detected."""
        return SecondOpinion(
            database=self.database(),
            source=self._aws().anomaly_source(self.vault()),
            rule=self.settings.rule,
            now=self.now,
            most_requests=self.settings.most_requests,
        )

    def planned_changes(self) -> PlannedChanges:
        """Return the use cases of planned changes."""
        settings = self.settings
        return PlannedChanges(
            database=self.database(), rule_of=settings.rule_of_account, routes=settings.routes, now=self.now
        )

    def plan_collect(self, request: RunRequest) -> CollectionPlan:
        """Return what a run of the cost job would read and cost; nothing is paid or written."""
        settings = self.settings
        policy = PlanPolicy(
            windows=settings.window_policy,
            most_requests=settings.most_requests,
            causes=settings.cause_policy,
        )
        return self._plan(request, partial(plan_run, policy=policy))

    def plan_discover(self, request: RunRequest) -> DiscoveryPlan:
        """Return what a run of the discovery job would read; nothing is requested or written."""
        return self._plan(request, partial(plan_discovery, choice=self.settings.resource_source))

    def _plan(self, request: RunRequest, plan: Callable[..., Q]) -> Q:
        """Return a job's plan, if a run could start: what is left of the run that the key would resume."""
        today, key, database = utc_day(self.now()), self.settings.run_key, self.database()
        database.check_schema()
        with database.transaction() as tx:
            is_reader = not tx.accounts.may_read_credentials()
        # A reader's role has neither the credentials nor the key, and the plan needs none.
        if not is_reader:
            check_key(database, self.vault())
        with database.transaction() as tx:
            resumed = find_run(tx, key, request) if key else None
            return plan(tx, request, today=resumed.today if resumed else today, resumed=resumed)

    def collect(
        self, *, stop: Event, display: Display, every_account: bool = False
    ) -> Nightly[CollectReport]:
        """Return a night of the cost job. ``stop`` is set when the process is asked to end.

        every_account: its report tells of each, however many they are.
        """
        settings, vault = self.settings, self.vault()
        source = CostsWhenNeeded(lambda: self._aws().cost_source(vault))
        job = CollectJob(
            source=source,
            windows=settings.window_policy,
            detection=self._detection(),
            clock=self.now,
            vanished_ratio=settings.vanished_ratio,
        )
        detail = Detail(
            every_account=every_account,
            costs=self._pushes_account_costs,
            forecasts=self.settings.pushgateway_url is not None,
        )
        nightly = self._nightly(
            job,
            lambda tx, run, now: full_report(
                tx, run, detail, rule=settings.rule, rule_of=settings.rule_of_account, now=now
            ),
            vault=vault,
            check_environment=source.check_environment,
            stop=stop,
            display=display,
        )
        if settings.cause_policy is None:
            return nightly
        runner = nightly.runner
        causes = RootCauses(
            # By the connections of the run, which has ended.
            database=runner.database,
            source=source,
            rule=settings.rule,
            policy=settings.cause_policy,
            routes=settings.routes,
            clock=self.now,
            stopping=runner.stopping,
        )
        return replace(nightly, follow_up=causes.find)

    def discover(
        self, *, stop: Event, display: Display, every_account: bool = False
    ) -> Nightly[DiscoverReport]:
        """Return a night of the discovery job; see ``collect``."""
        settings, vault = self.settings, self.vault()
        source = ResourcesWhenNeeded(lambda: self._aws().resource_source(vault))
        job = DiscoverJob(
            source=source, choice=settings.resource_source, expected_regions=settings.expected_regions
        )
        return self._nightly(
            job,
            lambda tx, run, now: discover_report(tx, run, now=now, every_account=every_account),
            vault=vault,
            check_environment=source.check_environment,
            stop=stop,
            display=display,
        )

    def _nightly(
        self,
        job: Job[Any, Any],
        report: Callable[[Transaction, Run, datetime], P],
        *,
        vault: Vault,
        check_environment: Callable[[AwsNeeds], None],
        stop: Event,
        display: Display,
    ) -> Nightly[P]:
        """Return a night of any job, with what every job's night does."""
        database, keep_months = self.database(), self.settings.keep_months
        runner = Runner(
            job=job,
            database=database,
            clock=self.now,
            policy=self._policy(job.name),
            display=display,
            worker=this_worker(),
            is_gone=is_gone,
            stop=stop,
        )
        return Nightly(
            runner=runner,
            report=report,
            deliverer=self._deliverer(database, stop),
            vault=vault,
            metrics=self._metrics(job.name),
            clock=self.now,
            fail_on=self.settings.fail_on,
            check_environment=check_environment,
            retention=_retention_of(database, keep_months, stop) if keep_months else None,
        )

    def events(self, *, stop: Event | None = None) -> Events:
        """Return the use cases of events. ``stop`` is set when the process is asked to end."""
        database = self.database()
        deliverer = self._deliverer(database, stop or Event())
        return Events(database=database, deliverer=deliverer, now=self.now)

    def _deliverer(self, database: PostgresDatabase, stop: Event) -> Deliverer:
        return Deliverer(
            database=database,
            sinks=self.sinks(),
            clock=self.now,
            worker=this_worker(),
            is_gone=is_gone,
            most_attempts=self.settings.delivery_attempts,
            budget_seconds=self.settings.delivery_seconds,
            stop=stop,
        )

    def sinks(self) -> Sequence[Sink]:
        """Return the sinks; raise ConfigError if one cannot be built, such as by an address of apprise."""
        topics = cache(lambda: self._aws().topics())
        context = Context(
            link=self.settings.link_template,
            version=__version__,
            publish=lambda region, request: topics().publish(region, request),
        )
        return make_sinks(self.settings.sinks, context)

    def _detection(self, replayed: DetectorName | None = None) -> Detection:
        """Return what judges the nights, or if a detector is replayed, what would have if it judged all."""
        settings = self.settings
        name = replayed or settings.detector

        def choose(account: Account) -> Detector:
            found = override_of(account, settings.detection_overrides)
            return self._detector(replayed or found.detector or settings.detector, found)

        return Detection(
            detector=DetectorByAccount(choose=choose)
            if settings.detection_overrides
            else self._detector(name),
            rule=settings.rule_of(name),
            rule_of=partial(settings.rule_of_account, replayed=replayed),
            # A replay has no events, in which dormant accounts are looked up; a first charge is no anomaly.
            first_charges=FirstChargePolicy() if replayed else settings.first_charges,
            remind_days=settings.remind_days,
        )

    def _detector(self, name: DetectorName, override: DetectionOverride = NO_OVERRIDE) -> Detector:
        rule = self.settings.rule_of(name, override)
        match name:
            case DetectorName.DEVIATION:
                return DeviationDetector(rule=rule)
            case DetectorName.ADAPTIVE:
                return AdaptiveDetector(rule=rule, adaptive=self.settings.adaptive_rule(override))

    def doctor(
        self, *, problems: Sequence[str] = (), paid: PaidRequest | None = None, limit_seconds: float
    ) -> Doctor:
        """Return the examination. ``problems`` are why the settings here are not the real ones."""
        found = list(problems)
        store, vault, gateway, source, resources = None, None, None, None, None
        if not problems:
            with _noted(found):
                database = self.database()
                store = Store(database=database, health=PostgresHealth(database.connection))
            with _noted(found):
                self.sinks()
            with _noted(found):
                vault = self.vault()
                source = self._aws().cost_source(vault)
                resources = self._aws().resource_source(vault)
            if (url := self.settings.pushgateway_url) is not None:
                gateway = GatewayProbe(url, timeout_seconds=self.settings.push_timeout_seconds)
        return Doctor(
            problems=found,
            is_readable=not problems,
            store=store,
            vault=vault,
            key_weakness=self.settings.key_weakness,
            gateway=gateway,
            aws=self._aws().probe(limit_seconds),
            source=source,
            resources=resources,
            resource_choice=self.settings.resource_source,
            sinks=[sink.name for sink in self.settings.sinks],
            clock=self.now,
            paid=paid,
            limit_seconds=limit_seconds,
        )

    def _policy(self, job: str) -> RunPolicy:
        settings = self.settings
        deadline = settings.deadline_seconds
        return RunPolicy(
            concurrency=settings.concurrency,
            lease=timedelta(seconds=settings.lease_seconds),
            retry_pause=timedelta(seconds=settings.retry_pause_seconds),
            grace=timedelta(seconds=settings.grace_seconds),
            deadline=None if deadline is None else timedelta(seconds=deadline),
            routes=settings.routes,
            version=__version__,
            # The others pay nothing: a cap would only have their accounts wait.
            most_requests=settings.most_requests if job == COLLECT else None,
        )

    def _aws(self) -> "AwsAdapters":
        from costbatch.adapters.aws.adapters import AwsAdapters  # noqa: PLC0415 - botocore is slow to load

        return AwsAdapters(self.settings, __version__)

    @property
    def _pushes_account_costs(self) -> bool:
        return self.settings.pushgateway_url is not None and self.settings.account_metrics

    def _metrics(self, job: str) -> Metrics | None:
        if self.settings.pushgateway_url is None:
            return None
        return Pushgateway(
            self.settings.pushgateway_url,
            job=job,
            timeout_seconds=self.settings.push_timeout_seconds,
            version=__version__,
            labels={
                name: value
                for name, _, value in (label.partition("=") for label in self.settings.push_labels)
            },
        )


def _retention_of(database: PostgresDatabase, keep_months: int, stop: Event | None = None) -> Retention:
    records = PostgresRetention(database.connection)
    return Retention(
        records=records, keep_months=keep_months, check_schema=database.check_schema, stop=stop or Event()
    )


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    """Add the problems of the configuration to the list, and continue without what was to be built."""
    try:
        yield
    except ConfigError as error:
        problems += error.problems
