"""Every one of a package's last releases, asked the same texts."""

import datetime
from collections.abc import Sequence

from evals.errors import ConfigError
from evals.report.history import Matrix
from evals.report.history import Release as Asked
from evals.versions.bisect import Ask
from evals.versions.index import Release


def matrix(
    package: str, releases: Sequence[Release], ask: Ask, command: str, today: datetime.date
) -> Matrix:
    """What each of `releases` makes of the texts; one that cannot be asked is named, too.

    The newest is asked first: of it most people want to know.
    """
    found = []
    for release in reversed(releases):
        step = ask({package: release.version}, release.day)
        day = release.day.isoformat() if release.day else ""
        found.append(
            Asked(release.version, step.cells, step.ended, day, step.beside, step.layers or {})
        )
    return Matrix(package, today.isoformat(), command, found[::-1])


def last(releases: Sequence[Release], count: int) -> Sequence[Release]:
    """The newest `count` of them.

    Raises:
        ConfigError: fewer than one is wanted.
    """
    if count < 1:
        raise ConfigError(f"--last {count}: it should be 1 or more")
    return releases[-count:]
