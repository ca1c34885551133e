"""`unboxed doctor`: what is there, what is not, and the command for each."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from unboxed.cli import installation as doctor
from unboxed.cli import main
from unboxed.cli.installation import Finding, examine, torchvision_trouble


def test_it_tells_versions_devices_and_places_to_people_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"]
    findings = {found["name"]: found for found in told["findings"]}
    assert {"unboxed", "Python", "torch", "cores", "threads of PyTorch", "transformers", "runs"} <= set(findings)
    assert re.match(r"\d+\.\d+", findings["torch"]["value"])
    main(["doctor"])
    page = capsys.readouterr().out
    assert "Nothing is wrong." in page
    assert all(name in page for name in ("numpy", "onnxruntime", "torchvision"))


def test_the_extras_that_it_names_exist() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    mends = [found.mend for found in doctor._optional()] + [
        f'"unboxed[{extra}]"' for _, extra, _ in doctor._OPTIONAL.values()
    ]
    named = {extra for mend in mends for extra in re.findall(r"unboxed\[(\w+)\]", mend)}
    assert named <= set(project["project"]["optional-dependencies"])


def test_a_missing_part_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor._OPTIONAL, "no_such_module", ("no-such-thing", "studio", "the studio"))
    (found,) = [found for found in examine() if found.name == "no-such-thing"]
    mend = f'{doctor._pip()} install "unboxed[studio]"'
    assert found == Finding("optional", "no-such-thing", "absent", "for the studio", mend)


def test_the_command_installs_into_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    beside = str(Path(sys.executable).parent / "pip")
    monkeypatch.setattr(shutil, "which", lambda name: beside)
    assert doctor._pip() == "pip"
    monkeypatch.setattr(shutil, "which", lambda name: "/elsewhere/bin/pip")
    assert doctor._pip() == f"{sys.executable} -m pip"


def test_a_torchvision_of_another_torch_is_told_with_the_mend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = "raise RuntimeError('operator torchvision::nms does not exist')"
    assert torchvision_trouble("pass") is None
    assert torchvision_trouble("import os; os._exit(139)") == "its import ends the process with code 139"
    monkeypatch.setattr(doctor, "torchvision_trouble", lambda: torchvision_trouble(broken))
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


def test_a_folder_that_cannot_be_written_is_wrong(tmp_path: Path) -> None:
    (found,) = [found for found in examine(tmp_path / "missing") if found.name == "runs"]
    assert (found.verdict, found.mend) == ("wrong", "name a folder of yours with --out")
