"""Laying a script into a prompt so that the copying model finds it, `distance` tokens from its end.

A case carries its script as a marker in a message, whatever plays it. For the copying model the
request is laid out again: the script alone in a message of the user's before the one with the
marker, which the template itself ends, and filler of one token each after the marker's text. In a
tool's result, script and filler stand together, and so they do for an engine that makes one of two
messages. How much filler is told by the rendered prompt.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evals.errors import ConfigError
from evals.replay.vocabulary import END, LEAD

MARKER = re.compile(r" ?\[\[replay64:([A-Za-z0-9_=-]*)\]\]")
FILLER = " x"
"""One token in both vocabularies, whatever stands before it."""
_LETTERS = [f" {letter}" for letter in "abcdefghijklmnopqrstuvwyzABCDEFGHIJKLMNOPQRSTUVW"]

Body = Mapping[str, Any]


class LayoutError(ConfigError):
    """A script cannot be laid into the prompt; the message says why."""


@dataclass(frozen=True)
class Player:
    """What laying a script needs to know of a copying model and the engine that serves it.

    `encode` gives the ids of a text; `render` those of a request's prompt, as far as known here.
    `shift` is by how many tokens the engine's prompt is longer behind the script than `render`'s.
    Where an engine breaks special tokens in messages up, `lead` is empty; where it joins messages
    that follow one another, `together`: the script stands in the message that asks.
    """

    distance: int
    encode: Callable[[str], list[int]]
    render: Callable[[Body], list[int]]
    text_of: Callable[[Sequence[int]], str]
    lead: str = LEAD
    shift: int = 0
    together: bool = False


def lay(body: Body, player: Player) -> dict[str, Any]:
    """`body` with the last marker of its messages replaced by its script, laid out for copying.

    Markers before it are taken out, for they have been played. Without one it stays as it is.

    Raises:
        LayoutError: the script is too long for the distance, or cannot be played from a prompt.
    """
    messages = body["messages"]
    marked = [i for i, m in enumerate(messages) if MARKER.search(_text(m))]
    if not marked:
        return dict(body)
    script = script_text(MARKER.findall(_text(messages[marked[-1]]))[-1], player)
    return _lay_text(body, marked[-1], script, player, player.distance + player.shift)


def _lay_text(body: Body, at: int, script: str, player: Player, distance: int) -> dict[str, Any]:
    # One token more of filler is one more of distance, unless the text before it ends in a space:
    # then the second round corrects it.
    filler = 0
    for _ in range(3):
        laid = {**body, "messages": _placed(body["messages"], at, script, filler, player)}
        missing = distance - _distance(player.render(laid), script, player)
        filler += missing
        if filler < 0:
            length = len(player.encode(script))
            raise LayoutError(
                f"the replay script has {length} tokens, and {length + filler} is the most that "
                f"a model with distance {player.distance} can play here; shorten the script, or "
                "serve a model with a larger distance"
            )
        if not missing:
            return laid
    raise LayoutError(f"no filler makes the script stand {distance} tokens before the prompt's end")


def script_text(marker: str, player: Player) -> str:
    """The text to play, of the base64 part of a marker.

    Raises:
        LayoutError: no script, or one that needs the replay model with code.
    """
    try:
        data = json.loads(base64.urlsafe_b64decode(marker))
        text = data["text"] if "text" in data else player.text_of(data["ids"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise LayoutError(f"the replay script cannot be read: {error!r}") from error
    if data.get("delay") or data.get("fail_at") is not None:
        raise LayoutError(
            "a replay script with delay or fail_at needs the replay model with code, which "
            'mlx_lm alone can serve: profiles with model = "replay" and engine = "mlx_lm"'
        )
    return str(text)


def _placed(
    messages: Sequence[Mapping[str, Any]], at: int, script: str, filler: int, player: Player
) -> list[dict[str, Any]]:
    placed = [_with_text(message, lambda text: MARKER.sub("", text)) for message in messages]
    padding = FILLER * filler
    if player.together or placed[at].get("role") == "tool":
        together = f" {player.lead}{script}{END}{padding}"
        placed[at] = _with_text(placed[at], lambda text: text + together)
        return placed
    placed[at] = _with_text(placed[at], lambda text: text + padding)
    return [*placed[:at], {"role": "user", "content": player.lead + script}, *placed[at:]]


def _distance(prompt: Sequence[int], script: str, player: Player) -> int:
    """From the script's first token to the last of the prompt."""
    lead = player.encode(player.lead) if player.lead else []
    wanted = [*lead, *player.encode(script), *player.encode(END)]
    last = len(prompt) - len(wanted)
    for start in range(last, -1, -1):
        if list(prompt[start : start + len(wanted)]) == wanted:
            return len(prompt) - 1 - (start + len(lead))
    raise LayoutError(
        "the rendered prompt does not hold the script as it was given: the chat template or the "
        "engine changes messages"
    )


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return str(content)


def _with_text(message: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """`message` with its text changed; of a text in parts, the last part."""
    content = message.get("content")
    if not content:
        return {**message, "content": change("")} if change("") else dict(message)
    if not isinstance(content, list):
        return {**message, "content": change(content)}
    *parts, last = content
    return {**message, "content": [*parts, {**last, "text": change(last.get("text", ""))}]}


def calibrate(player: Player, ask: Callable[[dict[str, Any]], str]) -> Player:
    """`player` with the shift of the engine behind `ask`, found by one question.

    The script numbers its tokens: which of them comes first tells how far the engine's prompt is
    from the one rendered here. `ask` sends a body and returns the answer's text.

    Raises:
        LayoutError: none of them comes first: no copying model is served, or it is far off.
    """
    middle = len(_LETTERS) // 2
    body = {"messages": [{"role": "user", "content": "Which comes first?"}], "max_tokens": 2}
    script = "".join(_LETTERS)
    answer = ask(_lay_text(body, 0, script, player, player.distance + middle))
    letters = answer.split()
    first = f" {letters[0]}" if letters else ""
    # Two in a row: another model may well begin with "I".
    if len(letters) < 2 or f" {letters[0]} {letters[1]}" not in script:
        raise LayoutError(
            f"the server answers a numbered script with {answer[:80]!r}: it does not serve the "
            f"copying model with distance {player.distance}, or changes prompts by more than "
            f"{middle} tokens"
        )
    # A prompt that is longer behind the script shows an earlier token.
    return replace(player, shift=player.shift + middle - _LETTERS.index(first))
