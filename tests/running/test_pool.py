import subprocess
import sys
import time

import pytest

from evals.running.pool import Pool


def test_results_and_exceptions_come_back_in_order() -> None:
    pool = Pool(1)
    done: list[int] = []
    futures = [pool.submit(lambda n=n: done.append(n) or n) for n in range(5)]  # type: ignore[misc]
    failing = pool.submit(lambda: 1 // 0)
    assert [future.result(5) for future in futures] == done == list(range(5))
    with pytest.raises(ZeroDivisionError):
        failing.result(5)
    pool.close()


def test_what_has_not_begun_is_cancelled() -> None:
    pool = Pool(1)
    pool.submit(lambda: time.sleep(0.3))
    time.sleep(0.05)
    waiting = pool.submit(lambda: 1)
    pool.close()
    assert waiting.cancelled()


HANGING = """
import socket, sys
from evals.running.pool import Pool
from evals.wire.exchange import Exchange
listener = socket.create_server(("127.0.0.1", 0))
url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
pool = Pool(4)
for _ in range(8):
    pool.submit(lambda: list(Exchange(url, b"{}", 60.0)))
listener.accept()
pool.close()
"""


def test_a_process_ends_while_its_threads_hang_in_an_exchange() -> None:
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", HANGING], check=True, timeout=30)
    assert time.monotonic() - begin < 20  # imports on a busy machine; never the timeout's 60
