"""What computes: recorded with a run, and a reason to end a night that fell back to the CPU."""

import os
import platform
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from evals.cli import app
from evals.engines import blas
from evals.errors import ModelError
from evals.report.summary import Machine
from evals.running import fingerprint, machine

GPU = Machine(system="Darwin", arch="arm64", device="gpu: Apple Paravirtual device")


@pytest.fixture
def mac(tmp_path, monkeypatch):
    """This process on macOS, as far as Python and the system's small programs tell."""
    said = {"sysctl": "Apple M1 (Virtual)", "sw_vers": "24G222"}
    for name, text in said.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho '{text}'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("15.7", ("", "", ""), "arm64"))
    metal = SimpleNamespace(
        cpu="cpu",
        default_device=lambda: SimpleNamespace(type="gpu"),
        device_info=lambda: {"device_name": "Apple Paravirtual device"},
    )
    monkeypatch.setitem(sys.modules, "mlx.core", metal)
    monkeypatch.setitem(sys.modules, "mlx", SimpleNamespace(core=metal))


def test_macos_chip_device_and_image_are_recorded(mac):
    here = machine.this_machine({"ImageOS": "macos15", "ImageVersion": "20261120.1"})
    assert (here.system, here.system_version, here.arch) == ("Darwin", "15.7 (24G222)", "arm64")
    assert here.chip == "Apple M1 (Virtual)"
    assert here.device == "gpu: Apple Paravirtual device"
    assert here.image == "macos15 20261120.1"
    assert here.memory_gib
    assert here.cores


def test_macos_needs_no_blas_of_ours(mac, tmp_path):
    assert not blas.needs_preload()
    assert "LD_PRELOAD" not in blas.preload_environment(tmp_path, {})


def test_what_a_system_does_not_tell_is_unknown(mac, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    here = machine.this_machine({})
    assert (here.system_version, here.chip, here.image) == ("15.7", None, None)


def test_the_real_machine_is_recorded_in_the_fingerprint():
    here = fingerprint.fingerprint([], {}).machine
    assert here.system == platform.system()
    assert here.device is None or here.device.partition(":")[0] in ("cpu", "gpu")
    assert here.chip
    assert here.system_version


def test_a_night_that_fell_back_to_the_cpu_ends_with_that_reason():
    machine.check_device(GPU, "gpu")
    fallen = Machine(system="Darwin", system_version="15.7", arch="arm64", device="cpu")
    with pytest.raises(ModelError, match="mlx computes on cpu, and gpu was required"):
        machine.check_device(fallen, "gpu")
    with pytest.raises(ModelError, match="not installed"):
        machine.check_device(Machine(), "gpu")


def test_the_command_says_it_and_annotates_the_job(monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setattr(machine, "_device", lambda: "cpu")
    said = CliRunner().invoke(app, ["machine", "--require", "gpu"])
    assert said.exit_code == 1
    assert "device: cpu" in said.output
    assert "::error title=what computes::mlx computes on cpu, and gpu was required" in said.output
    assert CliRunner().invoke(app, ["machine", "--require", "cpu"]).exit_code == 0
