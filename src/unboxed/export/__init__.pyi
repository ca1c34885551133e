from . import coco, csv, huggingface, label_studio, yolo
from .checking import Precision, checking_order, precision
from .classes import ClassSet
from .corrections import CorrectedBox, CorrectedImage, Correction, apply, corrected, undo
from .corrections_file import CorrectionsFile, read_corrections
from .exported_model import Exported
from .label_format import LabelFormat
from .labelling import Labelled, label_dataset
from .onnx import export_onnx
from .options import FORMATS, LabelOptions, SelectionOptions, format_of
from .review import write_review
from .selection import LabelledBox, LabelledImage, Mention, Selection, select_boxes

__all__ = [
    "FORMATS",
    "ClassSet",
    "CorrectedBox",
    "CorrectedImage",
    "Correction",
    "CorrectionsFile",
    "Exported",
    "LabelFormat",
    "LabelOptions",
    "Labelled",
    "LabelledBox",
    "LabelledImage",
    "Mention",
    "Precision",
    "Selection",
    "SelectionOptions",
    "apply",
    "checking_order",
    "coco",
    "corrected",
    "csv",
    "export_onnx",
    "format_of",
    "huggingface",
    "label_dataset",
    "label_studio",
    "precision",
    "read_corrections",
    "select_boxes",
    "undo",
    "write_review",
    "yolo",
]
