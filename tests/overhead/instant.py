"""A server that answers at once, in a process of its own: `python instant.py` prints its URL.

It calls `get_weather` with the town and the days of the last question. `GET /count` says how many
questions came since the last time that it was asked.
"""

import asyncio
import json
import re
from typing import Any

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ASKED = re.compile(r"weather in (Town-\d+) for (\d+) days")


class Conversation(asyncio.Protocol):
    """One connection, which may carry many requests."""

    asked = 0

    def connection_made(self, transport: Any) -> None:
        self.transport, self.pending = transport, b""

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while (end := self.pending.find(b"\r\n\r\n")) >= 0:
            head = self.pending[:end]
            length = int(found[1]) if (found := _LENGTH.search(head)) else 0
            if len(self.pending) < end + 4 + length:
                if b"100-continue" in head:
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            body, self.pending = (
                self.pending[end + 4 : end + 4 + length],
                self.pending[end + 4 + length :],
            )
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path == b"/count":
            said: dict[str, Any] = {"count": Conversation.asked}
            Conversation.asked = 0
        elif path.endswith(b"/models"):
            said = {"object": "list", "data": [{"id": "instant", "object": "model"}]}
        else:
            Conversation.asked += 1
            said = completion(json.loads(body))
        text = json.dumps(said).encode()
        headers = f"content-type: application/json\r\ncontent-length: {len(text)}".encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\n" + text)
        if b"connection: close" in head.lower():
            self.transport.close()


def completion(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request; text where no town is asked for."""
    content = str(request["messages"][-1]["content"])
    message: dict[str, Any] = {"role": "assistant", "content": "Hello."}
    asked = _ASKED.search(content)
    if asked:
        arguments = json.dumps({"city": asked[1], "days": int(asked[2])})
        function = {"name": "get_weather", "arguments": arguments}
        call = {"id": f"call_{asked[1]}", "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    finish = "tool_calls" if asked else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": request.get("model", "instant"),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 24, "total_tokens": 224},
    }


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(
        Conversation, "127.0.0.1", 0, backlog=512
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
