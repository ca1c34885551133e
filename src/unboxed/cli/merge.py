"""`unboxed merge`: the parts of a dataset as one."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from unboxed.cli.output import print_json
from unboxed.runtime.progress import counted, show

__all__ = ["merge"]


def merge(parts: Positional[tuple[Path, ...]], /, out: Path, json: bool = False) -> None:
    """Merge all parts of a dataset, made with `--part K/N` of `unboxed regions`, `label` or `ground`, into one.

    A store is the one that a single `unboxed regions` writes, byte for byte. Lines of `ground` come in the order of the
    folder. Merged NAME.groundings.jsonl files of `label` are read by an `unboxed label --out NAME.json` of the whole
    dataset, which then looks at no image again.

    Args:
        parts: folders of stores, or files of JSON lines, in any order.
        out: folder of the store, or the file of all lines; it must not exist yet.
        json: print one JSON object on standard output at the end.
    """
    from unboxed.regions.parts import merge_parts
    from unboxed.runtime.part_lines import merge_lines

    if any(path.is_file() or path.suffix == ".jsonl" for path in parts):
        lines = merge_lines(parts, out)
        show(f"{out}: {counted(lines, 'image')} of {len(parts)} parts")
        if json:
            print_json({"out": str(out), "images": lines, "parts": len(parts)})
        return
    count = len(merge_parts(parts, out))
    show(f"{out}: {counted(count, 'image')} of {len(parts)} parts")
    if json:
        print_json({"store": str(out), "photos": count, "parts": len(parts)})
