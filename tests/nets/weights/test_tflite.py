"""The published quantized DeepLabV3-MobileNetV2: read, dequantized, and the same network as its layers one by one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crfrnn.nets import build_model, model_from_checkpoint
from crfrnn.nets.convert import main
from crfrnn.nets.weights.tflite import read_tflite
from tests.tflite_bytes import model

WIDTH = 0.25
HEAD = {"aspp": "aspp0", "pooling": "image_pooling", "projection": "concat_projection", "logits": "logits/semantic"}


def their_name(layer: str) -> str:
    """features.0.0 -> MobilenetV2/Conv, features.1.project -> MobilenetV2/expanded_conv/project, the next one _1."""
    if layer == "features.0.0":
        return "MobilenetV2/Conv"
    if not layer.startswith("features."):
        return HEAD[layer]
    _, block, part = layer.split(".")
    return f"MobilenetV2/expanded_conv{'' if block == '1' else f'_{int(block) - 1}'}/{part}"


def quantized() -> tuple[dict[str, tuple[np.ndarray, float, int]], dict[str, np.ndarray]]:
    """Random constants for a file, in its shapes and under fused names, and what they stand for under ours."""
    random, file, ours = np.random.default_rng(0), {}, {}
    for name, tensor in build_model("deeplabv3-mobilenetv2", 21, width=WIDTH).network.state_dict().items():
        layer, kind = name.rsplit(".", 1)
        theirs = f"{their_name(layer)}/{'Conv2D_Fold' if kind == 'weight' else 'bias'};fused/with/another"
        scale = float(np.float32(random.uniform(0.001, 0.01)))
        if kind == "bias":
            q = random.integers(-300, 300, tensor.shape, dtype=np.int32)
            file[theirs], ours[name] = (q, scale, 0), q * scale
            continue
        zero = int(random.integers(100, 150))
        q = random.integers(0, 256, tensor.shape, dtype=np.uint8)  # [O, I, h, w]
        order = (1, 2, 3, 0) if layer.endswith("depthwise") else (0, 2, 3, 1)
        file[theirs], ours[name] = (np.ascontiguousarray(q.transpose(order)), scale, zero), (q - float(zero)) * scale
    return file, ours


def test_every_layer_arrives_dequantized(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, ours = quantized()
    path, out = tmp_path / "net.tflite", tmp_path / "net.pt"
    path.write_bytes(model(file))
    assert main([str(path), str(out), "--width", str(WIDTH)]) == 0
    text = capsys.readouterr().out
    assert "net.pt: deeplabv3-mobilenetv2, 21 labels" in text
    assert "MobilenetV2/expanded_conv_16/depthwise/Conv2D_Fold" in text
    made, classes = model_from_checkpoint(out)
    assert classes[-1] == "tvmonitor"
    assert made.input_side == 513
    state = made.network.state_dict()
    assert len(state) == 110
    for name, values in ours.items():
        torch.testing.assert_close(state[name].double(), torch.from_numpy(values), rtol=1e-6, atol=1e-6)


def test_other_labels_keep_the_trunk_and_a_plain_file_comes_back(tmp_path: Path) -> None:
    file, _ = quantized()
    path = tmp_path / "net.tflite"
    path.write_bytes(model(file))
    options = ["--width", str(WIDTH)]
    assert main([str(path), str(tmp_path / "plain.pth"), "--plain", *options]) == 0
    assert main([str(tmp_path / "plain.pth"), str(tmp_path / "4.pt"), "--num-labels", "4", *options]) == 0
    network = model_from_checkpoint(tmp_path / "4.pt")[0].network
    whole = torch.load(tmp_path / "plain.pth")
    assert network.logits.weight.shape == (4, 64, 1, 1)
    for name, tensor in network.state_dict().items():
        assert name.startswith("logits") or torch.equal(tensor, whole[f"network.{name}"])


def test_signed_weights_and_what_has_no_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, _ = quantized()
    path = tmp_path / "net.tflite"
    path.write_bytes(model({**file, "decoder/Conv2D": (np.array([[[[-128, 127]]]], np.int8), 0.5, -28)}))
    torch.testing.assert_close(read_tflite(path)["decoder/Conv2D"], torch.tensor([[[[-50.0, 77.5]]]]))
    assert main([str(path), str(tmp_path / "net.pt"), "--width", str(WIDTH)]) == 2
    assert "the file also holds decoder/Conv2D [1, 1, 1, 2]" in capsys.readouterr().err


def test_damaged_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = model(quantized()[0])
    path = tmp_path / "net.tflite"
    two_scales = model({"a/weights": (np.zeros(4, np.uint8), 1.0, 0)}).replace(
        b"\x01\x00\x00\x00\x00\x00\x80\x3f", b"\x02\x00\x00\x00\x00\x00\x80\x3f"
    )
    damaged = [whole[:-100], whole[: len(whole) // 3], b"", b"no model", b"\xff" * 40, whole[:4] + b"TFL2" + whole[8:]]
    random = np.random.default_rng(1)
    for place in random.integers(8, 400, 30):
        damaged.append(whole[:place] + b"\xff\xff\xff" + whole[place + 3 :])
    for content in [*damaged, two_scales]:
        path.write_bytes(content)
        code = main([str(path), str(tmp_path / "net.pt"), "--width", str(WIDTH)])
        assert code == 2
        line = capsys.readouterr().err
        assert line.startswith("crfrnn.nets.convert: ")
        assert "net.tflite" in line
    path.unlink()
    assert main([str(path), str(tmp_path / "net.pt")]) == 2
    assert "there is no TFLite model" in capsys.readouterr().err
