"""What computes: the machine, its chip, its system and the device that mlx takes.

Two nights with other figures may have been on other chips or images; a night that fell back to the
CPU is slow and is none of the GPU's. So a run records it, and `evals machine --require gpu` ends a
night before it begins.
"""

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import psutil

from evals.errors import ModelError
from evals.report.summary import Machine


def this_machine(environment: Mapping[str, str] = os.environ) -> Machine:
    """What is known of this machine; what it hides is None."""
    mac = platform.system() == "Darwin"
    return Machine(
        system=platform.system(),
        system_version=_mac_version() if mac else _linux_version(),
        arch=platform.machine(),
        chip=_said("sysctl", "-n", "machdep.cpu.brand_string") if mac else _linux_chip(),
        device=_device(),
        image=_image(environment),
        python=platform.python_version(),
        cores=psutil.cpu_count(),
        memory_gib=round(psutil.virtual_memory().total / 2**30),
    )


def machine_lines(machine: Machine, versions: Mapping[str, str]) -> Iterator[str]:
    """A line for each thing that is known, and one for each version."""
    for name, value in {**asdict(machine), **versions}.items():
        if value is not None:
            yield f"{name.replace('_', ' ')}: {value}"


def check_device(machine: Machine, kind: str) -> None:
    """Make sure that mlx computes on a device of this `kind`, `gpu` or `cpu`.

    Raises:
        ModelError: it computes on another one, or is not installed.
    """
    if machine.device is None:
        raise ModelError(f"mlx is not installed here, and {kind} was required")
    if machine.device.partition(":")[0] != kind:
        raise ModelError(
            f"mlx computes on {machine.device}, and {kind} was required "
            f"({machine.system} {machine.system_version or ''} {machine.arch}, {machine.chip}): "
            "figures of a night on another device are not those of the nights before"
        )


def _device() -> str | None:
    """`gpu: NAME` or `cpu`: what mlx takes unless it is told otherwise."""
    try:
        import mlx.core as mx
    except ImportError:
        return None
    if mx.default_device().type == mx.cpu:
        return "cpu"
    return f"gpu: {mx.device_info().get('device_name', 'unknown')}"


def _mac_version() -> str:
    build = _said("sw_vers", "-buildVersion")
    return f"{platform.mac_ver()[0]} ({build})" if build else platform.mac_ver()[0]


def _linux_version() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _linux_chip() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), None)


def _image(environment: Mapping[str, str]) -> str | None:
    """The image of a GitHub-hosted runner: a rounding may change with it."""
    parts = [environment.get(name, "") for name in ("ImageOS", "ImageVersion")]
    return " ".join(parts) if all(parts) else None


def _said(*command: str) -> str | None:
    """What a small program of the system prints; None where there is none, or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
