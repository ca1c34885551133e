"""What this installation has, what it lacks, and the command that mends each thing: `unboxed doctor`."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

__all__ = ["Finding", "examine", "torchvision_trouble"]

Verdict = Literal["ok", "absent", "wrong"]

# The distribution of each module that is needed, and of each optional part with the extra that brings it.
_NEEDED = {
    "defusedxml": "defusedxml",
    "jinja2": "jinja2",
    "lightning_fabric": "lightning-fabric",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "PIL": "pillow",
    "rich": "rich",
    "safetensors": "safetensors",
    "skimage": "scikit-image",
    "torch": "torch",
    "tyro": "tyro",
}
_OPTIONAL = {
    "transformers": ("transformers", "hf", "detectors, text encoders and language models of transformers"),
    "huggingface_hub": ("huggingface-hub", "hub", "runs from and to the Hugging Face Hub"),
    "fastapi": ("fastapi", "studio", "the studio"),
    "uvicorn": ("uvicorn", "studio", "the studio"),
    "python_multipart": ("python-multipart", "studio", "uploads to the studio"),
    "pyarrow": ("pyarrow", "parquet", "datasets of Hugging Face in parquet files"),
    "onnx": ("onnx", "onnx", "`unboxed export`"),
    "onnxscript": ("onnxscript", "onnx", "`unboxed export`"),
    "supervision": ("supervision", "supervision", "`Grounding.to_supervision`"),
    "faiss": ("faiss-cpu", "search", "searching some millions of photographs"),
    "tensorboard": ("tensorboard", "tensorboard", "training curves in TensorBoard"),
    "h5py": ("h5py", "hdf5", "region features from HDF5 files"),
    "triton": ("triton", "triton", "the fused kernel on a GPU"),
}


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes:
        group: what it belongs to, such as `packages`.
        name: of the thing.
        verdict: `ok`, `absent` (only something optional is missing), or `wrong` (something will fail).
        value: a version, a number, or what was found.
        mend: the command or the step that changes it; "" where nothing need be done.
    """

    group: str
    name: str
    verdict: Verdict
    value: str
    mend: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def examine(folder: Path | None = None) -> list[Finding]:
    """Look at the installation and the machine; nothing is changed, and nothing is asked of the network.

    Args:
        folder: where runs are to be written; the current one by default.
    """
    return [
        *_system(),
        *_packages(),
        *_devices(),
        *_optional(),
        *_torchvision(),
        *_writing(folder or Path.cwd()),
    ]


def torchvision_trouble(code: str = "import torchvision") -> str | None:
    """Why torchvision cannot be imported, or None when it can.

    It is tried in a process of its own: where it was built for another PyTorch, even its import may end the process.

    Args:
        code: what is tried.
    """
    try:
        tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return "its import does not end"
    if tried.returncode == 0:
        return None
    lines = [line for line in tried.stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"its import ends the process with code {tried.returncode}"


def _pip() -> str:
    """What installs into this very environment: `pip`, where that is its own."""
    found = shutil.which("pip")
    return "pip" if found and Path(found).parent == Path(sys.executable).parent else f"{sys.executable} -m pip"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _system() -> Iterator[Finding]:
    from unboxed import __version__

    yield Finding("system", "unboxed", "ok", __version__)
    yield Finding("system", "Python", "ok", platform.python_version())
    yield Finding("system", "platform", "ok", platform.platform())


def _packages() -> Iterator[Finding]:
    for module, distribution in _NEEDED.items():
        version = _version(distribution)
        if version is None and find_spec(module) is None:
            yield Finding("packages", distribution, "wrong", "missing", f"{_pip()} install {distribution}")
        else:
            yield Finding("packages", distribution, "ok", version or "there, version unknown")


def _devices() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("devices", "cores", "ok", str(cores))
    try:
        import torch
    except Exception as error:  # a broken installation raises anything
        mend = f"{_pip()} install --force-reinstall torch"
        yield Finding("devices", "PyTorch", "wrong", f"cannot be imported: {error}", mend)
        return
    threads = torch.get_num_threads()
    slow = threads > cores
    mend = f"set OMP_NUM_THREADS={cores}" if slow else ""
    yield Finding("devices", "threads of PyTorch", "wrong" if slow else "ok", str(threads), mend)
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            memory = f"{facts.total_memory / 2**30:.0f} GiB"
            yield Finding("devices", f"cuda:{number}", "ok", f"{facts.name}, {memory}")
    else:
        built = torch.version.cuda
        driver = shutil.which("nvidia-smi") is not None
        if driver and built is None:
            mend = "install PyTorch for CUDA: https://pytorch.org/get-started/locally"
            yield Finding(
                "devices", "cuda", "wrong", "there is an NVIDIA driver, but PyTorch is built without CUDA", mend
            )
        else:
            yield Finding("devices", "cuda", "absent", "no GPU that PyTorch can use")
    if torch.backends.mps.is_available():
        yield Finding("devices", "mps", "ok", "Apple GPU")
    import onnxruntime

    providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    yield Finding("devices", "onnxruntime", "ok", ", ".join(providers))


def _optional() -> Iterator[Finding]:
    for module, (distribution, extra, use) in _OPTIONAL.items():
        version = _version(distribution)
        if version is not None or find_spec(module) is not None:
            yield Finding("optional", distribution, "ok", f"{version or 'there'}, for {use}")
        else:
            yield Finding("optional", distribution, "absent", f"for {use}", f'{_pip()} install "unboxed[{extra}]"')


def _torchvision() -> Iterator[Finding]:
    """torchvision is not needed here, but transformers imports it where it is installed, and fails with it."""
    version = _version("torchvision")
    if version is None:
        yield Finding("optional", "torchvision", "ok", "not installed, and not needed")
        return
    trouble = torchvision_trouble()
    if trouble is None:
        yield Finding("optional", "torchvision", "ok", version)
        return
    torch_version = _version("torch") or "?"
    yield Finding(
        "optional",
        "torchvision",
        "wrong",
        f"{version} does not work with torch {torch_version} ({trouble}); transformers imports it and fails, too",
        f"{_pip()} uninstall torchvision, or install both together: https://pytorch.org/get-started/previous-versions",
    )


def _writing(folder: Path) -> Iterator[Finding]:
    for name, place in (("runs", folder), ("temporary files", Path(tempfile.gettempdir()))):
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
            free = f"{shutil.disk_usage(place).free / 2**30:.1f} GiB free"
            yield Finding("writing", name, "ok", f"{place.resolve()}, {free}")
        except OSError as error:
            mend = "name a folder of yours with --out" if name == "runs" else "set TMPDIR to a folder of yours"
            yield Finding("writing", name, "wrong", f"{place.resolve()} cannot be written ({error.strerror})", mend)
