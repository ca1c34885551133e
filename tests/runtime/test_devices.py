"""Names of devices, what is there, and the provider that runs ONNX networks; other hardware is faked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import onnxruntime
import pytest
import torch

import unboxed
from unboxed.data.dataset import load_dataset
from unboxed.errors import DeviceError
from unboxed.regions.extraction import RegionExtractor, extract
from unboxed.regions.networks import Network
from unboxed.regions.settings import RegionSettings
from unboxed.runtime.devices import VARIABLE, Device, current_device, running_on
from unboxed.scenes.writing import DETECTOR

CPU = "CPUExecutionProvider"


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch finds two CUDA GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def _install(monkeypatch: pytest.MonkeyPatch, *providers: str) -> None:
    """An onnxruntime that has these providers and the CPU's."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [*providers, CPU])


def test_the_innermost_name_holds_then_the_environment_then_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert current_device() == Device("auto")
    monkeypatch.setenv(VARIABLE, "cuda:1")
    with running_on("mps"):
        with running_on("cpu"), running_on(None):
            assert current_device() == Device("cpu")
        assert current_device() == Device("mps")
    assert current_device() == Device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0", "CUDA", "cuda:-1"])
def test_a_name_of_another_form_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match=r"no device .*; known are auto, cpu, cuda"), running_on(name):
        pass
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(DeviceError, match="known are"):
        current_device()


def test_auto_is_the_first_gpu_or_else_the_cpu(monkeypatch: pytest.MonkeyPatch, two_gpus: None) -> None:
    assert Device("auto").torch_device() == Device("cuda").torch_device() == torch.device("cuda:0")
    assert Device("cuda:1").torch_device() == torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Device("auto").torch_device() == Device("openvino").torch_device() == torch.device("cpu")


def test_a_device_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, two_gpus: None) -> None:
    with pytest.raises(DeviceError, match=r"no device cuda:2: this machine has cuda:0 to cuda:1\. Use --device auto"):
        Device("cuda:2").torch_device()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name, reason in (("cuda", "finds no CUDA GPU"), ("mps", "finds no Apple GPU")):
        with pytest.raises(DeviceError, match=reason):
            Device(name).torch_device()


def test_networks_take_the_provider_of_the_device(monkeypatch: pytest.MonkeyPatch, two_gpus: None) -> None:
    _install(monkeypatch, "CUDAExecutionProvider", "DmlExecutionProvider", "OpenVINOExecutionProvider")
    assert Device("cpu").providers() == [CPU]
    assert Device("auto").providers() == [("CUDAExecutionProvider", {"device_id": 0}), CPU]
    assert Device("cuda:1").providers() == [("CUDAExecutionProvider", {"device_id": 1}), CPU]
    assert Device("directml").providers() == ["DmlExecutionProvider", CPU]
    assert Device("openvino").providers() == ["OpenVINOExecutionProvider", CPU]
    assert Device("cuda:1").describe() == "cuda:1; ONNX networks with CUDAExecutionProvider"
    assert Device("directml").describe() == "cpu; ONNX networks with DmlExecutionProvider"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    _install(monkeypatch, "CoreMLExecutionProvider")
    assert Device("mps").providers() == ["CoreMLExecutionProvider", CPU]
    assert Device("auto").providers() == [CPU]  # a GPU that this onnxruntime cannot use
    with pytest.raises(DeviceError, match=r"cannot run networks on cuda: it has CoreML.*Install onnxruntime-gpu"):
        Device("cuda").providers()


class _FallenBack:
    """A session whose provider could not start: ONNX Runtime warns and goes on with the CPU."""

    def __init__(self, path: str, options: object, providers: list[object]) -> None:
        self._session = _SESSION(path, options, providers=[CPU])

    def get_providers(self) -> list[str]:
        return [CPU]

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)


_SESSION = onnxruntime.InferenceSession


def test_a_provider_that_falls_back_is_an_error_unless_the_device_is_auto(
    monkeypatch: pytest.MonkeyPatch, two_gpus: None, capsys: pytest.CaptureFixture[str]
) -> None:
    _install(monkeypatch, "CUDAExecutionProvider")
    monkeypatch.setattr(onnxruntime, "InferenceSession", _FallenBack)
    with running_on("cuda:1"), pytest.raises(DeviceError, match=r"does not run on cuda:1: CUDAExecutionProvider could"):
        Network(DETECTOR)
    with running_on("auto"):
        assert Network(DETECTOR).provider == CPU
    assert "runs on the CPU: CUDAExecutionProvider could not start" in capsys.readouterr().err


def test_directml_runs_one_image_at_a_time_without_memory_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = SimpleNamespace()

    def session(path: str, options: onnxruntime.SessionOptions, providers: list[object]) -> object:
        seen.options, seen.providers = options, providers
        opened = _SESSION(path, options, providers=[CPU])
        monkeypatch.setattr(opened, "get_providers", lambda: providers)
        return opened

    _install(monkeypatch, "DmlExecutionProvider")
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with running_on("directml"):
        network = Network(DETECTOR)
    assert network.provider == "DmlExecutionProvider" and not seen.options.enable_mem_pattern
    assert network._turn.acquire(blocking=False)  # type: ignore[union-attr]
    with running_on("cpu"):
        assert Network(DETECTOR).provider == CPU and seen.options.enable_mem_pattern


def test_extraction_and_loading_take_a_device(tiny_dataset: Path, tiny_run: Path, tmp_path: Path) -> None:
    settings = RegionSettings(detectors=(DETECTOR,))
    assert RegionExtractor(settings, device="cpu").class_names
    examples = load_dataset(tiny_dataset).split("val").examples[:1]
    for call in (
        lambda: RegionExtractor(settings, device="openvino"),
        lambda: extract(examples, settings, tmp_path / "store", device="openvino"),
        lambda: unboxed.load(tiny_run, device="cuda:7"),
    ):
        with pytest.raises(DeviceError):
            call()
    assert not (tmp_path / "store").exists()
    assert unboxed.load(tiny_run, device="cpu").device == "cpu"


@pytest.mark.parametrize("device", ["cuda:7", "tpu"])
@pytest.mark.parametrize(
    "command",
    [
        ("regions", "{data}", "--out", "{out}"),
        ("fit", "--data", "{data}", "--out", "{out}"),
        ("fit", "scan", "--data", "{data}", "--out", "{out}"),
        ("ground", "{run}", "{photo}", "a red box"),
        ("label", "{data}", "--run", "{run}", "--out", "{out}"),
        ("index", "{run}", "{data}", "--out", "{out}"),
        ("evaluate", "{run}", "--data", "{data}"),
        ("studio", "{run}"),
        ("demo", "--out", "{out}"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_every_command_ends_with_code_2_before_anything_is_written(
    command: tuple[str, ...],
    device: str,
    tiny_run: Path,
    tiny_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from unboxed.cli import main

    places = {
        "data": tiny_dataset,
        "run": tiny_run,
        "out": tmp_path / "out.json",
        "photo": tiny_dataset.parent / "photos/3.png",
    }
    with pytest.raises(SystemExit) as ended:
        main([part.format(**places) for part in (*command, "--device", device)])
    assert ended.value.code == 2
    assert "error: There is no device" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
    assert VARIABLE not in os.environ


def test_a_command_on_the_cpu_gives_its_device_to_the_processes_it_starts(
    tiny_run: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from unboxed.cli import main
    from unboxed.inference.grounder import Grounder

    seen = []
    load: Callable[..., Grounder] = Grounder.load
    monkeypatch.setattr(Grounder, "load", lambda run: seen.append(os.environ.get(VARIABLE)) or load(run))
    monkeypatch.setenv(VARIABLE, "auto")
    main(["ground", str(tiny_run), str(tiny_dataset.parent / "photos/3.png"), "a red box", "--device", "cpu"])
    assert seen == ["cpu"] and os.environ[VARIABLE] == "auto"
    assert capsys.readouterr().out.startswith("a red box: [")
