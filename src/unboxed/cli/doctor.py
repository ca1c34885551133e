"""The command `unboxed doctor`: checks of the installation and of this machine, with a fix for every problem."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from unboxed.cli.output import print_json
from unboxed.errors import DeviceError, UnboxedError
from unboxed.runtime.devices import VARIABLE, current_device
from unboxed.runtime.digests import verified
from unboxed.runtime.progress import one_line
from unboxed.runtime.threads import available_cores
from unboxed.runtime.urls import refuse_url

__all__ = ["Finding", "check_installation", "doctor", "torchvision_error"]

Verdict = Literal["ok", "absent", "wrong"]

_SIGNS: dict[Verdict, str] = {"ok": "[green]✓[/green]", "absent": "[dim]·[/dim]", "wrong": "[red]✗[/red]"}

# Required modules with the package that contains each.
_REQUIRED = {
    "cattrs": "cattrs",
    "defusedxml": "defusedxml",
    "filelock": "filelock",
    "fsspec": "fsspec",
    "jinja2": "jinja2",
    "lazy_loader": "lazy-loader",
    "lightning_fabric": "lightning-fabric",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "PIL": "pillow",
    "platformdirs": "platformdirs",
    "rich": "rich",
    "safetensors": "safetensors",
    "skimage": "scikit-image",
    "torch": "torch",
    "tyro": "tyro",
}
_FETCH = "hf download hustvl/yolos-tiny"
# Optional modules with the package that contains each, the extra that installs it, and its use.
_OPTIONAL = {
    "transformers": ("transformers", "hf", "detectors, text encoders and language models of transformers"),
    "pillow_heif": ("pillow-heif", "heic", "HEIC images"),
    "huggingface_hub": ("huggingface-hub", "hub", "runs from and to the Hugging Face Hub"),
    "fastapi": ("fastapi", "studio", "the studio"),
    "uvicorn": ("uvicorn", "studio", "the studio"),
    "python_multipart": ("python-multipart", "studio", "uploads to the studio"),
    "pyarrow": ("pyarrow", "parquet", "datasets of Hugging Face in parquet files"),
    "onnx": ("onnx", "onnx", "`unboxed export`"),
    "onnxscript": ("onnxscript", "onnx", "`unboxed export`"),
    "supervision": ("supervision", "supervision", "`Grounding.to_supervision`"),
    "faiss": ("faiss-cpu", "search", "searching millions of images"),
    "ray": ("ray", "ray", "regions found by several machines"),
    "lancedb": ("lancedb", "lance", "vectors of a search in a database"),
    "tensorboard": ("tensorboard", "tensorboard", "training curves in TensorBoard"),
    "wandb": ("wandb", "wandb", "training curves in Weights & Biases"),
    "h5py": ("h5py", "hdf5", "region features from HDF5 files"),
    "triton": ("triton", "triton", "the fused kernel on a GPU"),
}


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        group: heading that it belongs to, such as `packages`.
        name: what was checked.
        verdict: `ok`, `absent` (an optional part is missing), or `wrong` (something will fail).
        value: a version, a number, or what was found.
        fix: command or step that changes it; empty when nothing needs to be done.
    """

    group: str
    name: str
    verdict: Verdict
    value: str
    fix: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What `unboxed doctor --json` prints; `fix` is called `mend` there."""
        return {
            "group": self.group,
            "name": self.name,
            "verdict": self.verdict,
            "value": self.value,
            "mend": self.fix,
        }


def doctor(json: bool = False, verify: Path | None = None) -> None:
    """Check the installation: what it has, what is missing, and the command that fixes each problem.

    The exit code is 1 when there is a problem. A missing optional part is not a problem.

    Args:
        json: print one JSON object instead of a table.
        verify: check the files of this run, store, index or export against their digests, instead of the installation.
    """
    findings = check_installation() if verify is None else list(_check_files(verify))
    problems = [finding for finding in findings if finding.verdict == "wrong"]
    if json:
        print_json({"healthy": not problems, "findings": [finding.to_dict() for finding in findings]})
    else:
        _print_table(findings)
    if problems:
        raise SystemExit(1)


def _check_files(folder: Path) -> Iterator[Finding]:
    """One finding for each damaged file, and one with the number of the others."""
    refuse_url(folder, "What is verified")
    if not folder.is_dir():
        raise UnboxedError(f"There is no folder {folder}; name that of a run, a store, an index or an export.")
    checked = dict(verified(folder))
    for file, reason in checked.items():
        if reason is not None:
            fix = "restore it, or repeat the command that made the folder"
            if file.parent.name == "shards":
                fix = "repeat the command that made the folder: only the images of this file are made again"
            yield Finding("files", str(file.relative_to(folder)), "wrong", f"damaged: {reason}", fix)
    if not checked:
        raise UnboxedError(
            f"{folder} holds no file with a digest or a checksum; name the folder of a run, a store, an index or an "
            "export of this version."
        )
    intact = sum(reason is None for reason in checked.values())
    yield Finding("files", str(folder), "ok", f"{intact:,} files are as they were written")


def _print_table(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "", "found", box=None, padding=(0, 2, 0, 0), header_style="dim")
    group = ""
    for finding in findings:
        if finding.group != group:
            table.add_row("", f"[bold]{finding.group}[/bold]")
            group = finding.group
        table.add_row(_SIGNS[finding.verdict], escape(one_line(finding.name)), escape(one_line(finding.value)))
    console = Console()
    console.print(table)
    problems = sum(finding.verdict == "wrong" for finding in findings)
    console.print(f"\nProblems: {problems}." if problems else "\nNo problems.", style="bold")
    for title, verdict in (("To fix the problems", "wrong"), ("To add optional parts", "absent")):
        fixable = [finding for finding in findings if finding.verdict == verdict and finding.fix]
        if fixable:
            console.print(f"{title}:")
        for finding in fixable:  # without line breaks, so that the command can be copied
            console.print(
                f"  {escape(one_line(finding.name))}: [bold]{escape(finding.fix)}[/bold]",
                soft_wrap=True,
                highlight=False,
            )


def check_installation(folder: Path | None = None) -> list[Finding]:
    """Check the installation and the machine, without changing anything and without using the network.

    Args:
        folder: folder in which runs will be written; the current folder by default.
    """
    if _without_pytorch():
        return [*_check_system(), *_check_required(), *_check_writing(folder or Path.cwd())]
    return [
        *_check_system(),
        *_check_required(),
        *_check_devices(),
        *_check_optional(),
        _check_torchvision(),
        _check_detector(),
        *_check_writing(folder or Path.cwd()),
    ]


def torchvision_error(code: str = "import torchvision") -> str | None:
    """Why torchvision cannot be imported, or None when it can.

    The import runs in another process: a torchvision built for another version of PyTorch may crash Python.

    Args:
        code: the Python code that is run.
    """
    try:
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return "its import does not end"
    if result.returncode == 0:
        return None
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"its import ends the process with code {result.returncode}"


def _pip() -> str:
    """The command of the pip that installs into this environment."""
    found = shutil.which("pip")
    return "pip" if found and Path(found).parent == Path(sys.executable).parent else f"{sys.executable} -m pip"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _without_pytorch() -> bool:
    """Whether this is unboxed-runtime, which has PyTorch left out."""
    return _version("unboxed-runtime") is not None and find_spec("torch") is None


def _check_system() -> Iterator[Finding]:
    from unboxed import __version__

    yield Finding("system", "unboxed", "ok", __version__)
    yield Finding("system", "Python", "ok", platform.python_version())
    yield Finding("system", "platform", "ok", platform.platform())


def _check_required() -> Iterator[Finding]:
    for module, distribution in _REQUIRED.items():
        version = _version(distribution)
        if module in ("torch", "lightning_fabric") and _without_pytorch():
            yield Finding("packages", distribution, "absent", "left out by unboxed-runtime")
        elif version is None and find_spec(module) is None:
            yield Finding("packages", distribution, "wrong", "missing", f"{_pip()} install {distribution}")
        else:
            yield Finding("packages", distribution, "ok", version or "installed, version unknown")


def _check_devices() -> Iterator[Finding]:
    cores = available_cores()
    yield Finding("devices", "cores", "ok", str(cores))
    try:
        import torch
    except Exception as error:  # a broken installation raises errors of any type
        fix = f"{_pip()} install --force-reinstall torch"
        yield Finding("devices", "PyTorch", "wrong", f"cannot be imported: {error}", fix)
        return
    threads = torch.get_num_threads()
    if threads > cores:
        yield Finding("devices", "threads of PyTorch", "wrong", str(threads), f"set OMP_NUM_THREADS={cores}")
    else:
        yield Finding("devices", "threads of PyTorch", "ok", str(threads))
    yield from _check_gpus()
    import onnxruntime

    providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    yield Finding("devices", "onnxruntime", "ok", ", ".join(providers))
    yield _check_chosen()


def _check_chosen() -> Finding:
    """The device that commands use without `--device`."""
    device = current_device()
    try:
        return Finding("devices", "used", "ok", device.describe())
    except DeviceError as error:
        return Finding("devices", "used", "wrong", f"{VARIABLE}={device.name}: {error}", f"unset {VARIABLE}")


def _check_gpus() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            memory = f"{properties.total_memory / 2**30:.0f} GiB"
            yield Finding("devices", f"cuda:{number}", "ok", f"{properties.name}, {memory}")
    elif shutil.which("nvidia-smi") is not None and torch.version.cuda is None:
        found = "there is an NVIDIA driver, but PyTorch is built without CUDA"
        fix = "install PyTorch for CUDA: https://pytorch.org/get-started/locally"
        yield Finding("devices", "cuda", "wrong", found, fix)
    else:
        yield Finding("devices", "cuda", "absent", "no GPU that PyTorch can use")
    if torch.backends.mps.is_available():
        yield Finding("devices", "mps", "ok", "Apple GPU")


def _has_gpu() -> bool:
    """Whether PyTorch can use a GPU of NVIDIA."""
    try:
        import torch
    except Exception:  # reported by `_check_devices`
        return False
    return torch.cuda.is_available()


def _check_optional() -> Iterator[Finding]:
    for module, (distribution, extra, use) in _OPTIONAL.items():
        version = _version(distribution)
        if version is not None or find_spec(module) is not None:
            yield Finding("optional", distribution, "ok", f"{version or 'installed'}, for {use}")
        else:
            fix = "" if module == "triton" and not _has_gpu() else f'{_pip()} install "unboxed[{extra}]"'
            yield Finding("optional", distribution, "absent", f"for {use}", fix)


def _check_detector() -> Finding:
    """Whether a detector of transformers is in the local cache; without one, boxes need an ONNX file."""
    from unboxed.regions.settings import WITHOUT_DETECTOR
    from unboxed.regions.sources.detector_models import cached_detector

    found = cached_detector()
    if found is not None:
        return Finding("detectors", "in the Hugging Face cache", "ok", found.parents[1].name.removeprefix("models--"))
    what = WITHOUT_DETECTOR.split(". ")[0]
    return Finding("detectors", "in the Hugging Face cache", "absent", f"none: regions are segments. {what}.", _FETCH)


def _check_torchvision() -> Finding:
    """Unboxed does not need torchvision, but transformers imports it when it is installed, and fails with it."""
    version = _version("torchvision")
    if version is None:
        return Finding("optional", "torchvision", "ok", "not installed, and not needed")
    error = torchvision_error()
    if error is None:
        return Finding("optional", "torchvision", "ok", version)
    torch_version = _version("torch") or "?"
    return Finding(
        "optional",
        "torchvision",
        "wrong",
        f"{version} does not work with torch {torch_version} ({error}); transformers imports it and fails, too",
        f"{_pip()} uninstall torchvision, or install both together: https://pytorch.org/get-started/previous-versions",
    )


def _check_writing(folder: Path) -> Iterator[Finding]:
    fixes = {
        "runs": "name a folder that you can write to with --out",
        "temporary files": "set TMPDIR to a folder that you can write to",
    }
    for name, place in (("runs", folder), ("temporary files", Path(tempfile.gettempdir()))):
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
            free = f"{shutil.disk_usage(place).free / 2**30:.1f} GiB free"
            yield Finding("writing", name, "ok", f"{place.resolve()}, {free}")
        except OSError as error:
            found = f"{place.resolve()} cannot be written ({error.strerror})"
            yield Finding("writing", name, "wrong", found, fixes[name])
