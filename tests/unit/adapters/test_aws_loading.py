"""What is loaded for the first account: every other one waits for it."""

from tests.support.machine import run_python

_FIRST_ACCOUNT = """
import sys
from costbatch.adapters.aws.clients import AwsClients, AwsSettings
from costbatch.adapters.aws.cost_explorer.source import CostExplorerSource
from costbatch.adapters.aws.credentials import Identities
from costbatch.adapters.aws.operations import COST_EXPLORER, STS
from costbatch.domain.accounts import Partition

def note(event, arguments):
    if event == "os.listdir" and "/botocore/data/" in str(arguments[0]):
        looked_at.add(str(arguments[0]).split("/botocore/data/")[1])

looked_at = set()
sys.addaudithook(note)
clients = AwsClients(AwsSettings(version="1"))
CostExplorerSource(clients=clients, identities=Identities(clients=clients, open_sealed=None))
for service in (COST_EXPLORER, STS):
    clients.get(service, Partition.AWS)
print(*sorted(looked_at))
"""


def test_the_first_account_waits_for_nothing_that_it_does_not_need() -> None:
    """Only the descriptions of the services that are called are searched for."""
    assert run_python(_FIRST_ACCOUNT) == "ce sts\n"
