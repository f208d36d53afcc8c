"""The faults: what each does, and what each lane is to say of it. The specification and the test.

A lane either says `server_error`, layer `server`, with words that name the fault; or the fault is
harmless, and the right answer passes. Where the lanes differ, the row says how.
"""

from dataclasses import dataclass

from faults.peer import (
    COUNTS,
    DEFLATE,
    DONE,
    FIRST,
    GZIP,
    GZIP_BOMB,
    LAST,
    PLAIN,
    STREAM,
    Act,
    Peer,
    begins,
    begun,
    close,
    completion,
    data,
    dripping,
    event,
    flood,
    gives,
    good,
    greets,
    half,
    head,
    in_chunks,
    packed,
    redirects,
    refuses,
    says,
    sized,
    with_headers,
)


@dataclass(frozen=True)
class Said:
    """What judging is to say of an answer; `words` occur in the error or in a failed verdict."""

    status: str
    kind: str | None = None
    layer: str | None = None
    words: str = ""
    retries: int = 0


@dataclass(frozen=True)
class Fault:
    """One fault; `act` is None where nobody listens at all.

    `timeout` is that of the lanes, in seconds: short where the fault lasts until then.
    """

    name: str
    act: Act | None
    server: Said
    stream: Said
    agent: Said
    timeout: float

    @property
    def seconds(self) -> float:
        """So long a lane may take, on a machine that has other things to do."""
        return self.timeout + 3.0


LONG, SHORT = 8.0, 1.0
PASS = Said("pass")


def error(words: str, retries: int = 0) -> Said:
    return Said("error", "server_error", "server", words, retries)


def fault(name: str, act: Act | None, said: Said = PASS, **lanes: Said) -> Fault:
    of = [lanes.get(lane, said) for lane in ("server", "stream", "agent")]
    return Fault(name, act, *of, timeout=LONG)


def lasting(name: str, act: Act, said: Said) -> Fault:
    return Fault(name, act, said, said, said, timeout=SHORT)


HTML = b"<html><body>\x1b[31mBad gateway</body></html>"
JSON_ERROR = b'{"error": {"message": "no such thing", "type": "invalid_request_error"}}'
DEEP = b"[" * 100_000
NAN = (b": 9", b": NaN")
DIGITS = (b": 9", b": " + b"9" * 5_000)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NO_HTTP = error("not valid HTTP")
NO_RESPONSE = error("the server closed the connection without a response")
CUT = error("the server closed the connection in the middle of its response")
LATE = error("timeout: no response after 1 s")
LATE_WITHIN = error("timeout: the response was not complete")
TOO_LARGE = error("larger than 1000000 bytes")
NOT_JSON = error("not JSON")
UNFINISHED = error("stream ended without")
REDIRECT = error("redirects are not followed")
PACKED = "though only identity was accepted"
AGAIN = Said("pass", retries=1)


def _for_ever(text: bytes, every: float = 0.02) -> Act:
    return lambda peer: peer.for_ever(text, every)


def _bytewise(peer: Peer) -> None:
    peer.read()
    peer.send(head())
    for number in range(len(peer.body())):
        peer.send(peer.body()[number : number + 1])


def _stream(stream: bytes, plain: bytes = PLAIN) -> Act:
    return gives(plain, stream)


def _same(body: bytes, kind: str | None = None) -> Act:
    return gives(body, body, kind)


def _whole(peer: Peer) -> bytes:
    return sized(peer.body())


_CONNECTION = (
    fault("refused", None, error("connection refused: nothing listens at")),
    fault("reset before the request is read", Peer.reset, NO_RESPONSE),
    fault("closed before the request is read", close, NO_RESPONSE),
    fault("reset before the response", begins(b"", Peer.reset), NO_RESPONSE),
    fault("closed before the response", says(b""), NO_RESPONSE),
    fault("reset within the headers", begins(head()[:20], Peer.reset), CUT),
    fault("closed within the headers", says(head()[:20]), CUT),
    fault("reset within the body", begins(half, Peer.reset), CUT),
    fault("closed within the body", says(half), CUT),
    fault("reset in a body without a length", begins(begun, Peer.reset), CUT),
    fault("closed in a body without a length", says(begun), NOT_JSON),
    fault("reset after the response", begins(_whole, Peer.reset)),
    fault("kept open after the response", begins(_whole, Peer.hang)),
    fault("more bytes after the response", says(lambda p: _whole(p) + b"HTTP/1.1 500 x")),
)
_TIME = (
    lasting("accepts and says nothing", begins(b"", Peer.hang), LATE),
    lasting("does not even read", Peer.hang, LATE),
    lasting("hangs within the status line", begins(b"HTTP/1.", Peer.hang), LATE),
    lasting("hangs within the headers", begins(head()[:40], Peer.hang), LATE),
    lasting("hangs after the headers", begins(head(), Peer.hang), LATE),
    lasting("hangs within the body", begins(begun, Peer.hang), LATE_WITHIN),
    lasting("headers drip", begins(head()[:-2], _for_ever(b"X-A: b\r\n")), LATE),
    lasting("a header drips byte by byte", begins(head()[:-4], _for_ever(b"b")), LATE),
    lasting("body drips", dripping(0.05), LATE_WITHIN),
    fault("body drips, but in time", dripping(0.001)),
    lasting("100 Continue for ever", begins(b"", _for_ever(CONTINUE)), LATE),
    fault(
        "100 Continue as fast as it can",
        begins(b"", _for_ever(CONTINUE * 50, 0)),
        error("more than 100 informational responses"),
    ),
    fault("100 Continue once", says(lambda p: CONTINUE + _whole(p))),
    fault("103 Early Hints", says(lambda p: b"HTTP/1.1 103 E\r\nLink: <a>\r\n\r\n" + _whole(p))),
    lasting("keep-alives for ever", begins(head(), _for_ever(b": keepalive\n\n")), LATE_WITHIN),
    lasting("white space for ever", begins(head(), _for_ever(b" \n")), LATE_WITHIN),
    lasting("the same event for ever", begins(head(), _for_ever(FIRST)), LATE_WITHIN),
    lasting(
        "chunks of one byte for ever",
        begins(head(200, "Transfer-Encoding: chunked"), _for_ever(b"1\r\n \r\n")),
        LATE_WITHIN,
    ),
    lasting(
        "500 drips for ever", begins(head(500), _for_ever(b"x")), error("(not complete after 1 s)")
    ),
    lasting(
        "404 drips for ever in chunks",
        begins(head(404, "Transfer-Encoding: chunked"), _for_ever(b"1\r\nx\r\n")),
        error("HTTP 404: x"),
    ),
    lasting("500 hangs after its headers", begins(head(500), Peer.hang), error("HTTP 500: an em")),
)
_STATUS = (
    *(
        fault(f"{status} with JSON", refuses(status, JSON_ERROR), error(f"HTTP {status}: {{"))
        for status in (400, 401, 403, 404, 413, 422, 429, 500, 503)
    ),
    *(
        fault(
            f"{status} with HTML",
            refuses(status, HTML, kind="text/html"),
            error(f"HTTP {status}: <html><body>\\x1b[31mBad"),
        )
        for status in (404, 500, 502)
    ),
    *(
        fault(f"{status} with nothing", refuses(status, b""), error(f"HTTP {status}: an empty"))
        for status in (404, 500, 503, 504)
    ),
    fault("500 with 50 MB", begins(head(500), flood(50_000_000)), error("HTTP 500: ")),
    fault("500 with bytes that are no text", refuses(500, b"\xff\xfe\0"), error("HTTP 500: ")),
    fault("201", says(lambda p: sized(p.body(), 201)), error("HTTP 201: ")),
    fault("204", says(b"HTTP/1.1 204 No\r\n\r\n"), error("HTTP 204: an empty body")),
    fault("101", says(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), NO_HTTP),
    fault("999", refuses(999, b"no"), error("HTTP 999: no")),
    fault("429, Retry-After 1", refuses(429, b"", "Retry-After: 1"), AGAIN),
    fault("503, Retry-After 1", refuses(503, b"", "Retry-After: 1"), AGAIN),
    fault("429, Retry-After 0", refuses(429, b"", "Retry-After: 0"), AGAIN),
    fault(
        "503, Retry-After of a date that is over",
        refuses(503, b"", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT"),
        AGAIN,
    ),
    fault(
        "429, Retry-After an hour",
        refuses(429, b"busy", "Retry-After: 3600"),
        error("HTTP 429: busy; Retry-After asks for 3600 s, and the timeout is 8 s"),
    ),
    fault(
        "429, Retry-After nonsense",
        refuses(429, b"busy", "Retry-After: soon"),
        error("HTTP 429: busy"),
    ),
    fault(
        "429, Retry-After below zero",
        refuses(429, b"busy", "Retry-After: -1"),
        error("HTTP 429: busy"),
    ),
    fault("500, Retry-After 0", refuses(500, b"busy", "Retry-After: 0"), error("HTTP 500: busy")),
)
_REDIRECTS = (
    *(
        fault(
            f"{status} to another host",
            redirects(status, "http://127.0.0.1:{witness}/v1/chat/completions"),
            REDIRECT,
        )
        for status in (301, 302, 303, 307, 308)
    ),
    fault("307 to itself", redirects(307, "/v1/chat/completions"), error("redirects to 127.0.0.1")),
    fault("308 to no host", redirects(308, "http://"), REDIRECT),
    fault("302 without a place", refuses(302, b""), error("HTTP 302: an empty body")),
    fault(
        "307 with a password", redirects(307, "http://u:hidden@h:1/"), error("redirects to h:1;")
    ),
    fault("304", says(b"HTTP/1.1 304 Not\r\n\r\n"), error("HTTP 304: an empty body")),
)
_CONTENT = (
    fault(
        "200 with HTML",
        _same(HTML, "text/html"),
        error("not JSON: <html><body>\\x1b["),
        stream=UNFINISHED,
    ),
    fault("200 with nothing", _same(b""), error("the body is empty"), stream=UNFINISHED),
    fault("200 with white space", _same(b"\n \n"), error("the body is empty"), stream=UNFINISHED),
    fault("200 with an error in JSON", gives(JSON_ERROR, data(JSON_ERROR)), error("no such thing")),
    fault(
        "200 with a list",
        gives(b"[]", data(b"[]")),
        error("no choices: []"),
        stream=error("not an object: []"),
    ),
    fault(
        "200 with null",
        gives(b"null", data(b"null")),
        error("no choices: null"),
        stream=error("not an object: null"),
    ),
    fault("200 with words", _same(b"hello", "text/plain"), NOT_JSON, stream=UNFINISHED),
    fault("the right answer as text/html", gives(PLAIN, STREAM, "text/html")),
    fault(
        "the right answer without a type",
        says(lambda p: b"HTTP/1.1 200 OK\r\n\r\n" + p.body()),
    ),
    fault("half of the answer", gives(PLAIN[:90], STREAM[:90]), NOT_JSON),
    fault("two answers", gives(PLAIN * 2, STREAM * 2), NOT_JSON, stream=PASS),
    fault("100,000 open brackets", gives(DEEP, data(DEEP)), NOT_JSON),
    fault(
        "100,000 brackets in a right answer",
        gives(
            PLAIN[:-1] + b', "x": ' + DEEP + b"]" * 100_000 + b"}",
            data(b'{"choices": [], "x": ' + DEEP + b"]" * 100_000 + b"}") + STREAM,
        ),
        NOT_JSON,
    ),
    fault(
        "NaN in usage",
        gives(PLAIN.replace(*NAN), STREAM.replace(*NAN)),
        error("`prompt_tokens` is NaN, not an integer"),
    ),
    fault(
        "a count of 5,000 digits", gives(PLAIN.replace(*DIGITS), STREAM.replace(*DIGITS)), NOT_JSON
    ),
    fault(
        "bytes that are no UTF-8 before the answer",
        gives(b"\xff" + PLAIN, data(b"\xff{}") + STREAM),
        NOT_JSON,
    ),
    fault("50 MB", begins(head(), flood(50_000_000)), TOO_LARGE),
    fault("endless", begins(head(), flood(2**40)), TOO_LARGE),
    fault("gzip bomb", GZIP_BOMB, error(f"compressed (gzip), {PACKED}")),
    fault("gzip", GZIP, error(f"compressed (gzip), {PACKED}")),
    fault("brotli", packed(bytes, "br"), error(f"compressed (br), {PACKED}")),
    fault("Content-Encoding: Identity", with_headers("Content-Encoding: Identity")),
    fault(
        "a content type that is no ASCII",
        gives(PLAIN, STREAM, "application/json; charset=\xe9"),
    ),
    fault("206", says(lambda p: sized(p.body(), 206)), error("HTTP 206: ")),
    fault(
        "160,000 empty lines of data",
        gives(b"{}", b"data:\n" * 160_000 + b"\n" + STREAM),
        error("no choices"),
        stream=error("not JSON: \\n\\n"),
    ),
    fault("deflate", DEFLATE, error(f"compressed (deflate), {PACKED}")),
    fault(
        "content is a list",
        gives(PLAIN.replace(b'"Paris."', b'["Paris."]'), STREAM.replace(b'"Paris"', b'["Paris"]')),
        error("not text"),
    ),
    fault(
        "no choices",
        gives(b'{"choices": []}', data(b'{"choices": []}') + DONE),
        error("no choices"),
        stream=UNFINISHED,
    ),
)
_FRAMING = (
    fault("chunked", in_chunks(7)),
    fault("chunks of one byte", in_chunks(1)),
    fault("chunk size that is no number", in_chunks(50, b"zz\r\n\r\n"), NO_HTTP),
    fault("negative chunk size", in_chunks(50, b"-5\r\nabc\r\n"), NO_HTTP),
    fault("chunk longer than it says", in_chunks(50, b"2\r\nabcdef\r\n"), NO_HTTP),
    fault("chunk size beyond all bounds", in_chunks(50, b"f" * 30 + b"\r\n"), NO_HTTP),
    fault("closed without the last chunk", in_chunks(50, b""), CUT),
    fault("two lengths", with_headers("Content-Length: 5"), NO_HTTP),
    fault("a length that is no number", says(head(200, "Content-Length: many")), NO_HTTP),
    fault("a negative length", says(head(200, "Content-Length: -1")), NO_HTTP),
    fault("a length beyond all bounds", says(head(200, f"Content-Length: {10**14}") + PLAIN), CUT),
    fault("a header without a colon", with_headers("nonsense"), NO_HTTP),
    fault("NUL in a header", with_headers("X-A: a\0b"), NO_HTTP),
    fault("one header of 1 MB", with_headers("X-A: " + "b" * 1_000_000), NO_HTTP),
    fault("20,000 headers", with_headers(*["X-A: b"] * 20_000), NO_HTTP),
    fault("headers for ever", begins(head()[:-2], _for_ever(b"X: b\r\n" * 99, 0)), NO_HTTP),
    fault("HTTP/1.0", says(lambda p: head().replace(b"1.1", b"1.0") + p.body())),
    fault("HTTP/0.9", says(lambda p: p.body()), NO_HTTP),
    fault("HTTP/2 frames", greets(b"\0\0\x12\x04\0\0\0\0\0"), NO_HTTP),
    fault("a status that is no number", says(b"HTTP/1.1 OK\r\n\r\n"), NO_HTTP),
    fault("a greeting of SSH", greets(b"SSH-2.0-OpenSSH_9.6\r\n"), NO_HTTP),
    fault("a greeting of SMTP", greets(b"220 mail ESMTP\r\n"), NO_HTTP),
    fault("an error of Redis", greets(b"-ERR unknown command 'POST'\r\n"), NO_HTTP),
    fault("TLS where plain HTTP is expected", says(b"\x15\x03\x01\0\x02\x02\x16"), NO_HTTP),
    fault("random bytes", greets(bytes(range(255, 0, -1)) * 40), NO_HTTP),
)
# In a plain response the same things stand in JSON, or nothing is wrong with it.
_EVENTS = (
    fault(
        "comments between events", _stream(b": hi\n\n" + FIRST + b": 1/1\n" + LAST + COUNTS + DONE)
    ),
    fault("lines end with CR", _stream(STREAM.replace(b"\n", b"\r"), PLAIN.replace(b", ", b",\r"))),
    fault(
        "lines end with CR LF",
        _stream(STREAM.replace(b"\n", b"\r\n"), PLAIN.replace(b", ", b",\r\n")),
    ),
    fault("split at every byte", _bytewise),
    fault(
        "every byte of its UTF-8 in a chunk of its own",
        says(
            lambda p: (
                head(200, "Transfer-Encoding: chunked")
                + b"".join(
                    b"1\r\n%c\r\n" % byte
                    for byte in (
                        event("Paris. 日本🗼") + LAST + COUNTS + DONE
                        if p.streamed
                        else completion("Paris. 日🗼")
                    )
                )
                + b"0\r\n\r\n"
            )
        ),
    ),
    fault("no [DONE]", _stream(STREAM.removesuffix(DONE)), stream=error("stream ended without [D")),
    fault("data after [DONE]", _stream(STREAM + event("more"))),
    fault("two events in one line", _stream(FIRST.rstrip() + b" " + LAST + DONE), stream=NOT_JSON),
    fault("an event over several lines", _stream(STREAM.replace(b', "ch', b',\ndata: "ch'))),
    fault("other fields beside data", _stream(b"retry: 5\nid: 1\nevent: message\n" + STREAM)),
    fault("no blank line at the end", _stream(STREAM.rstrip())),
    fault("no space after the colon", _stream(STREAM.replace(b"data: ", b"data:"))),
    fault("a byte order mark", _stream(b"\xef\xbb\xbf" + STREAM, b"\xef\xbb\xbf" + PLAIN)),
    fault(
        "an error amid the events",
        _stream(FIRST + data(JSON_ERROR) + LAST + DONE),
        stream=error("no such thing"),
    ),
    fault("no finish reason", _stream(FIRST + DONE), stream=error("without finish reason")),
    fault("only [DONE]", _stream(DONE), stream=error("without finish reason")),
    fault(
        "60,000 empty events",
        _stream(data(b"{}") * 60_000 + STREAM),
        stream=error("more than 50000 events"),
    ),
    fault("a stream though none was asked for", _same(STREAM), NOT_JSON, stream=PASS),
    fault("a plain answer to a stream", _same(PLAIN), stream=UNFINISHED),
)

FAULTS: tuple[Fault, ...] = (
    fault("no fault", good),
    *_CONNECTION,
    *_TIME,
    *_STATUS,
    *_REDIRECTS,
    *_CONTENT,
    *_FRAMING,
    *_EVENTS,
)
