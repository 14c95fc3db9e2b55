"""Clocks, the machine's own limits, and the memory a call needs."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

REPEATS = 5
"""Measured runs of each side, after one to warm up."""


def seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Time one call, the device's queue included."""
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def medians(calls: list[Callable[[], Any]], device: torch.device, repeats: int = REPEATS) -> list[float]:
    """Median seconds of several calls, run in turn (A B A B ...) so that a disturbance hits all of them."""
    for call in calls:
        seconds(call, device)
    rounds = [[seconds(call, device) for call in calls] for _ in range(repeats)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def limits(device: torch.device) -> dict[str, float]:
    """Measure the peak of floating-point operations and of memory traffic, per second.

    The peak is the better of torch's matrix product and of a convolution: on AMD's processors the latter's library
    uses wider vectors. Single precision, as everything that is measured.
    """
    matrix = torch.randn(2048, 2048, device=device)
    images = torch.randn(16, 256, 32, 32, device=device).to(memory_format=torch.channels_last)
    layer = nn.Conv2d(256, 256, 3, padding="same").requires_grad_(False).to(device, memory_format=torch.channels_last)
    source = torch.ones(2**26, device=device)  # 256 MB: no cache holds it
    target = torch.empty_like(source)
    product, convolution, copy = medians(
        [lambda: matrix @ matrix, lambda: layer(images), lambda: target.copy_(source)], device
    )
    flops = max(2 * 2048**3 / product, 2 * 9 * 256 * 256 * 32 * 32 * 16 / convolution)
    return {"flops": flops, "bytes": 2 * source.numel() * 4 / copy}


def peak_memory(call: Callable[[], Any], device: torch.device) -> float:
    """Bytes that a call needs at most, beyond what was in use before it; NaN where that cannot be known."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return float(torch.cuda.max_memory_allocated(device) - before)
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not reset.exists():
        call()
        return float("nan")
    with contextlib.suppress(AttributeError):  # of glibc: memory that was freed before, and kept, is not in use
        ctypes.CDLL(None).malloc_trim(0)
    reset.write_text("5")  # starts the high-water mark afresh (man 5 proc)
    before = _kilobytes(status, "VmRSS")
    call()
    return 1024.0 * (_kilobytes(status, "VmHWM") - before)


def _kilobytes(status: Path, field: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1])


def machine(device: torch.device, threads: int) -> dict[str, Any]:
    """Describe what was measured on."""
    import numpy
    import zennit

    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        if (cpuinfo.exists())
        else [platform.processor()]
    )
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else names[0],
        "cores": len(names),
        "threads": threads,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "zennit": getattr(zennit, "__version__", "0.5.1"),
        },
        "limits": limits(device),
    }
