"""`unboxed doctor`: what is installed, what is missing, and the command that fixes each problem."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from unboxed.cli import doctor, main
from unboxed.cli.doctor import Finding, check_installation, torchvision_error

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _found(name: str, findings: list[Finding] | None = None) -> Finding:
    (found,) = [found for found in findings or check_installation() if found.name == name]
    return found


def test_findings_are_printed_as_json_and_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["healthy"]
    findings = {found["name"]: found for found in printed["findings"]}
    assert {"unboxed", "Python", "torch", "cores", "threads of PyTorch", "transformers", "runs"} <= set(findings)
    assert set(findings["torch"]) == {"group", "name", "verdict", "value", "mend"}
    assert re.match(r"\d+\.\d+", findings["torch"]["value"])
    main(["doctor"])
    table = capsys.readouterr().out
    assert "No problems." in table
    assert all(name in table for name in ("numpy", "onnxruntime", "torchvision"))


def test_every_dependency_is_checked_and_every_named_extra_exists() -> None:
    names = {re.split(r"[<>=]", dependency)[0] for dependency in PROJECT["dependencies"]}
    assert set(doctor._REQUIRED.values()) == names
    fixes = [found.fix for found in check_installation()]
    extras = {extra for fix in fixes for extra in re.findall(r"unboxed\[(\w+)\]", fix)}
    extras |= {extra for _, extra, _ in doctor._OPTIONAL.values()}
    assert extras == set(PROJECT["optional-dependencies"]) - {"dev", "docs", "scenes"}  # `onnx` is checked for both


def test_a_missing_part_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(doctor._OPTIONAL, "no_such_module", ("no-such-thing", "studio", "the studio"))
    fix = f'{doctor._pip()} install "unboxed[studio]"'
    assert _found("no-such-thing") == Finding("optional", "no-such-thing", "absent", "for the studio", fix)
    monkeypatch.setitem(doctor._REQUIRED, "no_such_module", "no-such-package")
    fix = f"{doctor._pip()} install no-such-package"
    assert _found("no-such-package") == Finding("packages", "no-such-package", "wrong", "missing", fix)
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "Problems: 1." in printed
    assert f"To fix the problems:\n  no-such-package: {fix}\n" in printed


def test_the_command_installs_into_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    beside_python = str(Path(sys.executable).parent / "pip")
    monkeypatch.setattr(shutil, "which", lambda name: beside_python)
    assert doctor._pip() == "pip"
    monkeypatch.setattr(shutil, "which", lambda name: "/elsewhere/bin/pip")
    assert doctor._pip() == f"{sys.executable} -m pip"


def test_more_threads_than_cores_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "available_cores", lambda: 0)
    found = _found("threads of PyTorch", list(doctor._check_devices()))
    assert (found.verdict, found.fix) == ("wrong", "set OMP_NUM_THREADS=0")


def test_a_pytorch_that_cannot_be_imported_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = _found("PyTorch", list(doctor._check_devices()))
    assert found.verdict == "wrong"
    assert found.value.startswith("cannot be imported: ")
    assert found.fix.endswith("install --force-reinstall torch")


def test_the_package_without_pytorch_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_without_pytorch", lambda: True)
    findings = {finding.name: finding for finding in doctor.check_installation()}
    assert (findings["torch"].verdict, findings["torch"].fix) == ("absent", "")
    assert all(finding.verdict != "wrong" for finding in findings.values()) and "transformers" not in findings


@pytest.mark.parametrize(("driver", "verdict"), [("/usr/bin/nvidia-smi", "wrong"), (None, "absent")])
def test_a_gpu_that_this_pytorch_cannot_use_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, driver: str | None, verdict: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda name: driver)
    findings = list(doctor._check_gpus())
    assert [(found.name, found.verdict) for found in findings] == [("cuda", verdict), ("mps", "ok")]


def test_gpus_are_listed_with_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Properties:
        name, total_memory = "Toy GPU", 80 * 2**30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Properties)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    findings = [(found.name, found.value) for found in doctor._check_gpus()]
    assert findings == [("cuda:0", "Toy GPU, 80 GiB"), ("cuda:1", "Toy GPU, 80 GiB")]


def test_a_torchvision_of_another_torch_is_a_problem_with_a_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = "raise RuntimeError('operator torchvision::nms does not exist')"
    assert torchvision_error("pass") is None
    assert torchvision_error("import os; os._exit(139)") == "its import ends the process with code 139"
    monkeypatch.setattr(doctor, "torchvision_error", lambda: torchvision_error(broken))
    versions = {"torchvision": "0.19.0", "torch": "2.13.0+cpu"}
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name, "1.0"))
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json"])
    assert ended.value.code == 1
    (found,) = [f for f in json.loads(capsys.readouterr().out)["findings"] if f["verdict"] == "wrong"]
    assert found["name"] == "torchvision"
    assert found["value"].startswith(
        "0.19.0 does not work with torch 2.13.0+cpu (RuntimeError: operator torchvision::nms"
    )
    assert "uninstall torchvision, or install both together" in found["mend"]
    monkeypatch.setattr(doctor, "torchvision_error", lambda: None)
    assert doctor._check_torchvision() == Finding("optional", "torchvision", "ok", "0.19.0")


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    found = _found("runs", check_installation(tmp_path / "missing"))
    assert (found.verdict, found.fix) == ("wrong", "name a folder that you can write to with --out")


def test_without_a_detector_it_says_how_to_fetch_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    found = _found("in the Hugging Face cache")
    assert (found.verdict, found.fix) == ("absent", "hf download hustvl/yolos-tiny")
    assert "search images" in found.value


def test_a_folder_without_digests_is_not_called_intact(tmp_path: Path, error_line: Callable[..., str]) -> None:
    (tmp_path / "captions.csv").write_text("image,caption\n")
    assert "holds no file with a digest or a checksum; name the folder of a run" in error_line(
        "doctor", "--verify", tmp_path
    )


def test_a_file_of_any_name_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets are no markup: a table of rich would end with an error."""
    (tmp_path / "[").mkdir()
    (tmp_path / "[" / "bold].json").write_text("{")
    with pytest.raises(SystemExit):
        main(["doctor", "--verify", str(tmp_path)])
    assert "[/bold].json" in capsys.readouterr().out


def test_names_of_damaged_files_cannot_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "\x1b[31mred\n✓ fine.json").write_text("{")
    with pytest.raises(SystemExit):
        main(["doctor", "--verify", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "\\x1b[31mred\\n✓" in printed
