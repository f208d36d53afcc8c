"""The request as it is written, held against h11, which writes and refuses by the same standard."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.wire.address import read_address
from evals.wire.response import Broken, _request

ADDRESS = read_address("http://127.0.0.1:8080/v1")
FRAMING = ("host", "content-length", "transfer-encoding")
NAMES = st.text(st.sampled_from("aZ0-_!#$%&'*+.^`|~ :\t\r\n\0\x7fé/\"(,"), min_size=0, max_size=6)
VALUES = st.text(st.sampled_from('aZ0-~!"\\: \t\r\n\0\x80é→'), max_size=8)
PATHS = st.text(st.sampled_from("/azA0-._~%?=&é \r\n\0\x7f"), min_size=1, max_size=8)


def by_h11(path: str, headers: dict[str, str], body: bytes | None) -> bytes | None:
    ends = [("Accept-Encoding", "identity"), ("Connection", "close")]
    ends += [("Content-Length", str(len(body)))] if body is not None else []
    try:
        events = [
            h11.Request(
                method="GET" if body is None else "POST",
                target=f"{ADDRESS.path}{path}",
                headers=[("Host", ADDRESS.authority), *headers.items(), *ends],
            ),
            *([h11.Data(data=body)] if body else []),
            h11.EndOfMessage(),
        ]
        connection = h11.Connection(h11.CLIENT)
        return b"".join(connection.send(event) or b"" for event in events)
    except (h11.LocalProtocolError, UnicodeEncodeError):
        return None


@given(PATHS, st.dictionaries(NAMES, VALUES, max_size=3), st.none() | st.binary(max_size=20))
def test_the_request_is_what_h11_writes_or_refuses(path, headers, body):
    headers = {name: value for name, value in headers.items() if name.lower() not in FRAMING}
    expected = by_h11(path, headers, body)
    if expected is None:
        with pytest.raises(Broken, match="a header or the path is not valid"):
            _request(ADDRESS, path, headers, body)
    else:
        assert _request(ADDRESS, path, headers, body) == expected


@pytest.mark.parametrize("name", [*FRAMING, "HOST", "Content-length"])
def test_nobody_else_says_where_a_request_goes_or_ends(name):
    for body in (None, b"{}"):
        with pytest.raises(Broken, match="a header or the path is not valid"):
            _request(ADDRESS, "/chat/completions", {name: "5"}, body)


@pytest.mark.parametrize("control", ["\x1f", "\x7f", "\x0b"])
def test_no_header_has_a_control_character(control):  # h11 lets some pass
    with pytest.raises(Broken, match="a header or the path is not valid"):
        _request(ADDRESS, "/chat/completions", {"X-Name": f"a{control}b"}, b"{}")
