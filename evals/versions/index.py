"""The releases of a package, as the package index lists them."""

import datetime
import json
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from evals.engines.uv import index_url
from evals.errors import ConfigError, HarnessError

_SECONDS = 30.0
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"


@dataclass(frozen=True)
class Release:
    """A version that the index has, and the day it came; None where the index does not tell."""

    version: str
    day: datetime.date | None = None


def releases(package: str, seconds: float = _SECONDS) -> list[Release]:
    """The releases of `package` for this Python, oldest first, as pip would choose among them.

    Pre-releases and those that were taken back (yanked) are left out.

    Raises:
        ConfigError: the index has no such package, or no release of it for this Python.
        HarnessError: the index cannot be reached, or gives no answer within `seconds`.
    """
    url = f"{index_url()}/{canonicalize_name(package)}/"
    found: dict[Version, datetime.date | None] = {}
    for name, day in _files(_fetch(url, package, seconds)):
        version = _version_of(name)
        if version and not version.is_prerelease:
            known = found.get(version)
            found[version] = min(known, day) if known and day else known or day
    if not found:
        raise ConfigError(f"{shown(url)} has no release of {package} for this Python")
    return [Release(str(version), found[version]) for version in sorted(found)]


def shown(url: str) -> str:
    """The URL without the user and password that it may have."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _fetch(url: str, package: str, seconds: float) -> str:
    request = urllib.request.Request(url, headers={"Accept": _ACCEPT})
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or None)
    try:
        with urllib.request.urlopen(request, timeout=seconds, context=context) as response:
            text: str = response.read().decode("utf-8")
            return text
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 404:
            raise ConfigError(
                f"the package index knows no {package!r}: {shown(url)} answers 404"
            ) from error
        raise HarnessError(f"the package index {shown(url)} answers HTTP {error.code}") from error
    except TimeoutError as error:
        raise HarnessError(
            f"the package index {shown(url)} gave no answer within {seconds:g} s; try again later"
        ) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        raise HarnessError(f"the package index {shown(url)} cannot be reached: {why}") from error


def _files(text: str) -> Iterator[tuple[str, datetime.date | None]]:
    """Names and days of the files that are for this Python."""
    try:
        files = json.loads(text)["files"]
    except (ValueError, KeyError, TypeError):  # an index that knows HTML alone
        for link in re.findall(r"<a\s[^>]*>[^<]*</a>", text):
            if "data-yanked" not in link:
                yield re.sub(r"<[^>]*>", "", link).strip(), None
        return
    for file in files:
        if not file.get("yanked") and _for_this_python(file.get("requires-python")):
            yield file["filename"], _day(file)


def _day(file: Mapping[str, Any]) -> datetime.date | None:
    moment = file.get("upload-time")
    return datetime.date.fromisoformat(moment[:10]) if moment else None


def _for_this_python(wanted: str | None) -> bool:
    try:
        return SpecifierSet(wanted or "").contains(".".join(map(str, sys.version_info[:3])))
    except InvalidSpecifier:
        return True


def _version_of(filename: str) -> Version | None:
    try:
        if filename.endswith(".whl"):
            return parse_wheel_filename(filename)[1]
        return parse_sdist_filename(filename)[1]
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None
