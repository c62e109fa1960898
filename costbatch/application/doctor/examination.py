"""Runs the checks one after the other, each with a timeout; a check that fails does not stop the others."""

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
    """One check; it is skipped if a check that it ``needs`` failed.

    limit_seconds: its own timeout; 0: that of the examination.
    """

    name: str
    look: Callable[[], Finding]
    needs: Sequence[str] = ()
    limit_seconds: float = 0


def examine(checks: Sequence[Check], *, limit_seconds: float) -> Iterator[CheckResult]:
    """Yield the result of each check as soon as it is known."""
    # By check that failed or was skipped: the one that failed first.
    culprits: dict[str, str] = {}
    for check in checks:
        began = monotonic()
        culprit = next((culprits[name] for name in check.needs if name in culprits), None)
        if culprit:
            finding = Finding(Mark.SKIPPED, f"Skipped: depends on the failed {culprit} check.")
        else:
            finding = _look(check, check.limit_seconds or limit_seconds)
        if finding.mark in {Mark.FAILURE, Mark.SKIPPED}:
            culprits[check.name] = culprit or check.name
        masked = replace(finding, found=redact(finding.found), advice=redact(finding.advice))
        yield CheckResult(check.name, masked, monotonic() - began)


def of_error(error: CostbatchError) -> Finding:
    """Return the failure for an error; the last sentence of its message is the advice."""
    match error:
        case AccountError():
            return failure(error.detail, error.advice)
        case ConfigError():
            return of_problems(error.problems)
    found, separator, advice = str(error).rpartition(". ")
    if not separator:
        return failure(advice, "Fix this and run `costbatch doctor` again.")
    return failure(f"{found}.", advice)


def of_problems(problems: Sequence[str]) -> Finding:
    """Return the failure for problems of the configuration."""
    what = "this" if len(problems) == 1 else f"these {len(problems)} problems"
    return failure(
        "\n".join(problems),
        f"Fix {what}; `costbatch config` shows every setting and where it comes from.",
        is_configuration=True,
    )


def _look(check: Check, limit_seconds: float) -> Finding:
    """Return the finding of a check, or that it timed out."""
    answer: SimpleQueue[Finding] = SimpleQueue()
    # A daemon thread: a system call that hangs must not keep the process from exiting.
    Thread(target=lambda: answer.put(_guarded(check)), name=check.name, daemon=True).start()
    try:
        return answer.get(timeout=limit_seconds)
    except Empty:
        return failure(
            f"Timed out after {limit_seconds:g} seconds.",
            "Look for what blocks it, such as a network policy that drops packets; "
            "--timeout allows a check to take longer.",
        )


def _guarded(check: Check) -> Finding:
    try:
        return check.look()
    except CostbatchError as error:
        if isinstance(error, AccountError) and error.kind is ErrorKind.INTERNAL:
            log.exception("check_failed", check=check.name)
        return of_error(error)
    except Exception as error:  # a crash must not stop the other checks
        log.debug("check_crashed", check=check.name, exc_info=True)
        return failure(
            f"The check crashed with an unexpected error ({type(error).__name__}).",
            "Please report it; with COSTBATCH_LOG_LEVEL=debug, the log has the traceback.",
        )
