"""Every fault in every lane over HTTP: its verdict, its layer, its seconds, the next case unharmed.

`faults.table` is the specification; the server that misbehaves is a process on loopback.
"""

from concurrent.futures import Future

import pytest

from faults.conftest import Outcome
from faults.table import FAULTS, Fault

LANES = ("server", "stream", "agent")


def test_the_table_is_as_long_as_it_is_to_be() -> None:
    assert len(FAULTS) >= 70
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault(
    fault: Fault, lane: str, outcomes: dict[tuple[str, str], "Future[Outcome]"]
) -> None:
    outcome = outcomes[fault.name, lane].result()
    seen, said = outcome.record, getattr(fault, lane)
    failed = [verdict for verdict in seen.verdicts if not verdict.passed]
    heard = "; ".join([seen.observation.error or "", *(verdict.reason for verdict in failed)])
    assert (seen.status, heard) == (said.status, heard)
    assert said.words in heard
    if said.kind:
        assert [(verdict.kind, verdict.layer) for verdict in failed] == [(said.kind, said.layer)]
    assert seen.observation.retries == said.retries
    assert heard.replace("\n", "").isprintable()
    assert outcome.seconds < fault.seconds
    assert outcome.witnessed == 0
    if outcome.after is not None:
        assert (outcome.after.status, outcome.after.observation.error) == ("pass", None)
