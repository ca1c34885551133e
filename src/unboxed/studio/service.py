"""The HTTP service of the studio: its routes, and the errors it reports."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import FastAPI, File, Form, HTTPException, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel
from starlette.types import ASGIApp

import unboxed
from unboxed.data.images import open_image
from unboxed.errors import CaptionError, ImageError, NoRegionsError, StudioError, UnboxedError
from unboxed.studio.browse import OUTCOMES, DatasetBrowser, PhraseFilter
from unboxed.studio.concurrency import QueueFullError, WorkQueue, WorkTimeoutError
from unboxed.studio.corrector import Corrector
from unboxed.studio.downloads import FORMATS, write_download
from unboxed.studio.grounding_cache import ExtractedImage, GroundingCache, UnknownImageError
from unboxed.studio.image_library import PICTURE_SIZES, LibraryImage, encode_jpeg
from unboxed.studio.label_routes import add_label_routes
from unboxed.studio.middleware import COOKIE, SecurityMiddleware, Token
from unboxed.studio.options import Limits
from unboxed.studio.schemas import (
    BrowsePage,
    GroundResponse,
    ImageEntry,
    ImageList,
    LimitsInfo,
    RunInfo,
    SearchProgress,
    StudioInfo,
    TokenRequest,
    ground_response,
)
from unboxed.studio.search import SearchIndex, progress_lines, search
from unboxed.visualization.draw import PALETTE, ink
from unboxed.visualization.heat import heat_colours

__all__ = ["Studio", "create_app"]

T = TypeVar("T")

_PAGE = (Path(__file__).parent / "page", Path(__file__).parents[1] / "export" / "correct")
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_WAITING_PICTURES = 400  # the page requests all pictures of a gallery at the same time
_log = logging.getLogger("unboxed.studio")

# Form fields of `/api/ground` and `/api/export`.
_Caption = Annotated[str, Form(description="A caption; its noun phrases are grounded.")]
_Upload = Annotated[UploadFile | None, File(description="An image file. Leave it out to name an image by its id.")]
_ImageId = Annotated[str | None, Form(description="The id of an image in an earlier response or in /api/photos.")]


@dataclass(frozen=True, eq=False)
class Studio:
    """The parts of a studio.

    Attributes:
        cache: grounds captions with the model of the run.
        run_name: display name of the run.
        limits: limits of the requests.
        browser: the dataset to browse; None for none.
        index: the index to search; None for none.
        labels: the labels to correct; None for none.
        token: secret that requests must carry; None when only this machine can reach the service.
        allowed_hosts: host names of the service, in addition to `localhost` and IP addresses.
    """

    cache: GroundingCache
    run_name: str
    limits: Limits = field(default_factory=Limits)
    browser: DatasetBrowser | None = None
    index: SearchIndex | None = None
    token: Token | None = None
    allowed_hosts: Collection[str] = ()
    labels: Corrector | None = None


def create_app(studio: Studio) -> ASGIApp:
    """The service as an ASGI application, behind the checks of `SecurityMiddleware`."""
    page = {
        path.name: path.read_bytes() for folder in _PAGE for path in folder.iterdir() if path.suffix in _MEDIA_TYPES
    }
    service = _Service(studio)
    app = FastAPI(
        title="unboxed studio",
        summary="Grounds the phrases of a caption in an image.",
        version=unboxed.__version__,
        docs_url=None,  # FastAPI's documentation pages load scripts from the network
        redoc_url=None,
        lifespan=service.lifespan,
        responses={code: {"description": text, "model": _ErrorBody} for code, text in _ERRORS.items()},
    )
    _add_error_handlers(app, studio.limits)
    service.add_routes(app)

    for name, content in page.items():
        path = "/" if name == "index.html" else f"/{name}"
        route = _static_file(content, _MEDIA_TYPES[Path(name).suffix])
        app.add_api_route(path, route, methods=["GET"], include_in_schema=False)
    open_paths = {"/", "/api/session", *(f"/{name}" for name in page)}
    return SecurityMiddleware(
        app, allowed_hosts=studio.allowed_hosts, token=studio.token, open_paths=open_paths, limits=studio.limits
    )


class _Service:
    """The routes with their two work queues: one for grounding, and one for pictures, which must not wait for it."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._limits, self._cache = studio, studio.limits, studio.cache
        self._work = WorkQueue(studio.limits.workers, studio.limits.waiting)
        self._pictures = WorkQueue(studio.limits.workers, _WAITING_PICTURES)

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Close the work queues when the application stops."""
        yield
        self._work.close()
        self._pictures.close()

    def add_routes(self, app: FastAPI) -> None:
        """Add the API to an application."""
        app.get("/api/facts", summary="The run, the data and the limits of this studio")(self.info)
        app.post("/api/session", summary="Exchange the token for a cookie", status_code=204, response_model=None)(
            self.session
        )
        app.get("/api/photos", summary="Images of the folder")(self.images)
        app.get("/api/photos/{photo_id}/picture", summary="An image as a JPEG", response_class=_Jpeg)(self.picture)
        app.post("/api/picture", summary="An uploaded image as a JPEG", response_class=_Jpeg)(self.convert)
        app.post("/api/ground", summary="Ground the phrases of a caption")(self.ground)
        app.post("/api/export/{form}", summary="The boxes of a caption as a file", response_class=Response)(self.export)
        app.get("/api/browse", summary="Grounded captions of the dataset")(self.browse)
        app.get(
            "/api/search",
            summary="Images that match a text, as lines of JSON",
            response_class=StreamingResponse,
            responses={200: {"model": SearchProgress}},
        )(self.search)
        add_label_routes(app, self._studio.labels, lambda work: self._pictures.run(work, self._limits.seconds))

    async def info(self) -> StudioInfo:
        """Everything the page needs to know before it shows its views."""
        studio, config = self._studio, self._cache.grounder.config
        training = config.facts.get("train", {})
        images, captions = training.get("photos", 0), training.get("captions", 0)
        return StudioInfo(
            version=unboxed.__version__,
            run=RunInfo(
                name=studio.run_name,
                recipe=config.recipe,
                trained_on=f"{images:,} images, {captions:,} captions" if images else "",
            ),
            limits=LimitsInfo(bytes=self._limits.bytes, pixels=self._limits.pixels, caption=self._limits.caption),
            photos=len(self._cache.library.listed) or None,
            index=None if studio.index is None else len(studio.index),
            labels=None if studio.labels is None else len(studio.labels),
            data=studio.browser.info if studio.browser else None,
            formats={name: form.label for name, form in FORMATS.items()},
            palette=[(colour, ink(colour)) for colour in PALETTE],
            heat=[(r, g, b) for r, g, b in heat_colours(np.linspace(0, 1, 33)).round().astype(int).tolist()],
        )

    async def session(self, given: TokenRequest, request: Request, response: Response) -> None:
        """The cookie is valid until the studio is restarted."""
        token = self._studio.token
        if token is None:
            return
        if not token.matches(given.token):
            await token.delay_wrong_one()
            raise HTTPException(401, "This is not the token.")
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        response.set_cookie(COOKIE, token.cookie, httponly=True, samesite="strict", secure=secure)

    async def images(
        self,
        start: Annotated[int, Query(ge=0)] = 0,
        count: Annotated[int, Query(ge=1, le=200)] = 60,
        name: Annotated[str, Query(max_length=200, description="Part of the name.")] = "",
    ) -> ImageList:
        """A page of the images of the folder, sorted by name."""
        found = [image for image in self._cache.library.listed if name.lower() in image.name.lower()]
        entries = [ImageEntry(id=image.image_id, name=image.name) for image in found[start : start + count]]
        return ImageList(photos=entries, total=len(found))

    async def picture(self, photo_id: str, size: Literal["thumbnail", "full"] = "full") -> Response:
        """The image without its metadata; the longest side has 480 (`thumbnail`) or 1600 pixels (`full`) at most."""
        image = self._library_image(photo_id)
        content = await self._pictures.run(lambda: self._cache.library.picture(image, size), self._limits.seconds)
        return _Jpeg(content, headers={"Cache-Control": "private, max-age=3600"})

    async def convert(self, photo: Annotated[UploadFile, File(description="An image.")]) -> Response:
        """For image formats that a browser cannot show."""
        content, name = await photo.read(), _file_name(photo)

        def work() -> bytes:
            return encode_jpeg(open_image(content, max_pixels=self._limits.pixels, name=name), PICTURE_SIZES["full"])

        return _Jpeg(await self._pictures.run(work, self._limits.seconds))

    async def ground(
        self,
        caption: _Caption,
        photo: _Upload = None,
        photo_id: _ImageId = None,
        top: Annotated[int, Form(ge=1, le=50, description="Boxes for each phrase, at most.")] = 10,
    ) -> GroundResponse:
        """Boxes for each noun phrase, and the attention weights of each word."""

        def respond(image: ExtractedImage, began: float) -> GroundResponse:
            grounding = self._cache.ground(image, caption)
            return ground_response(image, grounding, top, time.perf_counter() - began)

        return await self._with_regions(caption, photo, photo_id, respond)

    async def export(
        self,
        form: str,
        caption: _Caption,
        photo: _Upload = None,
        photo_id: _ImageId = None,
        top: Annotated[int, Form(ge=1, le=50, description="Boxes for each phrase, at most.")] = 1,
        least: Annotated[float | None, Form(description="Lowest score of a box.")] = None,
        absent: Annotated[bool, Form(description="Keep boxes of phrases that are probably absent.")] = False,
        name: Annotated[str | None, Form(max_length=200, description="Name of the image in the file.")] = None,
    ) -> Response:
        """The boxes of a caption in one of the formats of /api/facts."""
        if form not in FORMATS:
            raise HTTPException(404, f"There is no format {form!r}; there are {', '.join(FORMATS)}.")

        def respond(image: ExtractedImage, _: float) -> str:
            grounding = self._cache.ground(image, caption)
            return write_download(form, grounding, name or image.name, top=top, min_score=least, absent=absent)

        text = await self._with_regions(caption, photo, photo_id, respond)
        file_format = FORMATS[form]
        headers = {"Content-Disposition": f'attachment; filename="boxes.{file_format.suffix}"'}
        return Response(text, media_type=file_format.media_type, headers=headers)

    async def browse(
        self,
        start: Annotated[int, Query(ge=0)] = 0,
        count: Annotated[int, Query(ge=1, le=48)] = 12,
        type: Annotated[str | None, Query(max_length=100)] = None,  # noqa: A002, the name of the parameter
        outcome: Literal[OUTCOMES] | None = None,  # type: ignore[valid-type]
    ) -> BrowsePage:
        """Captions with a phrase of the type and outcome. A page may be shorter than `count` before the end."""
        browser = self._studio.browser
        if browser is None:
            raise HTTPException(404, "There is no dataset to browse; start the studio with --data DATASET.")
        return await self._work.run(
            lambda: browser.page(start, count, PhraseFilter(type, outcome), self._limits.page_seconds),
            self._limits.search_seconds,
        )

    async def search(
        self,
        text: Annotated[str, Query(max_length=10_000)],
        k: Annotated[int, Query(ge=1, le=200)] = 24,
    ) -> StreamingResponse:
        """Lines with the progress of the search; the last line has the hits or an error."""
        index = self._studio.index
        if index is None:
            raise HTTPException(404, "There is no index to search; start the studio with --index INDEX.")
        self._check_text(text)
        future = self._work.submit(lambda: search(index, self._cache.library, text, k))
        lines = progress_lines(future, len(index), self._limits.search_seconds)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def _with_regions(
        self,
        caption: str,
        upload: UploadFile | None,
        image_id: str | None,
        respond: Callable[[ExtractedImage, float], T],
    ) -> T:
        """Extract the regions of an image and call `respond` with them and the time at which the work began."""
        self._check_text(caption)
        content = await upload.read() if upload is not None else None
        name = _file_name(upload)

        def work() -> T:
            began = time.perf_counter()
            return respond(self._cache.extract(content, image_id, name), began)

        return await self._work.run(work, self._limits.seconds)

    def _check_text(self, text: str) -> None:
        if len(text) > self._limits.caption:
            raise HTTPException(413, f"The text has {len(text):,} characters; the limit is {self._limits.caption:,}.")
        if not any(character.isalnum() for character in text):
            raise HTTPException(422, "The text has no words; give it at least one.")

    def _library_image(self, image_id: str) -> LibraryImage:
        image = self._cache.library.get(image_id)
        if image is None:
            raise UnknownImageError
        return image


class _Jpeg(Response):
    media_type = "image/jpeg"


_ERRORS: dict[int | str, str] = {
    401: "The token is missing.",
    404: "There is no such image, or the studio was started without this part.",
    409: "Someone else has changed the image in the meantime.",
    413: "The upload or the text is too large.",
    422: "The file is not an image, nothing is found in it, the text has no words, or a parameter is out of range.",
    429: "Too many requests are waiting; Retry-After gives the seconds to wait.",
    503: "The request took too long.",
}


class _ErrorBody(BaseModel):
    """An error in plain words: what was found, and how to fix it."""

    detail: str


def _add_error_handlers(app: FastAPI, limits: Limits) -> None:
    """Make every error a response `{"detail": …}` that reveals nothing of this machine."""

    def response(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse({"detail": detail}, status, headers)

    async def queue_full(_: Request, error: Any) -> Response:
        wait = error.retry_after
        return response(429, f"The studio is busy; try again in {wait} s.", {"Retry-After": str(wait)})

    async def timed_out(_: Request, __: Exception) -> Response:
        return response(503, f"This took longer than {limits.seconds:g} s; try again, or send a smaller image.")

    async def unknown_image(_: Request, __: Exception) -> Response:
        return response(404, "The studio does not have this image (any more); send it again.")

    async def bad_input(_: Request, error: Exception) -> Response:
        return response(422, str(error))

    async def failed(request: Request, error: Exception) -> Response:
        _log.error("%s failed", request.url.path, exc_info=error)
        return response(500, "The request failed; the log of the studio has the details.")

    async def invalid(_: Request, error: Any) -> Response:
        found = "; ".join(f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors())
        return response(422, found or "The request does not match the description in /openapi.json.")

    app.add_exception_handler(QueueFullError, queue_full)
    app.add_exception_handler(WorkTimeoutError, timed_out)
    app.add_exception_handler(UnknownImageError, unknown_image)
    for kind in (ImageError, NoRegionsError, CaptionError, StudioError):
        app.add_exception_handler(kind, bad_input)
    app.add_exception_handler(UnboxedError, failed)
    app.add_exception_handler(Exception, failed)
    app.add_exception_handler(RequestValidationError, invalid)


def _file_name(upload: UploadFile | None) -> str:
    """The name that errors and downloads give to an upload."""
    return Path(upload.filename).name if upload is not None and upload.filename else "The image"


def _static_file(content: bytes, media_type: str) -> Callable[[], Any]:
    async def file() -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return file
