"""A server that misbehaves on order: a process of its own, with real sockets on loopback.

`python tests/faults/server.py` prints the port of its control line and ends with its input. A line
sent there is an order, and its answer a line of JSON:

    order NAME   [a port where the fault of this name happens to the first connection and the right
                 answer comes to each later one, the port of a witness that a fault may lead to]
    hits PORT    how many connections that port has had
"""

import json
import socket
import sys
import threading
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.peer import Act, Peer, ended, good
from faults.table import FAULTS

HOST = "127.0.0.1"


class Faults:
    """The ports that were ordered, and their connections."""

    def __init__(self) -> None:
        self._hits: Counter[int] = Counter()
        self._lock = threading.Lock()

    def order(self, name: str) -> list[int]:
        act = next(fault.act for fault in FAULTS if fault.name == name)
        witness = self._serve(good, 0)
        return [self._serve(act, witness) if act else free_port(), witness]

    def hits(self, port: int) -> int:
        with self._lock:
            return self._hits[port]

    def _serve(self, act: Act, witness: int) -> int:
        listener = socket.create_server((HOST, 0), backlog=16)
        port = int(listener.getsockname()[1])
        start(self._accept, listener, act, port, witness)
        return port

    def _accept(self, listener: socket.socket, act: Act, port: int, witness: int) -> None:
        while True:
            connection, _ = listener.accept()
            with self._lock:
                self._hits[port] += 1
                first = self._hits[port] == 1
            start(do, act if first else good, Peer(connection, port, witness))


def do(act: Act, peer: Peer) -> None:
    with ended(peer.socket):
        act(peer)


def start(function, *arguments) -> None:
    threading.Thread(target=function, args=arguments, daemon=True).start()


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def control(listener: socket.socket, faults: Faults) -> None:
    while True:
        connection, _ = listener.accept()
        start(obey, connection, faults)


def obey(connection: socket.socket, faults: Faults) -> None:
    with connection, connection.makefile("rw", encoding="utf-8") as lines:
        word, _, rest = lines.readline().strip().partition(" ")
        answer = faults.order(rest) if word == "order" else faults.hits(int(rest))
        print(json.dumps(answer), file=lines, flush=True)


if __name__ == "__main__":
    control_line = socket.create_server((HOST, 0), backlog=64)
    print(control_line.getsockname()[1], flush=True)
    start(control, control_line, Faults())
    sys.stdin.read()
