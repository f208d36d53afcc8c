"""Scripts on a copying model behind a server: each request is laid out on its way there."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from evals.engines.engine import Engine
from evals.engines.server import Server, exchange
from evals.errors import ServerError
from evals.escaping import excerpt
from evals.replay.layout import Body, Player, calibrate, lay
from evals.replay.prompts import rendered_by_llama_cpp, rendered_by_vllm

_TIMEOUT = 60.0


def replayed(server: Server, engine: Engine, player: Player) -> Server:
    """`server` with requests whose scripts are laid out as its prompts need it.

    Prompts are rendered by the engine where it does so on request, else here; then one probe tells
    how far the server's prompts differ.

    Raises:
        ServerError: the server does not render, or gives no answer to the probe.
        LayoutError: it does not serve the copying model.
    """
    lead = player.lead if engine.keeps_special else ""
    played = replace(player, lead=lead, together=engine.joins_messages)
    if engine.renders != "here":
        played = replace(played, render=_rendered_by(server, engine, player))
    else:
        played = calibrate(played, lambda body: _answer(server, body))
    return replace(server, lay=lambda body: lay(body, played))


def _rendered_by(server: Server, engine: Engine, player: Player) -> Callable[[Body], list[int]]:
    def post(path: str, body: Body) -> Any:
        return _post(server, path, body)

    asked = (
        rendered_by_vllm(post)
        if engine.renders == "vllm"
        else rendered_by_llama_cpp(post, player.encode)
    )

    def render(body: Body) -> list[int]:
        try:
            return asked(body)
        except ServerError:
            # It refuses this request: how, is what its own answer is to show.
            return player.render(body)

    return render


def _post(server: Server, path: str, body: Mapping[str, Any]) -> Any:
    """POST to a path of the server's root; the JSON that comes back."""
    root = server.url.removesuffix("/v1")
    told = {**body, "model": server.dialect.model}
    data, headers = json.dumps(told).encode(), server.dialect.all_headers()
    status, answer = exchange(root, path, _TIMEOUT, data, headers)
    try:
        if status != 200:
            raise ValueError(f"HTTP {status}")
        return json.loads(answer)
    except ValueError as error:
        text = server.dialect.hide(excerpt(answer))
        raise ServerError(f"{root}{path} renders no prompt: {error}: {text}") from error


def _answer(server: Server, body: Mapping[str, Any]) -> str:
    data = json.dumps(server.dialect.body(body)).encode()
    headers = server.dialect.all_headers()
    status, answer = exchange(server.url, "/chat/completions", _TIMEOUT, data, headers)
    try:
        return str(json.loads(answer)["choices"][0]["message"]["content"] or "")
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ServerError(f"{server.url} answers the replay probe with HTTP {status}") from error
