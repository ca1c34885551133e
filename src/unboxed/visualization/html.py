"""Parts of HTML pages that are single files: templates of the package, and images inside the page."""

from __future__ import annotations

import base64
import re
from functools import cache
from importlib.resources import files
from io import BytesIO

import jinja2
from markupsafe import Markup
from PIL import Image

__all__ = ["html_template", "inline_text", "jpeg_data_uri", "thumbnail_data_uri"]


@cache
def html_template(package: str, name: str) -> jinja2.Template:
    """The template in the file `name` of a package; text is escaped, and an undefined variable is an error.

    A template may import `page_head` and `page_colours` from `page.html`, and `chart_panel` and `chart_style` from
    `chart.html`.
    """
    shared = files("unboxed.visualization")
    parts = {part: shared.joinpath(part).read_text(encoding="utf-8") for part in ("page.html", "chart.html")}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(parts),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(files(package).joinpath(name).read_text(encoding="utf-8"))


def inline_text(package: str, *names: str) -> Markup:
    """Style sheets or JavaScript modules of a package for a `style` or `script` element of a page.

    Modules become one: those that a module imports come before it, and `import` and `export` are left out.
    """
    folder = files(package)
    texts = [folder.joinpath(name).read_text(encoding="utf-8") for name in names]
    return Markup(re.sub(r"^import .*;\n|^export ", "", "\n".join(texts), flags=re.MULTILINE))


def jpeg_data_uri(image: Image.Image, quality: int) -> str:
    """An RGB image as a `data:` URI of a JPEG."""
    content = BytesIO()
    image.save(content, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")


def thumbnail_data_uri(image: Image.Image, long_side: int = 420, quality: int = 78) -> str:
    """An RGB image as a `data:` URI of a JPEG whose longer side has at most `long_side` pixels; about 25 kB.

    The image is shrunk in place.
    """
    image.thumbnail((long_side, long_side), Image.Resampling.LANCZOS)
    return jpeg_data_uri(image, quality)
