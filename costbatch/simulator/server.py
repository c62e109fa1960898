"""The HTTP server: reads requests, writes answers, and breaks connections when a fault asks for it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from aiohttp import web

from costbatch.simulator import control
from costbatch.simulator.errors import AwsError, error_answer
from costbatch.simulator.faults import Ending
from costbatch.simulator.gateway import UNKNOWN_ACCOUNT, Outcome, respond
from costbatch.simulator.signatures import HttpRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from costbatch.simulator.answers import Answer
    from costbatch.simulator.simulation import Simulation

LOOPBACK = "127.0.0.1"
SHUTDOWN_SECONDS = 0.2
OUTAGE = Outcome(
    error_answer("", AwsError("ServiceUnavailable", "The service is unavailable.", status=503)),
    UNKNOWN_ACCOUNT,
    operation="",
)


class Server:
    """Serves one simulation."""

    def __init__(self, simulation: Simulation) -> None:
        """Serve this simulation."""
        self._simulation = simulation

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if request.path.startswith(control.PREFIX):
            return await control.handle(self._simulation, request)
        signed = await _signed_request(request)
        simulation, now = self._simulation, asyncio.get_running_loop().time
        # From the request on: the time to make an answer is part of its latency.
        due = now() + simulation.latency_seconds
        outcome = OUTAGE
        if not simulation.outage:
            outcome = respond(simulation, signed)
            if outcome.ending is not Ending.RESET:
                # Now: AWS charges for a request, also if the client has left before the answer.
                simulation.ledger.answered(outcome.account_id, outcome.operation, outcome.answer.status)
        wait_seconds = due - now() + outcome.wait_seconds
        if wait_seconds > 0:
            await asyncio.sleep(wait_seconds)
        return await _finish(request, outcome)


@asynccontextmanager
async def serving(simulation: Simulation, *, host: str = LOOPBACK, port: int = 0) -> AsyncIterator[str]:
    """Serve during the ``with`` block and yield the URL. Port 0: any free port."""
    # Handlers are cancelled when a client leaves: a hanging one must end with its connection.
    server = web.Server(Server(simulation).handle, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        bound_host, bound_port, *_ = runner.addresses[0]
        yield f"http://{bound_host}:{bound_port}"
    finally:
        await runner.cleanup()


async def _finish(request: web.BaseRequest, outcome: Outcome) -> web.StreamResponse:
    if outcome.ending is Ending.RESET:
        _close(request)
        return web.Response()
    if outcome.ending is Ending.TRUNCATED:
        return await _truncated(request, outcome.answer)
    answer = outcome.answer
    return web.Response(body=answer.body, status=answer.status, headers=_headers(answer))


async def _signed_request(request: web.BaseRequest) -> HttpRequest:
    url = request.rel_url
    return HttpRequest(
        method=request.method,
        path=url.raw_path,
        query=url.raw_query_string,
        headers=request.headers,
        body=await request.read(),
    )


def _headers(answer: Answer) -> dict[str, str]:
    headers = {"Content-Type": answer.content_type, "x-amzn-RequestId": str(uuid4())}
    return {**headers, "x-amzn-ErrorType": answer.error_type} if answer.error_type else headers


async def _truncated(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_headers(answer))
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    _close(request)
    return response


def _close(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.close()
