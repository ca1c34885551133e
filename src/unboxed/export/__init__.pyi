from . import coco, csv, huggingface, label_studio, yolo
from .classes import ClassSet
from .corrections import CorrectedBox, CorrectedImage, Correction, apply, corrected, undo
from .corrections_file import CorrectionsFile, read_corrections
from .exported_model import Exported
from .label_format import LabelFormat
from .label_precision import Precision, precision
from .labelling import Labelled, label_dataset
from .labels import LabelledBox, LabelledImage, Mention, Selection
from .onnx import export_onnx
from .options import FORMATS, LabelOptions, SelectionOptions, format_of
from .review import write_review
from .review_order import order_for_review
from .selection import select_boxes

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
    "coco",
    "corrected",
    "csv",
    "export_onnx",
    "format_of",
    "huggingface",
    "label_dataset",
    "label_studio",
    "order_for_review",
    "precision",
    "read_corrections",
    "select_boxes",
    "undo",
    "write_review",
    "yolo",
]
