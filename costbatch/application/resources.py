"""The use cases of discovered resources: list, count and export them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from costbatch.application.discover.ports import ResourceQueries
from costbatch.application.ports import Database
from costbatch.application.selection import check_registered
from costbatch.domain.resource_queries import ResourceFilter, StoredResource, TypeCount


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The use cases. Every method may raise ConfigError and StorageError.

    ConfigError: the schema does not fit, or an account of the filter is not registered.
    """

    database: Database
    queries: ResourceQueries

    def find(self, asked: ResourceFilter, *, most: int | None = None) -> Iterator[StoredResource]:
        """Yield them, by account, service, type and ARN; only some are in memory at a time."""
        self._check(asked)
        return self.queries.find(asked, most=most)

    def count(self, asked: ResourceFilter) -> int:
        """Return how many resources satisfy the filter."""
        self._check(asked)
        return self.queries.count(asked)

    def stats(self, asked: ResourceFilter, required_tags: Sequence[str]) -> list[TypeCount]:
        """Return how many there are of each type, the most first, and how many lack each required tag."""
        self._check(asked)
        return self.queries.stats(asked, required_tags)

    def _check(self, asked: ResourceFilter) -> None:
        self.database.check_schema()
        with self.database.transaction() as tx:
            check_registered(tx, asked.aws_account_ids)
