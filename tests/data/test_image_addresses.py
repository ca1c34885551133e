"""Images at URLs and in tar and Parquet files give the regions and labels of the same images in a folder."""

from __future__ import annotations

import io
import json
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
import torch

from unboxed.cli import main
from unboxed.data import image_addresses
from unboxed.data.dataset import load_dataset
from unboxed.data.image_addresses import is_address, member_path, open_location, read_address, row_path, url_path
from unboxed.data.images import UNKNOWN_SIZE, image_size, open_image, read_image
from unboxed.data.survey import survey_folder
from unboxed.errors import DatasetError, ImageError, StudioError, UnboxedError
from unboxed.export import label_dataset
from unboxed.export.labels_file import companion, read_labels
from unboxed.inference.grounder import Grounder
from unboxed.regions.extraction import extract, image_key
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.atomic import atomic_folder, require_writable, write_text
from unboxed.runtime.locks import file_lock
from unboxed.search import Index, index_images
from unboxed.studio.image_library import ImageLibrary
from unboxed.studio.options import Limits
from unboxed.training.split_loader import SplitLoader
from unboxed.types import Example

SETTINGS = RegionSettings(grid=2, segments=False)
KINDS = ("tar", "parquet", "tar at a URL", "parquet at a URL", "table of URLs")


@pytest.fixture
def images(tiny_dataset: Path) -> dict[str, tuple[Path, str]]:
    """Six images by their names, with a caption each."""
    examples = load_dataset(tiny_dataset).split("train").examples[:6]
    return {f"{number}.png": (e.path, e.captions[0].text) for number, e in enumerate(examples)}


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """A file system of fsspec that only this process sees."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def _tar(file: Path, images: dict[str, tuple[Path, str]]) -> None:
    with tarfile.open(file, "w") as archive:
        for name, (path, text) in images.items():
            archive.add(path, f"./{name}")
            member = tarfile.TarInfo(f"./{Path(name).stem}.txt")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


def _parquet(file: Path, images: dict[str, tuple[Path, str]]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    cells = [{"bytes": path.read_bytes(), "path": name} for name, (path, _) in images.items()]
    table = pyarrow.table({"image": cells, "caption": [text for _, text in images.values()]})
    parquet.write_table(table, file, row_group_size=4)


@pytest.fixture(params=KINDS)
def data(
    request: pytest.FixtureRequest,
    images: dict[str, tuple[Path, str]],
    memory: fsspec.AbstractFileSystem,
    tmp_path: Path,
) -> Path:
    """What names the images as a dataset."""
    kind = request.param
    if kind == "table of URLs":
        for name, (path, _) in images.items():
            memory.pipe(f"/photos/{name}", path.read_bytes())
        rows = [f"memory://photos/{name},{text}" for name, (_, text) in images.items()]
        (tmp_path / "table.csv").write_text("image,caption\n" + "\n".join(rows) + "\n")
        return tmp_path / "table.csv"
    suffix = kind.split()[0]
    file = tmp_path / f"shard-0.{suffix}"
    (_tar if suffix == "tar" else _parquet)(file, images)
    if "URL" in kind:
        memory.pipe(f"/bucket/{file.name}", file.read_bytes())
        return Path(f"memory://bucket/*.{suffix}")
    return file.with_name("*.parquet") if suffix == "parquet" else file


def test_regions_are_those_of_the_files(data: Path, images: dict[str, tuple[Path, str]], tmp_path: Path) -> None:
    dataset = load_dataset(data)
    dataset.require_images()
    examples = {e.path.name: e for split in dataset.split_names for e in dataset.split(split).examples}
    assert examples.keys() == images.keys()
    for name, (file, text) in images.items():
        path = examples[name].path
        assert is_address(path) and not is_address(file)
        assert [caption.text for caption in examples[name].captions] == [text]
        assert read_address(path) == file.read_bytes()
        assert image_size(path) == image_size(file) and open_image(path).tobytes() == open_image(file).tobytes()
        assert image_key(path, None) == image_key(file, None)
    extract(examples.values(), SETTINGS, tmp_path / "store", workers=2, progress=False)
    plain = [Example(n, images[n][0], e.captions, 1, 1) for n, e in examples.items()]
    extract(plain, SETTINGS, tmp_path / "plain", workers=1, progress=False)
    found, expected = RegionStore.open(tmp_path / "store"), RegionStore.open(tmp_path / "plain")
    for name, example in examples.items():
        assert found.size(example.image_id) == image_size(images[name][0])
        assert (found[example.image_id].features == expected[name].features).all()
    assert extract(examples.values(), SETTINGS, tmp_path / "store", progress=False).reused == 6


def test_training_takes_sizes_from_the_store(tiny_run: Path, tiny_dataset: Path) -> None:
    """The boxes of regions are shares of their image, whose size the dataset does not know."""
    examples, store = load_dataset(tiny_dataset).split("val").examples, RegionStore.open(tiny_run / "store")
    unknown = [replace(example, width=UNKNOWN_SIZE[0], height=UNKNOWN_SIZE[1]) for example in examples]
    loaders = [SplitLoader(given, store, Grounder.load(tiny_run).batcher) for given in (examples, unknown)]
    one, other = (next(loader.image_batches([0, 1, 2], 3)) for loader in loaders)
    assert torch.equal(one.edges_BR4, other.edges_BR4) and one.edges_BR4.max() <= 1


def test_labels_name_the_images(tiny_run: Path, images: dict[str, tuple[Path, str]], tmp_path: Path) -> None:
    _tar(tmp_path / "shard-0.tar", images)
    for form in ("coco", "yolo"):
        out = tmp_path / f"boxes{'.json' if form == 'coco' else ''}"
        main(["label", str(tmp_path / "shard-0.tar"), "--run", str(tiny_run), "--out", str(out), "--format", form])
    written = json.loads((tmp_path / "boxes.json").read_text())
    assert {image["file_name"] for image in written["images"]} <= {f"shard-0/{name}" for name in images}
    assert all(image["width"] > 1 for image in written["images"])
    stored = sorted(file for file in (tmp_path / "boxes" / "images").rglob("*") if file.is_file())
    assert stored and {file.read_bytes() for file in stored} <= {path.read_bytes() for path, _ in images.values()}


def test_labelled_images_are_shown_for_correction(data: Path, tiny_run: Path, tmp_path: Path) -> None:
    labels = companion(tmp_path / "boxes.json", "labels")
    label_dataset(data, tiny_run, tmp_path / "boxes.json", progress=False, show=lambda line: None)
    library = ImageLibrary(Limits())
    files = read_labels(labels).files
    assert len(files) == 6
    for name, file in files.items():
        assert library.read(library.add(file, name))[1].size == image_size(file)


def test_the_studio_lists_files_and_no_urls(
    images: dict[str, tuple[Path, str]], memory: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    memory.pipe("/photos/0.png", images["0.png"][0].read_bytes())
    (tmp_path / "table.csv").write_text("image,caption\nmemory://photos/0.png,a box\n")
    with pytest.raises(StudioError, match=r"table\.csv are at URLs, and the studio lists files; copy the images"):
        ImageLibrary(Limits(), tmp_path / "table.csv")


def test_what_is_gone_or_cannot_be_opened_is_named(
    images: dict[str, tuple[Path, str]], memory: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=r"memory://photos/none\.png cannot be read"):
        open_image(Path("memory://photos/none.png"))
    with pytest.raises(DatasetError, match="No file matches memory://bucket/"):
        _ = load_dataset("memory://bucket/*.tar").split_names
    with pytest.raises(DatasetError, match="nonsense:// is no protocol of fsspec"):
        _ = load_dataset("nonsense://bucket/a.tar").split_names
    with pytest.raises(DatasetError, match="ftp:// is not read, as each of its hosts"):
        _ = load_dataset("ftp://bucket/a.tar").split_names
    with pytest.raises(DatasetError, match="has // in its path"):
        url_path("http://host/a//b.jpg")
    _tar(tmp_path / "a.tar", images)
    (example, *_) = load_dataset(tmp_path / "a.tar").split("train").examples
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(ImageError, match=r"a\.tar is shorter than when its images were listed"):
        open_image(example.path)
    with pytest.raises(DatasetError, match="cannot be read"):
        _ = load_dataset(tmp_path / "a.tar").split_names


def test_a_missing_package_of_a_protocol_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(protocol: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(DatasetError, match="s3:// needs a package that is not installed: Install s3fs to access S3"):
        _ = load_dataset("s3://bucket/a.tar").split_names


def test_commands_that_need_files_refuse_packed_images(
    tiny_run: Path, images: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    _tar(tmp_path / "a.tar", images)
    (tmp_path / "data.toml").write_text('format = "archives"\narchives = "*.tar"\n')
    assert len(load_dataset(tmp_path / "data.toml").split("train").examples) == 4
    with pytest.raises(DatasetError, match="are packed, and this command needs files; unpack them"):
        index_images(tiny_run, tmp_path / "data.toml", tmp_path / "index", progress=False)


_STATUS = {"/none": 404, "/fails": 500, "/loop": 302}


class _WholeFiles(BaseHTTPRequestHandler):
    """A web server of one file that serves ranges if it is told to; `none` is not there, `loop` leads to itself."""

    content, ranges = b"", True

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if self.ranges else None
        part = self.content[int(found[1]) : int(found[2]) + 1] if found else self.content
        self.send_response(_STATUS.get(self.path, 206 if found else 200))
        self.send_header("Location", self.path)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server of `_WholeFiles`."""
    pytest.importorskip("aiohttp")
    with ThreadingHTTPServer(("127.0.0.1", 0), _WholeFiles) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_range_of_an_archive_on_a_web_server(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_WholeFiles, "content", bytes(range(200)))
    archive = Path(f"{server}/a.tar")
    assert read_address(member_path(archive, 20, 30, "a.jpg")) == bytes(range(20, 50))
    monkeypatch.setattr(_WholeFiles, "ranges", False)
    with pytest.raises(ImageError, match=r"gives whole files and no ranges of them.*copy the archive"):
        read_address(member_path(archive, 20, 31, "a.jpg"))


def test_the_reason_is_not_the_url_again(server: str) -> None:
    with pytest.raises(ImageError, match=f"^{server}/none cannot be read \\(there is nothing\\)"):
        read_address(Path(f"{server}/none"))
    with pytest.raises(ImageError, match=f"^{server}/fails cannot be read \\(the server answers 500 [\\w ]+\\)"):
        read_address(Path(f"{server}/fails"))
    with pytest.raises(ImageError, match=f"^{server}/loop cannot be read \\(its redirects do not end\\)"):
        read_address(Path(f"{server}/loop"))
    with pytest.raises(DatasetError, match=r"a.tar cannot be read \(.*[Cc]onnect"):
        open_location(Path("http://127.0.0.1:1/a.tar"))


def test_an_error_about_what_is_no_image_names_its_url(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_WholeFiles, "content", b"<html>")
    for read in (image_size, open_image):
        with pytest.raises(ImageError, match=f"^{server}/{read.__name__}.jpg .* is not an image"):
            read(Path(f"{server}/{read.__name__}.jpg"))


def test_an_image_of_too_many_bytes_is_refused_wherever_it_lies(
    server: str,
    images: dict[str, tuple[Path, str]],
    memory: fsspec.AbstractFileSystem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_addresses, "LARGEST_IMAGE", 100)
    monkeypatch.setattr(_WholeFiles, "content", bytes(100))
    memory.pipe("/photos/100.png", bytes(100))
    for url in (f"{server}/100.png", "memory://photos/100.png"):
        assert read_address(Path(url)) == bytes(100)
    monkeypatch.setattr(_WholeFiles, "content", bytes(10_000_000))
    memory.pipe("/photos/101.png", bytes(101))
    for url in (f"{server}/101.png", "memory://photos/101.png"):
        with pytest.raises(ImageError, match=f"^{url} has more than 100 bytes, the limit; store a smaller copy"):
            read_image(Path(url))
    _tar(tmp_path / "a.tar", images)
    _parquet(tmp_path / "a.parquet", images)
    for path in (member_path(tmp_path / "a.tar", 0, 10**12, "a.png"), row_path(tmp_path / "a.parquet", 0, "a.png")):
        with pytest.raises(ImageError, match=r"a\.png has more than 100 bytes, the limit; store a smaller copy"):
            read_image(path)


@pytest.mark.parametrize("url", ["http://host/folder", "s3://bucket/folder", "memory://folder", "file:///tmp/folder"])
@pytest.mark.parametrize(
    "read",
    [load_dataset, survey_folder, Grounder.load, Index.open],
    ids=lambda read: read.__qualname__,
)
def test_only_images_and_stores_are_read_at_urls(read: Callable[[Path], object], url: str) -> None:
    with pytest.raises(UnboxedError, match=f"is not read at a URL; copy {url} to this machine"):
        read(Path(url))


def test_nothing_is_written_to_urls(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where the folder `s3:` would be
    url = Path("s3://bucket/new")
    examples = load_dataset(tiny_dataset).split("train").examples[:1]
    writers: list[Callable[[], object]] = [
        lambda: extract(examples, SETTINGS, url),
        lambda: write_text(url, ""),
        lambda: require_writable(url),
        lambda: atomic_folder(url).__enter__(),
        lambda: file_lock(url).__enter__(),
    ]
    for write in writers:
        with pytest.raises(UnboxedError, match=r"Nothing is written to a URL; .*copy the result to s3://bucket/new"):
            write()
    assert not list(tmp_path.iterdir())
