"""Fixtures for tests of commands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from unboxed.cli import main


@pytest.fixture
def error_line(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must end with exit code 2 and returns its last line, the error: `error_line("search", …)`."""

    def run(*arguments: object) -> str:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert ended.value.code == 2
        printed = capsys.readouterr().err
        assert "Traceback" not in printed
        line = printed.strip().splitlines()[-1]
        assert line.startswith("error: ")
        return line

    return run
