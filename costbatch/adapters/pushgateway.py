"""Pushes a run's metrics to a Pushgateway, and checks that it is ready."""

import base64
import platform
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPException
from types import MappingProxyType
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import push_to_gateway, pushadd_to_gateway
from typing_extensions import override

from costbatch.application.doctor.ports import Gateway
from costbatch.application.ports import Metrics
from costbatch.domain.credentials import Secret
from costbatch.domain.metrics import BUILD_INFO, LAST_RUN, LAST_RUN_SUCCEEDED, LAST_SUCCESS, Sample
from costbatch.domain.reports import RunReport
from costbatch.errors import DeliveryError
from costbatch.timeout import within

# The value of Prometheus' label ``job``: each job has its own, so that none replaces another's metrics.
_JOB = "costbatch"
_FIRST_JOB = "collect"
# The last success has a group of its own, because the PUT that replaces a run's group would remove it with
# every failing run. The job is the same, so that
# `{job="costbatch"}` selects both.
SUCCESS_GROUP = {"group": "last_success"}
# A run that was restricted to some accounts or days has a group of its own too, so that it does not replace
# the metrics of complete runs: `run=""` in a selector leaves it out.
MANUAL_GROUP = {"run": "manual"}

_READY = "/-/ready"
_REDIRECTS = range(300, 400)


def job_label(job: str) -> str:
    """Return the label ``job`` of a job's metrics: "costbatch" for costs, else "costbatch-NAME"."""
    return _JOB if job == _FIRST_JOB else f"{_JOB}-{job}"


class Pushgateway(Metrics):
    """Pushes runs of one job to a Pushgateway; ``url`` may contain a user and a password.

    job: its name. labels: distinguish this installation's groups from others on the same Pushgateway.
    """

    def __init__(
        self,
        url: Secret,
        *,
        job: str,
        timeout_seconds: float,
        version: str,
        labels: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._address, self._path, self._credentials = _parts_of(url)
        self._timeout_seconds = timeout_seconds
        self._job = job_label(job)
        self._version = version
        self._labels = labels

    @override
    def push(
        self, report: RunReport | None, *, succeeded: bool, now: datetime, is_whole: bool = True
    ) -> None:
        try:
            # One limit for all groups, however slow a server is.
            within(
                self._timeout_seconds,
                lambda: self._push(report, succeeded=succeeded, is_whole=is_whole, now=now),
            )
        except TimeoutError as error:
            raise self._unreachable(error) from error

    def _push(self, report: RunReport | None, *, succeeded: bool, is_whole: bool, now: datetime) -> None:
        # A process that joins a finished run does nothing, which must not look like a new success.
        ended_at = report.ended_at if report else now
        samples = [
            Sample(LAST_RUN, ended_at.timestamp()),
            Sample(LAST_RUN_SUCCEEDED, succeeded),
            Sample(BUILD_INFO, 1, (self._version, platform.python_version())),
        ]
        # Without a report nothing is known of the other metrics of a group, such as anomalies: they stay.
        push = pushadd_to_gateway if report is None else push_to_gateway
        if report is not None:
            samples += report.samples()
        if not is_whole:
            self._send(push, samples, MANUAL_GROUP)
            return
        if succeeded:
            success = Sample(LAST_SUCCESS, ended_at.timestamp())
            self._send(push, [success], SUCCESS_GROUP)
        if report is not None:
            samples += report.database_samples()
        self._send(push, samples, {})

    def _send(self, push: Callable[..., None], samples: Iterable[Sample], group: dict[str, str]) -> None:
        # A metric without samples is left out, not 0.
        registry = CollectorRegistry()
        gauges: dict[str, Gauge] = {}
        for metric, value, labels in samples:
            if metric.name not in gauges:
                gauges[metric.name] = Gauge(metric.name, metric.help, metric.labels, registry=registry)
            gauge = gauges[metric.name].labels(*labels) if labels else gauges[metric.name]
            gauge.set(float(value))
        push(
            self._address + self._path,
            job=self._job,
            grouping_key={**self._labels, **group},
            registry=registry,
            timeout=self._timeout_seconds,
            handler=self._handler,
        )

    def _handler(
        self, url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        """Return the function that sends one request, as prometheus_client expects it."""

        def send() -> None:
            # The setting is checked to be an http or https address.
            request = Request(url, data=data, headers=dict(headers), method=method)  # noqa: S310 - see above
            if self._credentials:
                request.add_unredirected_header("Authorization", self._credentials)
            try:
                build_opener(_NoRedirects).open(request, timeout=timeout).close()
            except HTTPError as error:
                error.close()
                raise self._refused(error.code) from error
            except (OSError, HTTPException, ValueError) as error:
                raise self._unreachable(error) from error

        return send

    def _refused(self, status: int) -> DeliveryError:
        advice = ""
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            advice = "; check the user and the password in PUSHGATEWAY_URL"
        elif status in _REDIRECTS:
            advice = "; redirects are not followed, so set PUSHGATEWAY_URL to the final address"
        return DeliveryError(
            f"The Pushgateway at {self._address} refused the metrics with {_phrase(status)}{advice}."
        )

    def _unreachable(self, error: Exception) -> DeliveryError:
        return DeliveryError(_no_answer(self._address, error, self._timeout_seconds))


class GatewayProbe(Gateway):
    """Checks that a Pushgateway is ready, with the address, credentials and proxy of a push."""

    def __init__(self, url: Secret, *, timeout_seconds: float) -> None:
        self._address, self._path, self._credentials = _parts_of(url)
        self._timeout_seconds = timeout_seconds

    @property
    @override
    def address(self) -> str:
        return self._address

    @override
    def check_ready(self) -> None:
        request = Request(self._address + self._path + _READY)  # noqa: S310 - the setting is checked to be http or https
        if self._credentials:
            request.add_unredirected_header("Authorization", self._credentials)
        try:
            build_opener(_NoRedirects).open(request, timeout=self._timeout_seconds).close()
        except HTTPError as error:
            error.close()
            raise DeliveryError(f"The Pushgateway at {self._address} {_not_ready(error.code)}") from None
        except (OSError, HTTPException, ValueError) as error:
            advice = "Check PUSHGATEWAY_URL, the network policy and that the Pushgateway is up."
            problem = _no_answer(self._address, error, self._timeout_seconds)
            raise DeliveryError(f"{problem} {advice}") from None


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirects: the metrics would be lost, because urllib continues with a GET."""

    @override
    def redirect_request(self, *_: object) -> None:
        """Return no request, so that a redirect is an error like any other."""


def _not_ready(status: int) -> str:
    answer = f"answered {_phrase(status)}"
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return f"{answer}. Check the user and the password in PUSHGATEWAY_URL."
    if status in _REDIRECTS:
        return f"{answer}. Redirects are not followed, so set PUSHGATEWAY_URL to the final address."
    if status == HTTPStatus.NOT_FOUND:
        return f"{answer} for {_READY}. Check that PUSHGATEWAY_URL is a Pushgateway's, with its path prefix."
    return f"{answer}, so it is not ready. See its log, and the log of a proxy in front of it."


def _phrase(status: int) -> str:
    # Python's own phrase: a server's may contain anything.
    is_known = status in HTTPStatus.__members__.values()
    return f"{status} {HTTPStatus(status).phrase}" if is_known else str(status)


def _no_answer(address: str, error: Exception, timeout_seconds: float) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return f"The Pushgateway at {address} did not answer within {timeout_seconds:g} seconds."
    why = reason.strerror if isinstance(reason, OSError) and reason.strerror else type(reason).__name__
    return f"The Pushgateway at {address} cannot be reached: {why}."


def _parts_of(url: Secret) -> tuple[str, str, str | None]:
    """Return the address without credentials, the path prefix, and the value of the Authorization header."""
    parts = urlsplit(url.reveal())
    address, path = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path.rstrip("/")
    if parts.username is None:
        return address, path, None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return address, path, "Basic " + base64.b64encode(pair.encode()).decode()
