"""The discovery job: reads what exists in each account, stores what differs, tells what is used first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from typing_extensions import override

from costbatch.application.discover.ports import ResourceSource, Written
from costbatch.application.discover.report import brief_report
from costbatch.application.jobs.job import Job, Result
from costbatch.application.ownership import save_proven
from costbatch.application.ports import Spend, Transaction
from costbatch.domain.credentials import Access
from costbatch.domain.discovery import (
    DISCOVER,
    DiscoverOptions,
    DiscoveryRecord,
    KnownRegion,
    KnownRegions,
    ResourceChange,
    choice_for,
    last_source,
)
from costbatch.domain.events import Event, region_first_used, service_first_used
from costbatch.domain.resources import GLOBAL, RegionContent, SourceChoice
from costbatch.domain.runs import Failure, Outcome, Run, RunRequest, WorkItem


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverTask:
    """What it takes to discover one account: how to reach it, what to read, what is known of its regions."""

    access: Access
    choice: SourceChoice
    known: KnownRegions


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """What was read of one account, without the content of regions that are as they are stored.

    read: every region that was read, without its resources. changed: the content of those that differ.
    is_listed: whether AWS listed the regions; else a setting named them.
    """

    source: SourceChoice
    is_listed: bool
    read: Mapping[str, "ReadRegion"]
    changed: Mapping[str, RegionContent]
    failed: Mapping[str, Failure]


@dataclass(frozen=True, slots=True)
class ReadRegion:
    """A region that was read: the digest and number of its resources, and whether these are all of them."""

    digest: bytes
    resources: int
    is_complete: bool


DiscoverResult = Result[DiscoverTask, Discovered]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverJob(Job[DiscoverTask, Discovered]):
    """Discovers the resources of accounts.

    choice: the API to read, if a run is not asked for another. expected_regions: their first use is no news.
    """

    source: ResourceSource
    choice: SourceChoice
    expected_regions: frozenset[str]

    @property
    @override
    def name(self) -> str:
        return DISCOVER

    @override
    def check(self, tx: Transaction, request: RunRequest, *, today: date) -> None:
        pass

    @override
    def begin(self, tx: Transaction, *, today: date) -> None:
        pass

    @override
    def prepare(self, tx: Transaction, run: Run, items: Sequence[WorkItem]) -> Mapping[int, DiscoverTask]:
        asked = DiscoverOptions.of(run.request).source or self.choice
        accesses = tx.accounts.load_accesses([item.account for item in items])
        known = tx.resources.load_regions([item.account.id for item in items])
        return {
            item.id: DiscoverTask(
                access=accesses[item.account.id],
                choice=choice_for(asked, last_source(known[item.account.id])),
                known=known[item.account.id],
            )
            for item in items
        }

    @override
    def work(self, item: WorkItem, task: DiscoverTask, spend: Spend) -> Discovered:
        found = self.source.find(task.access, task.choice)
        # In this thread, and so that what is stored already takes no memory while it waits for the writer.
        changed = {
            region: content
            for region, content in found.regions.items()
            if region not in task.known or task.known[region].digest != content.digest
        }
        read = {
            region: ReadRegion(content.digest, len(content.resources), content.is_complete)
            for region, content in found.regions.items()
        }
        failed: dict[str, Failure] = {}
        if found.unlisted is not None:
            # AWS denies the list: what was read before and is not now may be there nevertheless.
            unread = task.known.keys() - found.regions.keys() - {GLOBAL}
            failed = {
                name: found.unlisted
                for name in unread
                if task.known[name].read_at is not None and not task.known[name].is_disabled
            }
        failed |= found.failed
        return Discovered(
            source=found.source,
            is_listed=found.unlisted is None,
            read=read,
            changed=changed,
            failed=failed,
        )

    @override
    def size(self, value: Discovered) -> int:
        return sum(len(content.resources) for content in value.changed.values())

    @override
    def save(
        self, tx: Transaction, run: Run, results: Sequence[DiscoverResult], *, now: datetime
    ) -> list[Outcome]:
        # What was known when the account was claimed is still true: only the holder of the claim stores it.
        written = tx.resources.replace(
            {result.account.id: result.value.changed for result in results}, now=now
        )
        tx.resources.save_regions(
            {
                result.account.id: _regions_now(
                    result.task.known, result.value, written[result.account.id], now
                )
                for result in results
            }
        )
        tx.resources.set_disabled(
            {result.account.id: _disabled_now(result.task.known, result.value) for result in results}
        )
        tx.discoveries.save(
            {
                result.item.id: DiscoveryRecord(
                    source=result.value.source,
                    regions_read=len(result.value.read.keys() - {GLOBAL}),
                    resources=sum(each.resources for each in result.value.read.values()),
                    change=sum(
                        (each.change for each in written[result.account.id].values()), ResourceChange()
                    ),
                    failed=result.value.failed,
                )
                for result in results
            }
        )
        save_proven(tx, [result.task.access for result in results], now=now)
        return [
            result.succeeded(
                events=self._events(run, result, written[result.account.id], now),
                warnings={"regions_failed": {"regions": sorted(result.value.failed)}}
                if result.value.failed
                else {},
            )
            for result in results
        ]

    @override
    def after(self, tx: Transaction, run: Run, *, now: datetime) -> Mapping[str, Any]:
        return brief_report(tx, run, now=now).summary

    def _events(
        self, run: Run, result: DiscoverResult, written: Mapping[str, Written], now: datetime
    ) -> list[Event]:
        """Return what is used for the first time, as far as it could have been seen before."""
        account, known, value = result.account, result.task.known, result.value
        comparable = [region for region in written if _could_be_seen(region, known, value)]
        events = []
        services: dict[str, dict[str, int]] = {}
        for region in comparable:
            was_used = region in known and known[region].is_used
            is_first = not was_used and _is_used(region, known, value, written)
            if is_first and region != GLOBAL and region not in self.expected_regions:
                numbers: dict[str, int] = {}
                for resource in value.changed[region].resources:
                    numbers[resource.service] = numbers.get(resource.service, 0) + 1
                events.append(region_first_used(account, region, numbers, run_id=run.id, now=now))
            for service, number in written[region].new_services.items():
                services.setdefault(service, {})[region] = number
        return events + [
            service_first_used(account, service, regions, run_id=run.id, now=now)
            for service, regions in sorted(services.items())
        ]


def _could_be_seen(region: str, known: KnownRegions, value: Discovered) -> bool:
    """Return whether a resource that is new here is also new in AWS.

    It may have existed before: at an account's first discovery, in a region that could not be read, or if
    another API shows more. If only some of the resources in no region are read, they could be seen before if
    the regions that are read now could be seen before.
    """
    if region in known and known[region].source is value.source:
        return True
    if region == GLOBAL:
        shown_by = value.read.keys() - {GLOBAL}
        return not value.read[GLOBAL].is_complete and all(
            _could_be_seen(each, known, value) for each in shown_by
        )
    return region not in known and _are_all_known(known, value.source)


def _are_all_known(known: KnownRegions, source: SourceChoice) -> bool:
    """Return whether a region that is not known is one that the account has enabled since.

    If AWS never listed the account's regions, it may have been there, and no setting named it.
    """
    return last_source(known) is source and any(region.is_listed for region in known.values())


def _is_used(region: str, known: KnownRegions, value: Discovered, written: Mapping[str, Written]) -> bool:
    """Return whether a region that was read ever had a resource that no other region had shown before.

    Two regions may show the same one, and the first of them may be down for a night.
    """
    if region in known and known[region].is_used:
        return True
    if not _could_be_seen(region, known, value):
        return value.read[region].resources > 0
    return region in written and written[region].change.appeared > 0


def _regions_now(
    known: KnownRegions, value: Discovered, written: Mapping[str, Written], now: datetime
) -> KnownRegions:
    """Return what is known of the regions after this discovery, as far as it differs."""
    regions: dict[str, KnownRegion] = {}
    if not _are_all_known(known, value.source):
        # Later, a region that was just enabled stays unknown until it is read: then its first use is raised.
        regions = {
            region: KnownRegion(is_listed=value.is_listed) for region in value.failed if region not in known
        }
    for region, read in value.read.items():
        before = known.get(region, KnownRegion())
        was_read = read.is_complete or before.read_at is not None
        regions[region] = KnownRegion(
            read_at=now if read.is_complete else before.read_at,
            source=value.source if read.is_complete else before.source,
            # Of some of its resources it is believed if no others are stored.
            digest=read.digest if was_read else None,
            resources=read.resources,
            is_used=_is_used(region, known, value, written),
            is_listed=before.is_listed or value.is_listed,
        )
    return regions


def _disabled_now(known: KnownRegions, value: Discovered) -> dict[str, bool]:
    """Return of each region that was disabled or enabled since whether it is disabled."""
    seen = value.read.keys() | value.failed.keys() | {GLOBAL}
    return {
        region: region not in seen
        for region, before in known.items()
        if before.is_disabled == (region in seen) and (region in seen or value.is_listed)
    }
