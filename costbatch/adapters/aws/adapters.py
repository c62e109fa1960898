"""The adapters that call AWS, built from the settings.

Import this module late: botocore is slow to load, and most commands do not call AWS.
"""

from dataclasses import dataclass
from math import inf

from costbatch.adapters.aws.clients import AwsClients, AwsSettings
from costbatch.adapters.aws.cost_explorer.anomalies import CostAnomalySource
from costbatch.adapters.aws.cost_explorer.source import CostExplorerSource
from costbatch.adapters.aws.credentials import Identities
from costbatch.adapters.aws.inventory.source import AwsResourceSource
from costbatch.adapters.aws.probe import BotocoreProbe
from costbatch.adapters.aws.topics import Topics
from costbatch.application.ports import Vault
from costbatch.config import Settings
from costbatch.domain.credentials import Access

# How long a person waits for STS to say whose credentials are.
_ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class AwsAdapters:
    """Builds what calls AWS. ``version`` is what requests say of their sender."""

    settings: Settings
    version: str

    def cost_source(self, vault: Vault) -> CostExplorerSource:
        """Return what reads costs."""
        clients = self._clients()
        return CostExplorerSource(clients=clients, identities=_identities(clients, vault))

    def anomaly_source(self, vault: Vault) -> CostAnomalySource:
        """Return what reads the anomalies that AWS detected."""
        clients = self._clients()
        return CostAnomalySource(clients=clients, identities=_identities(clients, vault))

    def resource_source(self, vault: Vault) -> AwsResourceSource:
        """Return what reads resources."""
        clients, regions = self._clients(), sorted(self.settings.regions)
        return AwsResourceSource(clients=clients, identities=_identities(clients, vault), regions=regions)

    def owner(self, access: Access, vault: Vault) -> str:
        """Return whose an account's credentials are."""
        clients = self._clients(most_seconds=_ANSWER_SECONDS, most_attempts=2)
        return _identities(clients, vault).owner(access)

    def probe(self, limit_seconds: float) -> BotocoreProbe:
        """Return what finds out within this time whether AWS can be reached."""
        # Both addresses are asked within the limit, or it could not be said which one does not answer.
        return BotocoreProbe(self._clients(most_seconds=limit_seconds / 6, most_attempts=1))

    def topics(self) -> Topics:
        """Return what publishes to SNS."""
        return Topics(self.version)

    def _clients(self, *, most_seconds: float = inf, most_attempts: float = inf) -> AwsClients:
        """Return the clients that the settings ask for; a person waits for less time than a run."""
        settings = self.settings
        return AwsClients(
            AwsSettings(
                version=self.version,
                connect_timeout_seconds=min(settings.aws_connect_timeout_seconds, most_seconds),
                read_timeout_seconds=min(settings.aws_read_timeout_seconds, most_seconds),
                max_attempts=int(min(settings.aws_max_attempts, most_attempts)),
                concurrency=settings.concurrency,
                page_limit=settings.page_limit,
            )
        )


def _identities(clients: AwsClients, vault: Vault) -> Identities:
    return Identities(clients=clients, open_sealed=vault.open)
