"""Networks from files: graphs that cannot be used are refused, class names are read in every common form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.features.backbones import OnnxBackbone
from unboxed.regions.image_view import View
from unboxed.regions.networks import Network, check_channels, class_list
from unboxed.regions.settings import RegionSettings


@pytest.mark.parametrize(
    "text", ["cat\ndog", "cat,dog", '["cat", "dog"]', "{0: 'cat', 1: 'dog'}", '{"1": "dog", "0": "cat"}']
)
def test_class_names_in_the_ways_exporters_write_them(tmp_path: Path, graphs: Any, text: str) -> None:
    path = graphs.constant(tmp_path / "d.onnx", {"x": np.zeros((1, 2))}, metadata={"names": text})
    assert class_list(Network(path), None, 2) == ("cat", "dog")


def test_files_that_are_no_graphs(tmp_path: Path) -> None:
    with pytest.raises(RegionsError, match="no model file"):
        Network(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(RegionsError, match="cannot be opened as an ONNX graph"):
        Network(tmp_path / "text.onnx")


def test_a_graph_needs_one_image_input(tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("left", "right")]
    output = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Add", ["left", "right"], ["sum"])], "two", inputs, [output])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "two.onnx"
    )
    with pytest.raises(RegionsError, match=r"has the inputs left \[1, 3, 8, 8\], right .*; expected a single image"):
        Network(tmp_path / "two.onnx")


def test_a_size_that_a_graph_cannot_take_is_named(tmp_path: Path, graphs: Any) -> None:
    path = graphs.constant(tmp_path / "d.onnx", {"x": np.zeros((1, 2))}, size=(8, 8))
    network = Network(path)
    assert network.input_size == (8, 8)
    with pytest.raises(RegionsError, match=r"cannot run on an image of 6 x 4 pixels .*choose another input size"):
        network.run(np.zeros((4, 6, 3), np.uint8), 0, 1, ["x"])


@pytest.mark.parametrize(("mean", "std"), [("a", "1"), ("1, 2", "1"), ("1", "nan"), ("", "1")])
def test_mean_and_deviation_must_be_numbers(tmp_path: Path, graphs: Any, mean: str, std: str) -> None:
    path = graphs.averaging(tmp_path / "b.onnx", metadata={"mean": mean, "std": std})
    with pytest.raises(RegionsError, match="the metadata `mean` and `std` must be one or three numbers"):
        Network(path).normalization()


@pytest.mark.parametrize(
    "text", ["[", "{0: f()}", "", "[]", "{{}: 1}", f'{{"{"9" * 5000}": "cat"}}', f"[0x{'f' * 5000}, 'cat']"]
)
def test_metadata_without_class_names_are_as_good_as_none(tmp_path: Path, graphs: Any, text: str) -> None:
    path = graphs.constant(tmp_path / "d.onnx", {"x": np.zeros((1, 2))}, metadata={"names": text})
    with pytest.raises(RegionsError, match="carries no class names; give them with `class_names`"):
        class_list(Network(path), None, 2)


def test_a_list_of_classes_that_is_not_there(tmp_path: Path, graphs: Any) -> None:
    path = graphs.constant(tmp_path / "d.onnx", {"x": np.zeros((1, 2))})
    with pytest.raises(RegionsError, match=r"There is no class list .*names\.txt; give a text file"):
        class_list(Network(path), tmp_path / "names.txt", 2)
    (tmp_path / "names.txt").write_bytes(b"caf\xe9")
    with pytest.raises(RegionsError, match=r"class list .*names\.txt is not UTF-8 text"):
        class_list(Network(path), tmp_path / "names.txt", 2)


def test_a_byte_order_mark_is_no_part_of_a_class_name(tmp_path: Path, graphs: Any) -> None:
    path = graphs.constant(tmp_path / "d.onnx", {"x": np.zeros((1, 2))})
    (tmp_path / "names.txt").write_text("cat\ndog\n", encoding="utf-8-sig")
    assert class_list(Network(path), tmp_path / "names.txt", 2) == ("cat", "dog")
    (tmp_path / "d.toml").write_text('names = "cat,dog"\n', encoding="utf-8-sig")
    assert class_list(Network(path), None, 2) == ("cat", "dog")


def test_crops_need_an_embedding(tmp_path: Path, graphs: Any) -> None:
    path = graphs.constant(tmp_path / "b.onnx", {"map": np.zeros((1, 2, 3, 3))})
    backbone = OnnxBackbone(path, 32)
    with pytest.raises(RegionsError, match=r"no output `embedding` \[n, V\] for crops \(it has map \[1, 2, 3, 3\]\)"):
        backbone.crops(View(Image.new("RGB", (8, 8)), (8, 8)), np.zeros((1, 4), np.float32))
    assert RegionSettings(backbone=path, crops=True).crops


def test_a_network_that_puts_out_another_number_of_channels_than_it_names(tmp_path: Path, graphs: Any) -> None:
    network = Network(graphs.constant(tmp_path / "parts.onnx", {"x": np.zeros((1, 2))}))
    check_channels(network, 2, ("face", "hand"))
    with pytest.raises(RegionsError, match=r"puts out 3 channels, and 2 are named; correct the list .*parts\.toml"):
        check_channels(network, 3, ("face", "hand"))
