"""How a verb prints what programs read."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["print_json"]


def print_json(content: dict[str, Any]) -> None:
    """One JSON object on standard output, and nothing else."""
    print(json.dumps(content, ensure_ascii=False))
