"""The openai client of lane `agent`, on the same bounded exchange as the other lanes."""

import json

import httpx2
import openai

from evals.engines.server import Server
from evals.errors import EvalsError
from evals.lanes.server import read_response
from evals.lanes.tokens import Decode
from evals.observation import Observation
from evals.request import request_text
from evals.wire.bounds import MAX_RESPONSE_BYTES
from evals.wire.exchange import Exchange, ExchangeError


class Transport(httpx2.AsyncBaseTransport):
    """Carries a request's body to the server's chat completions, and nothing else anywhere.

    Headers that the client makes, also out of environment variables, stay here. It blocks: an
    agent asks once, in an event loop of its own. What went wrong on the way, or is no completion
    at all, is kept in `failure` for the lane, since the client has words of its own for it. Every
    other response is kept in `received`, as lane `server` reads it with `decode`; `took` and
    `parse` are the seconds of the response and of that reading.
    """

    def __init__(
        self,
        server: Server,
        timeout: float,
        max_bytes: int = MAX_RESPONSE_BYTES,
        decode: Decode | None = None,
    ) -> None:
        self._server = server
        self._timeout = timeout
        self._max_bytes = max_bytes
        self.exchange: Exchange | None = None
        self._decode = decode
        self.failure: ExchangeError | None = None
        self.received: Observation | None = None
        self.took = self.parse = 0.0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The whole response; raises `failure` where there is none."""
        asked = json.loads(await request.aread())
        try:
            body = request_text(self._server.worded(asked)).encode()
        except EvalsError as reason:
            self.failure = ExchangeError(str(reason))
            raise self.failure from reason
        headers = self._server.dialect.all_headers()
        self.exchange = Exchange(self._server.url, body, self._timeout, self._max_bytes, headers)
        try:
            content = b"".join(chunk for _, chunk in self.exchange)
            self.took = self.exchange.seconds
            evidence = self._server.dialect.evidence
            received = read_response(content, self.took, self._decode, evidence)
            self.parse = self.exchange.seconds - self.took
            if received.error:
                raise ExchangeError(received.error, received.status)
            self.received = received
        except ExchangeError as failure:
            self.failure = failure
            raise
        return httpx2.Response(
            200,
            # In bytes: the client would refuse letters that are no ASCII.
            headers=[(b"Content-Type", self.exchange.content_type.encode("latin-1"))],
            content=content,
        )


def open_client(server: Server, transport: Transport) -> openai.AsyncOpenAI:
    """An openai client that asks over `transport`, once for each request."""
    return openai.AsyncOpenAI(
        base_url=server.url,
        api_key="none",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=transport, trust_env=False),
    )
