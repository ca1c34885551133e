"""`unboxed index`: images encoded for the search."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import OmitArgPrefixes, Positional

from unboxed.cli.output import print_json
from unboxed.runtime.progress import show, to_call
from unboxed.search.options import IndexOptions

__all__ = ["index"]


def index(
    run: Positional[Path],
    images: Positional[Path],
    /,
    out: Path,
    indexing: OmitArgPrefixes[IndexOptions] = IndexOptions(),  # noqa: B008, a frozen value
    recall: int = 20,
    database: str | None = None,
    json: bool = False,
) -> None:
    """Encode the images of a folder or dataset, so that they can be searched.

    The run comes first: `unboxed index RUN photos --out index`. Afterwards the index holds exactly these images. An
    image that is already in the index is not encoded again, even under another name. An interrupted call continues
    where it stopped.

    Args:
        run: folder of the run.
        images: a folder of images (with its subfolders), or a dataset's TOML file, CSV or JSONL, whose captions can
            then be searched too.
        out: folder of the index.
        indexing: which images, and how their regions are found.
        recall: number of queries with which the recall of the two-stage search is measured, for an index of over 1,000
            images; 0 measures nothing.
        database: also write the vectors to this LanceDB database, a folder or a URL such as s3://bucket/vectors, for
            `unboxed search --database`.
        json: print one JSON object.
    """
    from unboxed.search import Index, index_images

    summary = index_images(run, images, out, indexing, show=show)
    show(str(summary))
    measured = Index.open(out).estimated_recall(recall) if recall > 0 else None
    if measured is not None:
        show(f"Recall of the search: {measured:.1%} of the 10 best images of an exact ranking ({recall} queries)")
    measured_faiss = (
        Index.open(out, faiss=True).estimated_recall(recall) if measured is not None and indexing.faiss else None
    )
    if measured_faiss is not None:
        show(f"With --faiss: {measured_faiss:.1%}")
    if database is not None:
        Index.open(out).write_database(database)
        show(f"Vectors written to {database}, for `{to_call('search', out, '--database', database)}`")
    show(f"Next: {to_call('search', out, 'a dog', '--save', 'found.png')}")
    if json:
        print_json(summary.to_dict() | {"recall_at_10": measured, "recall_at_10_faiss": measured_faiss})
