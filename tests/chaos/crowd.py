"""A crowd: several processes with one run key over hundreds of accounts, and what befalls them."""

import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from pathlib import Path

from costbatch.domain.runs import SUSPECT_TAKEOVERS
from costbatch.simulator.world import Account, Anomaly, Fault
from tests.chaos.postgres_servers import Server
from tests.support.fork_server import Process
from tests.support.harness import TODAY, Harness, make_account
from tests.support.waiting import until

RUN_KEY = "crowd"
PROCESSES = 4
CONCURRENCY = 4
ACCOUNTS = 240
# No answer takes that long, unless a fault says so.
_READ_TIMEOUT_SECONDS = 5.0
_LATE_SECONDS = _READ_TIMEOUT_SECONDS + 1
# AWS has taken the request by then: whoever is killed while it answers has asked in vain.
_ANSWER_SECONDS = 0.08
ENVIRON = {
    "COSTBATCH_CONCURRENCY": str(CONCURRENCY),
    "COSTBATCH_RETRY_PAUSE_SECONDS": "0.2",
    "COSTBATCH_AWS_READ_TIMEOUT_SECONDS": str(_READ_TIMEOUT_SECONDS),
    "COSTBATCH_ANOMALY_SETTLE_DAYS": "1",
    # The accounts are not older.
    "COSTBATCH_HISTORY_MONTHS": "2",
}

# One of so many accounts fails for good, or has its costs at the second or third attempt only. Too few are
# throttled for anybody to believe in a limit of all accounts together, and the last ones are not late.
_FIRST = 7
_FAULTS = {
    25: (Fault("access_denied"),),
    37: (Fault("invalid_token", operation="*"),),
    91: (Fault("not_enabled"),),
    45: (Fault("limit_exceeded", times=2),),
    52: (Fault("throttling", times=1),),
    33: (Fault("http_500", times=1),),
    61: (Fault("http_503", times=1), Fault("reset", times=1)),
    150: (Fault("latency", times=1, seconds=_LATE_SECONDS),),
    210: (Fault("hang", times=1, seconds=_LATE_SECONDS),),
}
_ANOMALIES = {
    9: Anomaly("spike", TODAY - timedelta(days=1), 6.0),
    14: Anomaly("spike", TODAY - timedelta(days=4), 3.0, days=2),
    21: Anomaly("drop", TODAY - timedelta(days=8), 0.1),
    34: Anomaly("level_shift", TODAY - timedelta(days=6), 4.0),
}


def crowd_accounts() -> list[Account]:
    """Return the accounts: forty days of a few services, and something with every fourth of them."""
    return [_account(number) for number in range(1, ACCOUNTS + 1)]


def _account(number: int) -> Account:
    faults = [_FAULTS[every] for every in _FAULTS if number % every == _FIRST]
    return make_account(
        number,
        services=number % 3 + 1,
        start=TODAY - timedelta(days=40),
        anomalies=tuple(_ANOMALIES[every] for every in _ANOMALIES if number % every == 0),
        faults=(*chain(*faults[:1]), Fault("latency", seconds=_ANSWER_SECONDS)),
    )


@dataclass
class Member:
    """One process of the crowd, and the file that it logs to."""

    process: Process
    log: Path

    @property
    def printed(self) -> str:
        """What it has logged so far."""
        return self.log.read_text()


@dataclass
class Crowd:
    """Processes that share a run, each replaced when it ends too early, as a Job does.

    ``folder``: for their logs. ``elsewhere``: whether the dead cannot be told from those on another host.
    """

    harness: Harness
    server: Server
    folder: Path
    chance: random.Random
    environ: Mapping[str, str]
    elsewhere: bool = False
    members: list[Member] = field(default_factory=list)
    killed: list[Member] = field(default_factory=list)
    story: list[str] = field(default_factory=list)

    @property
    def alive(self) -> list[Member]:
        """Those that have not ended."""
        return [member for member in self.members if member.process.poll() is None]

    @property
    def ended(self) -> list[Member]:
        """Those that nobody killed."""
        return [member for member in self.members if member not in self.killed]

    def start(self) -> None:
        """Let one more process join the run."""
        log = self.folder / f"{len(self.members)}.log"
        with log.open("w") as file:
            process = self.harness.start_with(
                file.fileno(), "collect", "--run-key", RUN_KEY, **ENVIRON, **self.environ
            )
        self.members.append(Member(process, log))

    def wait_for(self, accounts: int) -> None:
        """Wait until so many accounts have their outcome."""
        until(lambda: self._replace_failed() or self._done() >= accounts)

    def kill(self) -> None:
        """Kill a process that works on accounts, at any moment, and start another one soon.

        But none that works on what two have died with: a third death rightly fails the account.
        """
        time.sleep(self.chance.uniform(0, 0.15))
        victim = self._stop_one()
        victim.process.kill()
        victim.process.wait()
        self.killed.append(victim)
        self.story.append(f"killed {victim.log.stem} with {self._done()} accounts done")
        if self.elsewhere:
            self._move_claims(victim)
        time.sleep(self.chance.uniform(0, 0.5))
        self.start()

    def restart_database(self) -> None:
        """Stop PostgreSQL in order or at once, and start it again."""
        mode = self.chance.choice([signal.SIGINT, signal.SIGQUIT])
        self.story.append(f"stopped PostgreSQL by {mode.name} with {self._done()} accounts done")
        self.server.restart(mode)

    def finish(self) -> None:
        """Let everybody end; longer than a minute after the last kill nothing may take."""
        until(lambda: self._replace_failed() or not self.alive)
        for member in self.members:
            member.process.communicate()

    def _replace_failed(self) -> bool:
        """Start another process for each that has lost the database; always False."""
        failed = [each for each in self.ended if each.process.poll() == 1]
        while len(self.members) < PROCESSES + len(self.killed) + len(failed):
            self.start()
        return False

    def _done(self) -> int:
        return int(
            self.harness.value("SELECT count(*) FROM run_items WHERE state NOT IN ('pending', 'running')")
        )

    def _stop_one(self) -> Member:
        while True:
            victim = self._choose()
            victim.process.send_signal(signal.SIGSTOP)
            # What it sent before that is done by then.
            time.sleep(0.02)
            suspects = "SELECT claimed_by FROM run_items WHERE state = 'running' AND takeovers >= %s"
            holders = {
                row["claimed_by"].split("/")[-2] for row in self.harness.rows(suspects, SUSPECT_TAKEOVERS)
            }
            if str(victim.process.pid) not in holders:
                return victim
            victim.process.send_signal(signal.SIGCONT)
            time.sleep(0.1)

    def _choose(self) -> Member:
        """Choose among those that hold claims; among all that live where nobody does."""
        rows = self.harness.rows("SELECT DISTINCT claimed_by FROM run_items WHERE claimed_by IS NOT NULL")
        holders = {row["claimed_by"].split("/")[-2] for row in rows}
        at_work = [member for member in self.alive if str(member.process.pid) in holders]
        return self.chance.choice(at_work or self.alive)

    def _move_claims(self, victim: Member) -> None:
        self.harness.rows(
            "UPDATE run_items SET claimed_by = 'elsewhere/boot/pid:[1]/' || %s || '/1'"
            " WHERE claimed_by ~ ('/' || %s || '/[0-9]+$')",
            str(victim.process.pid),
            str(victim.process.pid),
        )
