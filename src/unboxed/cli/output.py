"""Output that several commands print."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["print_json"]


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(content, ensure_ascii=False))
