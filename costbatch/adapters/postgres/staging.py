"""Staging tables: what COPY fills, to be compared with what is stored."""

from dataclasses import dataclass
from zlib import crc32

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class StagingTable:
    """A session table; ``alias``: what statements call it. ``copying``: makes and empties it, and copies.

    A pooler keeps its connections to the server over an upgrade, so a table that another version made must
    not be taken for this one: the name holds a digest of how it is made.
    """

    alias: str
    copying: str

    @property
    def name(self) -> str:
        """What the database calls it."""
        return f"{self.alias}_{crc32(self.copying.encode()):08x}"

    @property
    def copy(self) -> str:
        """The statement that copies rows into it."""
        return self._named(self.copying)

    def text(self, statement: str) -> sa.TextClause:
        """Return a statement about it."""
        return sa.text(self._named(statement))

    def _named(self, statement: str) -> str:
        return statement.replace(self.alias, self.name)
