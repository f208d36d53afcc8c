"""The most memory of a process: what it has given back counts, too."""

import subprocess
import sys

import pytest

from evals.engines.memory import PeakMemory, resident

HOLD = "x = bytearray(60_000_000); del x; print('done', flush=True); input()"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the most of a process")
def test_the_peak_of_a_process_counts_after_it():
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "done\n"
        memory = PeakMemory(lambda: process.pid)
        peak = memory.bytes
        process.communicate("\n")
    assert peak > 60_000_000
    assert memory.bytes == peak  # the process is gone
    assert PeakMemory(lambda: process.pid).bytes is None
    assert PeakMemory(lambda: None).bytes is None
    assert resident(process.pid) is None
