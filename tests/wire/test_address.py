import pytest

from evals.errors import ConfigError
from evals.wire.address import Address, key_headers, read_address


@pytest.mark.parametrize(
    ("url", "address", "authority"),
    [
        ("http://127.0.0.1:8080/v1/", Address(False, "127.0.0.1", 8080, "/v1"), "127.0.0.1:8080"),
        ("https://host", Address(True, "host", 443), "host"),
        (" http://[::1]:80/v1", Address(False, "::1", 80, "/v1"), "[::1]"),
        ("http://bücher.example/v1", Address(False, "xn--bcher-kva.example", 80, "/v1"), None),
    ],
)
def test_a_url_in_parts(url: str, address: Address, authority: str | None) -> None:
    assert read_address(url) == address
    assert authority in (None, address.authority)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8080", "is no server URL"),
        ("ftp://host/v1", "is no server URL"),
        ("http://host:0/v1", "is no server URL"),
        ("http://ho\x1bst/v1", r"\x1b"),
        ("http://ho st/v1", "is no server URL"),
        ("http://host/v1?key=hidden", "leave out what begins at '?'"),
        ("http://host/v1#hidden", "leave out what begins at '#'"),
        ("http://user:hidden@host/v1", "no user and no password"),
        ("http://hidden@host/v1", "api_key_env"),
        ("http://user:hidden@[host/v1", "is no server URL"),
        ("http://user:hidden@host:port/v1", "is no server URL"),
    ],
)
def test_what_is_refused_and_never_shows_what_is_hidden(url: str, words: str) -> None:
    with pytest.raises(ValueError, match="server") as refused:
        read_address(url)
    assert words in str(refused.value)
    assert "hidden" not in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("url", "stays"),
    [
        ("http://127.0.0.1/v1", True),
        ("http://127.9.9.9/v1", True),
        ("http://[::1]/v1", True),
        ("http://localhost/v1", True),
        ("http://localhost.example.com/v1", False),
        ("http://127.0.0.1.example.com/v1", False),
        ("http://0.0.0.0/v1", False),
        ("http://192.168.0.1/v1", False),
    ],
)
def test_a_key_leaves_this_machine_encrypted_alone(url: str, stays: bool) -> None:
    assert read_address(url).is_loopback == stays
    bearer = {"Authorization": "Bearer planted-key"}
    if stays:
        assert key_headers(url, "planted-key") == bearer
    else:
        with pytest.raises(ConfigError, match=r"not sent to .* over plain http") as refused:
            key_headers(url, "planted-key")
        assert "planted-key" not in str(refused.value)
    assert key_headers(url, "planted-key", plain_http=True) == bearer
    assert key_headers(url.replace("http:", "https:"), "planted-key") == bearer


@pytest.mark.parametrize("key", ["", "two words", "a\nX-Injected: b", "schlüssel", "a\x1b"])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(ConfigError, match="a key is one word of ASCII"):
        key_headers("https://host/v1", key)
