"""One server on several machines: `mlx_lm.server` started through `mlx.launch`, a rank on each.

Rank 0 listens and answers; the others compute their share of every layer. `mlx.launch` reads which
machines these are from its hostfile, starts the same command on each, over ssh where that is not
this machine, and ends them all when one ends.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.engines import ports
from evals.errors import ConfigError

_PROGRAM = "mlx.launch"
_SHAPE = (
    f'a list such as [{{"ssh": "{ports.HOST}", "ips": ["192.168.1.1"]}}, '
    '{"ssh": "second.local", "ips": ["192.168.1.2"]}]'
)


def ranks_in(hostfile: str) -> int:
    """How many ranks `mlx.launch` starts for the hosts in its JSON file.

    Raises:
        ConfigError: it cannot be read, names no hosts, or another machine than this comes first.
    """
    try:
        content: Any = json.loads(Path(hostfile).expanduser().read_text(encoding="utf-8"))
        hosts = content["hosts"] if isinstance(content, dict) else content
        names = [host["ssh"] for host in hosts]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"launch.hostfile: {hostfile} cannot be read: {error}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"launch.hostfile: {hostfile} lists no hosts: give {_SHAPE}") from error
    if not names or names[0] != ports.HOST:
        raise ConfigError(
            f"launch.hostfile: {hostfile} begins with {names[0] if names else 'nothing'}; rank 0 "
            f'is the server that is asked, on this machine: begin with "ssh": "{ports.HOST}"'
        )
    return len(names)


def launching(hostfile: str, backend: str | None, arguments: Sequence[str]) -> tuple[str, ...]:
    """The command in front of that of the server, up to `--`.

    Raises:
        ConfigError: `mlx.launch` is not installed.
    """
    beside = Path(sys.executable).with_name(_PROGRAM)
    program = str(beside) if beside.exists() else shutil.which(_PROGRAM)
    if program is None:
        raise ConfigError(f"launch: {_PROGRAM} is not installed: pip install 'toolcall-evals[mlx]'")
    path = str(Path(hostfile).expanduser().resolve())
    chosen = ("--backend", backend) if backend else ()
    return (program, "--hostfile", path, *chosen, *arguments, "--")
