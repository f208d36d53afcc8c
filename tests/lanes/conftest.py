from collections.abc import Iterator

import pytest
from scripted_server import Scripted, serve


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A server that answers as the test tells it to."""
    with serve() as server:
        yield server
