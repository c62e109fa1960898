"""What the discovery job needs from outside, besides what every job needs."""

from typing import Protocol

from costbatch.domain.credentials import Access
from costbatch.domain.resources import Inventory, SourceChoice


class ResourceSource(Protocol):
    """Where resources come from. Called from many threads; never touches the database. Nothing is charged."""

    def find(self, access: Access, choice: SourceChoice) -> Inventory:
        """Return every resource of every enabled region of the account, with its tags.

        A region that fails is in the inventory's ``failed``. One with the choice ``auto`` uses Resource
        Explorer if the account has a view of all its regions, else the tagging API.

        Raises:
            AccountError: no region could be read, the regions are not known, the credentials do not work, or
                ``explorer`` was asked for and the account has no view (resource_explorer_not_enabled).

        """
