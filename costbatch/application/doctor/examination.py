"""Makes checks one after the other: each within its time, none stopping the others, whatever happens."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from costbatch.application.doctor.findings import CheckResult, Finding, Mark, failure
from costbatch.errors import AccountError, ConfigError, CostbatchError, ErrorKind
from costbatch.logs import get_logger, redact

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at, once all that it ``needs`` was found in order.

    limit_seconds: 0 for the examination's own limit.
    """

    name: str
    look: Callable[[], Finding]
    needs: Sequence[str] = ()
    limit_seconds: float = 0


def examine(checks: Sequence[Check], *, limit_seconds: float) -> Iterator[CheckResult]:
    """Yield each check's result as soon as it is there."""
    # By check that cannot be relied on: the one that failed in the first place.
    culprits: dict[str, str] = {}
    for check in checks:
        began = monotonic()
        culprit = next((culprits[name] for name in check.needs if name in culprits), None)
        limit = check.limit_seconds or limit_seconds
        finding = _skipped(culprit) if culprit else _look(check, limit)
        if finding.mark in {Mark.FAILURE, Mark.SKIPPED}:
            culprits[check.name] = culprit or check.name
        yield CheckResult(check.name, _without_secrets(finding), monotonic() - began)


def of_error(error: CostbatchError) -> Finding:
    """Return the failure that an error of ours means; its last sentence says what to do."""
    match error:
        case AccountError():
            return failure(error.detail, error.advice)
        case ConfigError():
            return of_problems(error.problems)
    found, separator, advice = str(error).rpartition(". ")
    if not separator:
        return failure(advice, "Put that right and run `costbatch doctor` again.")
    return failure(f"{found}.", advice)


def of_problems(problems: Sequence[str]) -> Finding:
    """Return the failure that problems with the configuration are."""
    what = "what it says" if len(problems) == 1 else f"these {len(problems)} problems"
    return failure(
        "\n".join(problems),
        f"Put {what} right; `costbatch config` shows every setting and where it comes from.",
        is_configuration=True,
    )


def _look(check: Check, limit_seconds: float) -> Finding:
    """Return what a check finds, or that it took too long."""
    answer: SimpleQueue[Finding] = SimpleQueue()
    # A daemon: one that hangs in the system for ever must not keep the process from ending.
    Thread(target=lambda: answer.put(_guarded(check)), name=check.name, daemon=True).start()
    try:
        return answer.get(timeout=limit_seconds)
    except Empty:
        return failure(
            f"There was no answer within {limit_seconds:g} seconds.",
            "Look for what holds it back, such as a network policy that drops packets; "
            "--timeout lets a check take longer.",
        )


def _guarded(check: Check) -> Finding:
    try:
        return check.look()
    except CostbatchError as error:
        if isinstance(error, AccountError) and error.kind is ErrorKind.INTERNAL:
            log.exception("check_failed", check=check.name)
        return of_error(error)
    except Exception as error:  # a check that breaks must not keep the others from being made
        log.debug("check_crashed", check=check.name, exc_info=True)
        return failure(
            f"The check itself broke with an unexpected error ({type(error).__name__}).",
            "Please report it; with COSTBATCH_LOG_LEVEL=debug the log holds the traceback.",
        )


def _skipped(culprit: str) -> Finding:
    return Finding(Mark.SKIPPED, f"Not looked at, because the check of the {culprit} failed.")


def _without_secrets(finding: Finding) -> Finding:
    return replace(finding, found=redact(finding.found), advice=redact(finding.advice))
