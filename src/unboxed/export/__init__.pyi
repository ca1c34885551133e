from . import coco, csv, huggingface, label_studio, yolo
from .classes import ClassSet
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
    "Exported",
    "LabelFormat",
    "LabelOptions",
    "Labelled",
    "LabelledBox",
    "LabelledImage",
    "Mention",
    "Selection",
    "SelectionOptions",
    "coco",
    "csv",
    "export_onnx",
    "format_of",
    "huggingface",
    "label_dataset",
    "label_studio",
    "select_boxes",
    "write_review",
    "yolo",
]
