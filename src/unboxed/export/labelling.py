"""Labels a dataset with a trained run: grounds its captions, selects boxes and writes them as annotations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unboxed.data.image_addresses import is_address
from unboxed.data.image_files import skipped_lines
from unboxed.data.image_search import name_in
from unboxed.errors import ExportError, ImageError
from unboxed.export.corrections import CorrectedImage, corrected
from unboxed.export.corrections_file import read_corrections
from unboxed.export.groundings_file import GroundingsFile, run_key
from unboxed.export.label_format import LabelFormat
from unboxed.export.label_precision import precision
from unboxed.export.label_source import LabelSource, label_source
from unboxed.export.labeller import Labeller
from unboxed.export.labels import Selection, resized
from unboxed.export.labels_file import Labels, companion, is_companion, write_labels
from unboxed.export.names import BoxNames
from unboxed.export.options import FORMATS, LabelOptions, SelectionOptions, format_of
from unboxed.export.selection import select_boxes
from unboxed.inference.calibration_notes import refusal_note, unknown_images_note
from unboxed.inference.grounder import Grounder
from unboxed.inference.results import Grounding
from unboxed.inference.run_config import RunConfig
from unboxed.runtime.atomic import require_name, require_other, require_outside, require_writable
from unboxed.runtime.locks import file_lock
from unboxed.runtime.parts import Part, PartRecord
from unboxed.runtime.progress import Show, counted
from unboxed.types import Example

__all__ = ["Labelled", "label_dataset", "label_part"]

_RARELY_READ = (".heic", ".heif", ".hif")
_KEPT_BOXES = 5  # a phrase, at least, so that a call with a larger `top` need not look at the images again


@dataclass(frozen=True, eq=False)
class Labelled:
    """The groundings of a dataset and the boxes that were written.

    Attributes:
        groundings: one a caption.
        names: the image of each grounding, relative to the dataset's folder of images.
        files: the file of each image by name.
        options: which boxes were selected.
        selection: the boxes that were written.
        skipped: image id -> why the image could not be used.
        corrections: the corrected images by name.
        notes: lines about unknown words, and about probabilities that may not fit these images.
    """

    groundings: Sequence[Grounding]
    names: Sequence[str]
    files: Mapping[str, Path]
    options: SelectionOptions
    selection: Selection
    skipped: Mapping[str, str]
    corrections: Mapping[str, CorrectedImage] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What `unboxed label --json` prints: counts, and why images were skipped."""
        found = self.selection
        left_out = {
            name: getattr(found, name) for name in ("below_score", "absent", "unnamed", "unclassed", "merged", "rare")
        }
        return {
            "photos": len(found.images),
            "boxes": found.boxes,
            "categories": list(found.categories),
            "left_out": left_out,
            "skipped": dict(self.skipped),
            "corrected": len(self.corrections),
            "notes": list(self.notes),
        }


def label_dataset(
    data: Path,
    run: Path,
    out: Path,
    options: LabelOptions | None = None,
    selection: SelectionOptions | None = None,
    *,
    progress: bool = True,
    show: Show = print,
) -> Labelled:
    """Ground the captions of a dataset and write their boxes to `out`, atomically at the end.

    The groundings are kept in `NAME.groundings.jsonl` beside the output. An interrupted call continues with them, and
    another selection or format looks at no image again, unless its `top` is above 5 and that of earlier calls. The
    labels are also written to `NAME.labels.jsonl`, for the studio, where they can be corrected.

    Args:
        data: images with captions: a table (CSV, JSONL, JSON), a folder, a dataset's TOML file, or tar or Parquet
            files, also at URLs.
        run: folder of the run.
        out: the file to write; a folder for a format that is one.
        options: format, split, regions and the rest; None for the defaults.
        selection: which boxes; None for the defaults.
        progress: show how many images are done, the rate and the time left.
        show: called with lines of text.

    Raises:
        BusyError: another process writes these labels.
        DatasetError: the dataset or the split cannot be read.
        RunError: no run there.
        ImageError: with `options.strict`, the first image that cannot be read; otherwise when none can.
        ExportError: an unknown format, something else at `out`, options of a part, or damaged corrections.
    """
    data, run, out, options = Path(data), Path(run), Path(out), options or LabelOptions()
    if options.part is not None:
        raise ExportError("The labels of a part are written when all parts are merged; ground it with `label_part`.")
    form = format_of(options.format)
    _check_place(out, form)
    rule = _rule(run, options, selection)
    _ = _corrections(out, options)  # damaged ones are an error now, not when all images are done
    source = label_source(data, options)
    for line in source.notes:
        show(line)
    _require_unread([out, companion(out, "labels"), file := _groundings_file(out)], source, rule)
    with file_lock(file, wait=options.wait, show=show), file_lock(out, wait=options.wait, show=show):
        kept = _opened(file, run, options, rule)
        labeller = Labeller(Grounder.load(run), kept, options, show)
        labelled = _labelled(labeller.grounded(source.examples, progress), source, rule)
        labelled = _with_notes(labelled, run, labeller, data, form)
        found = labelled.selection
        write_labels(companion(out, "labels"), Labels(found.images, labelled.files, found.categories))
        labelled = _with_corrections(labelled, _corrections(out, options))  # also those made in the meantime
        written = labelled.selection
        if form.original_pixels:
            sizes = {_name(source, item): item.annotated_size for item in source.examples if item.annotated_size}
            written = resized(written, sizes)
        form.write(out, written, labelled.files, options)
    for line in (*_summary(labelled, out, labeller.note), *_about_corrections(labelled, found, out, options)):
        show(line)
    return labelled


def label_part(
    data: Path,
    run: Path,
    out: Path,
    options: LabelOptions,
    selection: SelectionOptions | None = None,
    *,
    show: Show = print,
) -> tuple[Path, int, dict[str, str]]:
    """Ground the captions of a part of a dataset, for labels that are written when all parts are merged.

    Args:
        data, run, out, options, selection, show: as for `label_dataset`, for which `merge_lines` joins the
            files of all parts to the `NAME.groundings.jsonl` beside its output. `options.part` is the part.

    Returns:
        `NAME.groundings.jsonl` of this part, the number of its images, and why images could not be used, by id.

    Raises:
        BusyError, DatasetError, RunError, ImageError: as `label_dataset`; a part may have no image.
        StoreError: there is no such part.
    """
    data, run, out = Path(data), Path(run), Path(out)
    part = Part.parse(options.part or "1/1")
    rule = _rule(run, options, selection)
    source, file = label_source(data, options), _groundings_file(out)
    record = PartRecord.of(part, [example.image_id for example in source.examples])
    examples = [example for example in source.examples if example.image_id in record.places]
    skipped = {image_id: reason for image_id, reason in source.skipped.items() if image_id in part}
    require_writable(file)
    _require_unread([file], source, rule)
    with file_lock(file, wait=options.wait, show=show):
        kept = _opened(file, run, options, rule)
        labeller = Labeller(Grounder.load(run), kept, options, show)
        for example, outcome in labeller.grounded(examples, record=record):
            if isinstance(outcome, str):
                skipped[example.image_id] = outcome
    return file, len(examples), skipped


def _rule(run: Path, options: LabelOptions, selection: SelectionOptions | None) -> SelectionOptions:
    """The selection for the format and the run."""
    calibrated = RunConfig.load(run).presence is not None
    listed = options.find is not None
    rule = (selection or SelectionOptions()).adapted(format_of(options.format), calibrated, listed=listed)
    BoxNames(rule)  # an unusable file of classes is an error now, not when all images are done
    return rule


def _groundings_file(out: Path) -> Path:
    require_name(out)
    return out.with_name(f"{out.stem}.groundings.jsonl")


def _opened(file: Path, run: Path, options: LabelOptions, rule: SelectionOptions) -> GroundingsFile:
    top = max(rule.top, _KEPT_BOXES)
    return GroundingsFile(file, run_key(run, options.regions), top, exact=options.part is not None)


def _labelled(
    outcomes: Iterable[tuple[Example, Sequence[Grounding] | str]], source: LabelSource, options: SelectionOptions
) -> Labelled:
    """The labels of all images.

    Args:
        outcomes: the groundings of each image, or why there are none.
        source: where the images are from.
        options: which boxes are selected.
    """
    skipped = dict(source.skipped)
    groundings: list[Grounding] = []
    names: list[str] = []
    files: dict[str, Path] = {}
    for example, outcome in outcomes:
        if isinstance(outcome, str):
            skipped[example.image_id] = outcome
            continue
        name = _name(source, example)
        files[name] = example.path
        groundings += outcome
        names += [name] * len(outcome)
    if not groundings:
        raise ImageError(f"None of the {len(skipped)} images could be used; {next(iter(skipped.values()))}")
    return Labelled(groundings, names, files, options, select_boxes(groundings, names, options), skipped)


def _with_notes(labelled: Labelled, run: Path, labeller: Labeller, data: Path, form: LabelFormat) -> Labelled:
    """The labels with lines about unknown words, probabilities that may not fit the images, and kinds of files."""
    config = labeller.grounder.config
    if labeller.listed:
        notes = [labeller.note, unknown_images_note(run, config, labelled.files)]
    else:
        phrases = (phrase for grounding in labelled.groundings for phrase in grounding.phrases)
        notes = [refusal_note(run, config, data, phrases)]
    if form.suffix:  # the formats that are folders hold the images
        notes.append(_rarely_read(labelled.files))
    return replace(labelled, notes=tuple(note for note in notes if note is not None))


def _corrections(out: Path, options: LabelOptions) -> dict[str, CorrectedImage]:
    """The corrections beside the output, if they are to be used."""
    return read_corrections(companion(out, "corrections")) if options.resume_corrections else {}


def _with_corrections(labelled: Labelled, states: Mapping[str, CorrectedImage]) -> Labelled:
    known = {name: state for name, state in states.items() if name in labelled.files and state.history}
    return replace(labelled, selection=corrected(labelled.selection, known.values()), corrections=known)


def _name(source: LabelSource, example: Example) -> str:
    if is_address(example.path):
        return example.image_id
    return name_in(source.root or example.path.parent, example.path)


def _check_place(out: Path, form: LabelFormat) -> None:
    require_name(out)
    own = [companion(out, "labels"), _groundings_file(out)]
    if is_companion(out):
        raise ExportError(f"{out} is called as the files that are kept beside an output; choose another name.")
    _check_ending(out, form)
    if form.suffix and out.is_dir():
        file = out / f"boxes{form.suffix}"
        raise ExportError(f"{out} is a folder; the {form.key} format is one file, such as {file}.")
    if form.suffix and out.exists() and not any(file.exists() for file in own):
        raise ExportError(f"{out} was not written by `unboxed label`; choose another name, or remove it.")
    if not form.suffix and out.exists() and (foreign := form.foreign(out) if out.is_dir() else [out.name]):
        raise ExportError(
            f"{out} is in the way: the {form.key} format is a folder of its own, and {foreign[0]} is not part of it; "
            "name a new folder."
        )
    require_writable(out)


def _check_ending(out: Path, form: LabelFormat) -> None:
    """Raise an error for a name that ends as the files of another format, or, of a file, as those of no format."""
    suffix = out.suffix.lower()
    others = [other.key for other in FORMATS if other.suffix == suffix and suffix]
    if not suffix or out.is_dir() or suffix == form.suffix or not (form.suffix or others):
        return
    kind = f"let it end in {form.suffix}" if form.suffix else "name a folder"
    fix = f", or add --format {' or '.join(others)}" if others else ""
    raise ExportError(f"{out} is no name for the {form.key} format; {kind}{fix}.")


def _require_unread(written: Sequence[Path], source: LabelSource, rule: SelectionOptions) -> None:
    """Raise an error before a table, an image or the file of classes is replaced, also one that `label` has written."""
    read = (*source.files, *([] if rule.classes is None else [rule.classes]))
    for path in written:
        require_other(path, *read)
        require_outside(path, *read)


def _summary(labelled: Labelled, out: Path, shown: str | None) -> Iterator[str]:
    """Lines for people: what was skipped and written, a lower threshold if no box reached it, and other notes."""
    skipped, selection = labelled.skipped, labelled.selection
    yield from skipped_lines(skipped)
    yield f"{out}: {selection.describe()}" + (f"; {counted(len(skipped), 'image')} skipped" if skipped else "")
    if selection.below_score and not selection.boxes:
        scores = (phrase.scores for grounding in labelled.groundings for phrase in grounding.phrases)
        best = max(float(score) for scores_R in scores for score in scores_R[:1])
        yield (
            f"No box scores at least {labelled.options.lowest_score:g}; the best one scores {best:.2f}: name a lower "
            "--min-score."
        )
    yield from (note for note in labelled.notes if note != shown)


def _rarely_read(files: Mapping[str, Path]) -> str | None:
    """A line about images that other programs can hardly open, although they were read here."""
    names = [name for name, file in files.items() if file.suffix.lower() in _RARELY_READ]
    if not names:
        return None
    return (
        f"HEIC images, which browsers and OpenCV do not open: {len(names):,}, such as {names[0]}; convert them to "
        "JPEG before others use these labels, or write --format yolo, which has copies as JPEG."
    )


def _about_corrections(labelled: Labelled, found: Selection, out: Path, options: LabelOptions) -> Iterator[str]:
    """A line about corrections: how many images have them, or that none are used, and why."""
    file = companion(out, "corrections")
    if labelled.corrections:
        yield f"Corrected images: {len(labelled.corrections):,}, from {file}"
        if (estimate := precision(found.images, labelled.corrections)) is not None:
            yield f"Before the corrections: {estimate}"
    elif file.is_file() and options.resume_corrections:
        yield f"{file} corrects none of these images."
    elif file.is_file():
        yield f"{file} is not used; without --no-resume-corrections, the images are written as they were corrected."
