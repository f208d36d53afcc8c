"""A fast BLAS for mlx on Linux CPU.

The `mlx-cpu` wheel links reference BLAS, eighty times slower than OpenBLAS. PyPI's
`scipy-openblas32` needs no root and has the three routines that mlx calls, under a `scipy_`
prefix; a copy of it with these three renamed, put into `LD_PRELOAD`, takes their place.
"""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path

_ROUTINES = ("cblas_sgemm", "cblas_dgemm", "cblas_cgemm")


def needs_preload() -> bool:
    """Whether mlx computes with reference BLAS on this machine: Linux without CUDA."""
    if platform.system() != "Linux":
        return False
    import mlx.core as mx

    return bool(mx.default_device().type == mx.cpu)


def preload_environment(cache: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`environment` with the fast BLAS in `LD_PRELOAD` where mlx needs one, else a plain copy."""
    result = dict(environment)
    if needs_preload():
        library = str(_renamed_openblas(cache))
        others = [part for part in result.get("LD_PRELOAD", "").split(":") if part]
        if library not in others:
            result["LD_PRELOAD"] = ":".join([library, *others])
        if _has_avx512():
            result.setdefault("OPENBLAS_CORETYPE", "SKYLAKEX")
    return result


def one_thread(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`environment` for a process with a model; a number of threads that is set there stays.

    OpenBLAS's threads wait for each other by spinning, so a thread per core collapses as soon as
    anything else computes: on two busy cores the same 26 requests took 45.9 s of CPU with one
    thread and 269 s with two (60-112 s and 584 s of wall time). On idle ones two threads are the
    faster by a sixth (90 s for 56 answers against 109 s, one run each).
    """
    return {"OPENBLAS_NUM_THREADS": "1", **environment}


def _has_avx512() -> bool:
    """Whether OpenBLAS's AVX-512 kernels run here.

    It knows processors by model number, and takes a new one that it does not know for a Haswell:
    half as fast on an AMD Zen 5.
    """
    flags = Path("/proc/cpuinfo").read_text().split()
    return {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"} <= set(flags)


def _renamed_openblas(cache: Path) -> Path:
    version = importlib.metadata.version("scipy-openblas32")
    target = cache / "blas" / f"libopenblas-{version}.so"
    if not target.exists():
        import lief
        import scipy_openblas32

        source = Path(scipy_openblas32.get_lib_dir()) / scipy_openblas32.get_library(fullname=True)
        binary = lief.ELF.parse(str(source))
        assert binary is not None, f"{source} is not an ELF file"
        for symbol in binary.dynamic_symbols:
            if str(symbol.name).removeprefix("scipy_") in _ROUTINES:
                symbol.name = str(symbol.name).removeprefix("scipy_")
        target.parent.mkdir(parents=True, exist_ok=True)
        # Two runs may build it at once: the rename is atomic, a half-written copy is never seen.
        partial = target.with_suffix(f".{os.getpid()}")
        binary.write(str(partial))
        partial.rename(target)
    return target
