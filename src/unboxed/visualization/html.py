"""Parts of HTML pages that are single files: templates of the package, and images inside the page."""

from __future__ import annotations

import base64
from functools import cache
from importlib.resources import files
from io import BytesIO

import jinja2
from PIL import Image

__all__ = ["html_template", "jpeg_data_uri"]


@cache
def html_template(package: str, name: str) -> jinja2.Template:
    """The template in the file `name` of a package; text is escaped, and an undefined variable is an error.

    A template may import `chart_panel` and `chart_style` from `chart.html`.
    """
    charts = files("unboxed.visualization").joinpath("chart.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({"chart.html": charts}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(files(package).joinpath(name).read_text(encoding="utf-8"))


def jpeg_data_uri(image: Image.Image, quality: int) -> str:
    """An RGB image as a `data:` URI of a JPEG."""
    content = BytesIO()
    image.save(content, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
