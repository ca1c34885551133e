"""`unboxed studio` passes its options on, and names the extra that it needs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import unboxed.studio.serve
from unboxed.cli import main
from unboxed.studio.options import Limits, StudioAddress, StudioSources

SECRET = "a long enough secret"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments of `serve`, which does nothing."""
    arguments: list[Any] = []
    monkeypatch.setattr(unboxed.studio.serve, "serve", lambda *given: arguments.extend(given))
    monkeypatch.delenv("UNBOXED_STUDIO_TOKEN", raising=False)
    return arguments


def test_options_become_sources_address_and_limits(served: list[Any]) -> None:
    options = "--index i --photos p --data d.csv --split test --host ::1 --port 0 --allow-host a b --waiting 3"
    main(["studio", "run", *options.split(), "--megabytes", "1.5", "--workers", "2"])
    assert served[:4] == [
        Path("run"),
        StudioSources(index=Path("i"), images=Path("p"), data=Path("d.csv"), split="test"),
        StudioAddress(host="::1", port=0, allow_host=("a", "b")),
        Limits(workers=2, waiting=3, megabytes=1.5),
    ]
    assert served[3].bytes == 1_500_000


def test_the_token_may_be_a_variable_of_the_environment(served: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNBOXED_STUDIO_TOKEN", SECRET)
    main(["studio", "run"])
    assert served[2].token == SECRET
    assert SECRET not in repr(served[2])
    main(["studio", "run", "--token", "another one"])
    assert served[-3].token == "another one"


def test_a_missing_package_is_named_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "unboxed.studio.serve")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SystemExit):
        main(["studio", "run"])
    message = 'error: The studio needs uvicorn; install it with `pip install "unboxed[studio]"`.\n'
    assert capsys.readouterr().err == message
