"""`unboxed export`: a run as ONNX graphs."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from unboxed.cli.output import print_json
from unboxed.runtime.progress import show

__all__ = ["export"]


def export(run: Positional[Path], /, out: Path, json: bool = False) -> None:
    """Export a run as ONNX graphs that need no PyTorch. Each graph is checked against the model.

    Args:
        run: folder of a run; the guide “Without PyTorch: ONNX” lists the recipes that can be exported.
        out: folder for the graphs, their vocabulary and the models that find regions; an earlier export is replaced.
        json: print one JSON object on standard output at the end.
    """
    from unboxed.export.onnx import export_onnx
    from unboxed.inference.grounder import Grounder

    export_onnx(Grounder.load(run, device="cpu", precision="32"), out, show)
    show(f"{out}: the guide “Without PyTorch: ONNX” has a program of 30 lines that uses it")
    if json:
        print_json({"out": str(out), "files": sorted(file.name for file in out.iterdir())})
