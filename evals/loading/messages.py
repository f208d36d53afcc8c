"""Messages of a case, held against OpenAI's chat form: what servers and templates can take."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ROLES = ("system", "developer", "user", "assistant", "tool")
_KEYS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls", "refusal", "reasoning_content"},
    "tool": {"role", "content", "name", "tool_call_id"},
}
_ROLES_OF_OTHERS = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("human", "customer", "users"), "user"),
    **dict.fromkeys(("gpt", "ai", "model", "bot", "assistent"), "assistant"),
    **dict.fromkeys(("function", "observation", "tool_result"), "tool"),
}
Found = tuple[tuple[int | str, ...], str]
"""The place within the messages, and what is wrong there."""


def check_messages(messages: Sequence[Any], *, with_system: bool = False) -> Iterator[Found]:
    """Every mistake of a conversation. `with_system`: a system message is put before it.

    Texts alone are asked: parts of other kinds (images, audio) are refused, since the text models
    that this suite asks would drop them silently. A second system message is refused, since
    templates take the first, both or neither.
    """
    if any(isinstance(m, Mapping) and "from" in m and "value" in m for m in messages):
        yield (
            (),
            "these are ShareGPT rows; write {role: user, content: …}: "
            "human is user, gpt is assistant",
        )
        return
    calls: dict[str, bool] = {}
    for number, message in enumerate(messages):
        if isinstance(message, Mapping) and message.get("role") != "tool":
            for name in [name for name, answered in calls.items() if not answered]:
                calls[name] = True
                yield (
                    (number,),
                    f"the call {name!r} has no result before this message; results come right "
                    f"behind their calls: {{role: tool, tool_call_id: {name}, …}}",
                )
        for place, problem in _check_message(message, calls):
            yield (number, *place), problem
    yield from _check_order(messages, with_system=with_system)
    for name in [name for name, answered in calls.items() if not answered]:
        yield (), f"the call {name!r} has no result; add {{role: tool, tool_call_id: {name}, …}}"


def _check_order(messages: Sequence[Any], *, with_system: bool) -> Iterator[Found]:
    roles = [message.get("role") if isinstance(message, Mapping) else None for message in messages]
    leading = [i for i, role in enumerate(roles) if role in ("system", "developer")]
    if with_system and leading:
        yield (leading[0],), "there is `system` already, also from defaults; keep one of the two"
    for i in leading[1:]:
        yield (
            (i,),
            "a second system message; join it with the first, templates differ in what they do",
        )
    if leading and leading[0] > 0:
        yield (leading[0],), "a system message comes first; templates refuse it elsewhere"
    if roles and roles[-1] in ("assistant", "system", "developer"):
        said = "the last message is from user or tool, since the answer to it is what is judged"
        yield (len(roles) - 1,), f"{said}; not from {roles[-1]}"


def _check_message(message: Any, calls: dict[str, bool]) -> Iterator[Found]:
    if not isinstance(message, Mapping):
        yield (), f"a message is a mapping with role and content, not {message!r}"
        return
    role = message.get("role")
    if role not in ROLES:
        said = f"role is {role!r}" if "role" in message else "it has no role"
        meant = _ROLES_OF_OTHERS.get(str(role).lower())
        hint = f"did you mean {meant}? " if meant else ""
        place = ("role",) if "role" in message else ()
        yield place, f"{said}; {hint}choose from {', '.join(ROLES)}"
        return
    for key in sorted(set(message) - _KEYS[role]):
        allowed = ", ".join(sorted(_KEYS[role]))
        yield (key,), f"unknown key; a message of role {role} has: {allowed}"
    yield from _check_content(message, role)
    if role == "assistant" and "tool_calls" in message:
        yield from _check_calls(message["tool_calls"], calls)
    if role == "tool":
        yield from _check_result(message, calls)


def _check_content(message: Mapping[str, Any], role: str) -> Iterator[Found]:
    content = message.get("content")
    if content is None or content == "" or content == []:
        if role == "tool" and content == "":
            return
        if role != "assistant" or not message.get("tool_calls"):
            yield (), f"a message of role {role} needs content"
    elif isinstance(content, list):
        for number, part in enumerate(content):
            yield from _check_part(part, number)
    elif not isinstance(content, str):
        yield ("content",), f"content is text or a list of text parts, not {content!r}; quote it"


def _check_part(part: Any, number: int) -> Iterator[Found]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind != "text":
        said = f"a part of type {kind!r}" if kind else f"{part!r}"
        if kind in ("tool_use", "tool_result"):  # Anthropic's own form
            form = "tool_calls of the message" if kind == "tool_use" else "a message of role tool"
            yield ("content", number), f"{said}; write it as {form}"
            return
        yield ("content", number), f"{said}: only {{type: text, text: …}} is asked; leave it out"
    elif not isinstance(part.get("text"), str):
        yield ("content", number), "a text part needs text"


def _check_calls(made: Any, calls: dict[str, bool]) -> Iterator[Found]:
    form = "{id: call_1, type: function, function: {name: …, arguments: '{…}'}}"
    if not isinstance(made, list) or not made:
        yield ("tool_calls",), f"tool_calls is a list of {form}"
        return
    for number, call in enumerate(made):
        place = ("tool_calls", number)
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            yield place, f"a call is {form}"
            continue
        if call.get("type") != "function":
            yield place, f"a call needs type: function; it is {form}"
        if not isinstance(function.get("arguments", "{}"), str):
            yield (
                (*place, "function", "arguments"),
                "arguments are JSON as a text; put them in quotes",
            )
        if not isinstance(call.get("id"), str) or not call["id"]:
            yield place, "a call needs an id, which its result names as tool_call_id"
        elif call["id"] in calls:
            yield place, f"a second call with the id {call['id']!r}; choose another"
        else:
            calls[call["id"]] = False


def _check_result(message: Mapping[str, Any], calls: dict[str, bool]) -> Iterator[Found]:
    name = message.get("tool_call_id")
    if name is None:
        yield (), "a tool's result needs tool_call_id, the id of the call that it answers"
    elif name not in calls:
        known = ", ".join(calls) or "none"
        yield ("tool_call_id",), f"no earlier call has the id {name!r}; there are: {known}"
    elif calls[name]:
        yield ("tool_call_id",), f"the call {name!r} has a result already; remove one"
    else:
        calls[name] = True
