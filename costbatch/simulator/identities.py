"""Who is calling: access keys of users, temporary credentials of assumed roles, and their authentication."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from costbatch.simulator.errors import EXPIRED_TOKEN_MESSAGE, INVALID_TOKEN_MESSAGE, AuthProblem
from costbatch.simulator.signatures import HttpRequest, SignatureError, parse_authorization, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from costbatch.simulator.world import Account

MOST_SESSIONS = 100_000


@dataclass(frozen=True, slots=True)
class Principal:
    """An owner of credentials. `session_token` and `expires_at` belong to temporary ones."""

    account_id: str
    arn: str
    user_id: str
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    expires_at: datetime | None = None


class Identities:
    """All credentials, valid or not."""

    def __init__(self, accounts: Iterable[Account], *, clock: Callable[[], datetime]) -> None:
        """Start with the access keys of the accounts."""
        self._clock = clock
        self._users: dict[str, Principal] = {}
        self._key_of_account: dict[str, str] = {}
        self._sessions: dict[str, Principal] = {}
        for account in accounts:
            self.register(account)

    def register(self, account: Account) -> None:
        """Make the account's access key valid and its earlier one invalid."""
        self._users.pop(self._key_of_account.get(account.account_id, ""), None)
        self._key_of_account[account.account_id] = account.access_key_id
        self._users[account.access_key_id] = Principal(
            account_id=account.account_id,
            arn=f"arn:aws:iam::{account.account_id}:user/costbatch",
            user_id=f"AIDA{account.account_id:0>17}",
            access_key_id=account.access_key_id,
            secret_access_key=account.secret_access_key,
        )

    def authenticate(self, request: HttpRequest) -> Principal:
        """Return the principal that signed a request; raise SignatureError if there is none."""
        authorization = parse_authorization(request.headers)
        principal = self.owner_of(authorization.access_key_id)
        token = request.headers.get("X-Amz-Security-Token")
        if principal is None or principal.session_token != token:
            raise SignatureError(AuthProblem.UNKNOWN_KEY, INVALID_TOKEN_MESSAGE)
        now = self._clock()
        verify(request, authorization, secret=principal.secret_access_key, now=now)
        if principal.expires_at is not None and principal.expires_at <= now:
            raise SignatureError(AuthProblem.EXPIRED, EXPIRED_TOKEN_MESSAGE)
        return principal

    def owner_of(self, access_key_id: str) -> Principal | None:
        """Find the principal of an access key."""
        return self._users.get(access_key_id) or self._sessions.get(access_key_id)

    def open_session(self, *, account_id: str, role: str, session: str, seconds: int) -> Principal:
        """Issue temporary credentials for an assumed role."""
        role_id = f"AROA{account_id:0>17}"
        principal = Principal(
            account_id=account_id,
            arn=f"arn:aws:sts::{account_id}:assumed-role/{role}/{session}",
            user_id=f"{role_id}:{session}",
            access_key_id="ASIA" + base64.b32encode(secrets.token_bytes(10)).decode(),
            secret_access_key=base64.b64encode(secrets.token_bytes(30)).decode(),
            session_token=base64.b64encode(secrets.token_bytes(96)).decode(),
            expires_at=self._clock().astimezone(UTC).replace(microsecond=0) + timedelta(seconds=seconds),
        )
        self._sessions[principal.access_key_id] = principal
        if len(self._sessions) > MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return principal

    def expire_sessions(self) -> int:
        """End every temporary credential now; return how many there were."""
        ended = self._clock() - timedelta(seconds=1)
        self._sessions = {key: replace(item, expires_at=ended) for key, item in self._sessions.items()}
        return len(self._sessions)
