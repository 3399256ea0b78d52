"""The fused kernels: interpreted here on the CPU, and compiled for GPUs that are not here.

Nothing in these tests runs on a GPU. Results are compared in `triton_interpreted.py`, in a process
of its own, since triton's interpreter must be asked for before triton is imported.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from methods_oracle import unit

from nudge_integrations.methods import Judgments
from nudge_integrations.methods.kernels import triton_kernel
from nudge_integrations.methods.kernels.triton_documents import Precision
from nudge_integrations.methods.paths import AdditionPath, RotationPath

ROOT = Path(__file__).resolve().parents[2]
NEEDED = "triton is not installed: pip install -e '.[dev]' (it exists for Linux only)"
SHARED_BYTES = 99 << 10  # what every GPU from 2020 on grants a program
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _triton() -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.fail(NEEDED, pytrace=False)


def test_results_in_the_interpreter() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=short", "-p", "no:xdist"),
            str(Path(__file__).with_name("triton_interpreted.py")),
        ],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"in the interpreter:\n{done.stdout}{done.stderr}", pytrace=False)
    assert re.search(r"^\d\d+ passed", done.stdout.splitlines()[-1])


class NoDriver:
    """Says that there is a GPU of some capability, and nothing else."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self) -> int:
        return self.capability  # kernels are cached by it

    def get_current_stream(self, device: int) -> int:
        return 0


Compile = Callable[..., list[Any]]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Compile:
    """Run the host's code with every launch compiled for a GPU, and none made."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton.runtime import driver

    from nudge_integrations.methods.kernels import triton_scan

    kernels: list[Any] = []

    class Launch:
        def __init__(self, kernel: Any) -> None:
            self.kernel = kernel

        def __getitem__(self, grid: Any) -> Callable[..., None]:
            def launch(*args: Any, **options: Any) -> None:
                kernels.append(self.kernel.warmup(*args, grid=grid, **options))

            return launch

    for name in ("scan", "score"):
        monkeypatch.setattr(triton_scan, name, Launch(getattr(triton_scan, name)))

    def run(capability: int, kind: str, precision: Precision, dimension: int) -> list[Any]:
        monkeypatch.setattr(driver, "_active", NoDriver(capability))
        rng = np.random.default_rng(0)
        corpus = unit(rng.normal(size=(40, dimension))).astype(np.float32)
        moved = np.arange(0, 40, 2)
        directions = unit(corpus[moved] + rng.normal(size=(20, dimension))).astype(np.float32)
        rotation = RotationPath.between(corpus[moved], directions)
        triton_kernel.shortlist(
            corpus[:3],
            corpus,
            Judgments.from_lists([[0], [1], [2]], 40),
            moved,
            directions,
            rotation if kind == "rotation" else AdditionPath(20),
            last=0.5,
            k=3,
            device=CPU,
            precision=precision,
        )
        return kernels

    return run


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        ("rotation", "float32"),
        ("rotation", "tf32"),
        ("rotation", "float16"),
        ("addition", "float32"),
        ("addition", "tf32"),
    ],
)
def test_every_launch_compiles_for_hopper(
    compiled: Compile, kind: str, precision: Precision
) -> None:
    still, moving, score = compiled(90, kind, precision, 384)
    for scan in (still, moving):
        code = scan.asm["ptx"]
        if precision == "float32":
            assert "fma.rn.f32" in code
        else:
            kinds = {"tf32": "f32.tf32.tf32", "float16": "f32.f16.f16"}
            assert re.search(rf"wgmma\.mma_async\.\S*\.{kinds[precision]}", code)
        assert "cp.async" in code
    for kernel in (still, moving, score):
        assert kernel.metadata.shared <= SHARED_BYTES
        assert stack_bytes(kernel) == 0, "registers spill"


@pytest.mark.parametrize("capability", [80, 100, 120])
def test_every_launch_compiles_for_other_gpus(compiled: Compile, capability: int) -> None:
    """Ampere, and both kinds of Blackwell, at a dimension that fills no tile."""
    kernels = compiled(capability, "rotation", "tf32", 100)
    assert len(kernels) == 3
    assert all(kernel.asm["cubin"] for kernel in kernels)
    assert all(kernel.metadata.shared <= SHARED_BYTES for kernel in kernels)


def stack_bytes(kernel: Any) -> int:
    """Bytes of local memory a thread, as the machine code declares them."""
    from triton import knobs

    path = knobs.nvidia.cuobjdump.path
    file = Path(os.environ["TRITON_CACHE_DIR"]) / "kernel.cubin"
    file.write_bytes(kernel.asm["cubin"])
    shown = subprocess.run(
        [path, "-res-usage", str(file)], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"STACK:(\d+) .*LOCAL:(\d+)", shown)
    assert found, shown
    return max(int(number) for line in found for number in line)


def test_triton_is_not_imported_before_it_is_used() -> None:
    code = (
        "import sys, torch\n"
        "from nudge_integrations.methods.kernels import triton_kernel\n"
        "assert not triton_kernel.available(torch.device('cpu'))\n"
        "assert 'nudge_integrations.methods.kernels.triton_scan' not in sys.modules\n"
        "assert 'triton' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A GPU that exists as far as torch's questions go."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(triton_kernel, "shortlist", lambda *args, **options: None)
    triton_kernel._runs.cache_clear()
    return torch.device("cuda", 0)


def test_available_with_a_gpu_and_triton(gpu: torch.device) -> None:
    assert triton_kernel.available(gpu)
    assert not triton_kernel.available(CPU)


def test_not_available_on_old_gpus_on_other_makes_or_without_triton(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
        assert not triton_kernel.available(gpu)
    with monkeypatch.context() as patch:
        patch.setattr(torch.version, "cuda", None)
        assert not triton_kernel.available(gpu)
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        assert not triton_kernel.available(gpu)
    assert triton_kernel.available(gpu)


def test_a_kernel_that_does_not_compile_is_reported_once_and_not_used(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(triton_kernel, "shortlist", fail)
    with caplog.at_level(logging.WARNING):
        assert not triton_kernel.available(gpu)
        assert not triton_kernel.available(gpu)
    assert [record.getMessage() for record in caplog.records] == [
        "no fused kernel on cuda:0, plain torch is used instead: Failed to find C compiler"
    ]
