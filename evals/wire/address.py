"""Where a server is: its URL, checked, and what may be sent there."""

import ipaddress
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from evals.errors import ConfigError
from evals.escaping import excerpt

EXAMPLE = "http://127.0.0.1:8080/v1"
_ENDPOINTS = ("/chat/completions", "/completions", "/models", "/responses")


@dataclass(frozen=True)
class Address:
    """A server's URL in parts. `host` is ASCII, an IPv6 address without brackets."""

    secure: bool
    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """Host and port as a `Host` header has them, such as `[::1]:8080`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")


@lru_cache
def read_address(url: str) -> Address:
    """The parts of a server's `url`; its path is without a trailing slash.

    Raises:
        ValueError: not an http or https URL with a host, or one with a user, password, query or
            fragment; the message never holds a password.
    """
    text = url.strip()
    try:
        parts = urllib.parse.urlsplit(text)
        host, port = parts.hostname or "", parts.port
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
    except ValueError:  # also UnicodeError
        raise ValueError(_not_one("that")) from None
    if "@" in parts.netloc:
        raise ValueError(
            "a server's URL takes no user and no password, which would stand in records and "
            "reports; give the key in an environment variable, and name it as the target's "
            "api_key_env"
        )
    if "?" in text or "#" in text:
        raise ValueError(
            f"a server's URL ends with its path: leave out what begins at {_mark(text)!r}; it "
            f"looks like {EXAMPLE}"
        )
    for tail in _ENDPOINTS:
        if parts.path.rstrip("/").endswith(tail):
            raise ValueError(
                f"leave out {tail!r}, which each request adds; it looks like {EXAMPLE}"
            )
    strange = not text.isprintable() or " " in text or port == 0
    if parts.scheme not in ("http", "https") or not host or strange:
        raise ValueError(_not_one(repr(excerpt(url))))
    secure = parts.scheme == "https"
    return Address(secure, host, port or (443 if secure else 80), parts.path.rstrip("/"))


def _not_one(shown: str) -> str:
    return f"{shown} is no server URL; it looks like {EXAMPLE}"


def _mark(text: str) -> str:
    return next(c for c in text if c in "?#")


def key_headers(url: str, key: str, *, plain_http: bool = False) -> Mapping[str, str]:
    """The header that carries `key` to the server at `url`; no message holds the key.

    Raises:
        ConfigError: it would travel beyond this machine over plain http, and `plain_http` does not
            allow that; or it is not a key.
        ValueError: `url` is not a server's.
    """
    address = read_address(url)
    if not key or not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            "the key is empty or has white space, control or non-ASCII characters; a key is one "
            "word of ASCII"
        )
    if not (address.secure or address.is_loopback or plain_http):
        raise ConfigError(
            f"a key is not sent to {address.host} over plain http, where everybody on the way can "
            "read it; use https, or say that you want it"
        )
    return {"Authorization": f"Bearer {key}"}
