"""One kill of each kind; `make test-kills N=50` makes as many as wanted."""

import pytest
from kills import KINDS, kill_at_random


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_and_a_resume_leave_the_records_of_an_undisturbed_run(tmp_path, kind):
    assert kill_at_random(1, 4, tmp_path, [kind]) == 0
