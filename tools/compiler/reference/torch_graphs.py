"""Writes the graphs of known networks, with random weights, as PyTorch's exporter makes them.

    torch_graphs.py FOLDER

FOLDER gets one .onnx file a network and operator set, and beside it one that ends in .values: 32-bit
floats, an input and PyTorch's answers to it.
"""

import sys
from pathlib import Path

import torch
import torchvision.models as known
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    """A U-Net with transposed convolutions; a linear layer behind a view, upsampling, and PReLU."""

    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.PReLU(8))
        self.deep = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.SiLU())
        self.deeper = nn.Sequential(nn.Conv2d(16, 16, 3, 2, 1), nn.Hardswish())
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.last = nn.Conv2d(32, 1, 1)
        self.classes = nn.Linear(16 * 16 * 16, 10)

    def forward(self, x):
        first = self.down(x)
        second = self.deep(first)
        third = self.deeper(second)
        near = F.interpolate(third, scale_factor=4, mode="nearest")
        joined = torch.cat([self.up(second), first, near], 1)
        mask = torch.sigmoid(self.last(joined))
        return mask, F.log_softmax(self.classes(third.view(third.size(0), -1)), 1)


NETWORKS = {
    "mobilenet_v2": (known.mobilenet_v2, 224, [11, 16]),
    "resnet18": (known.resnet18, 128, [11, 16]),
    "squeezenet1_1": (known.squeezenet1_1, 128, [11, 16]),
    "shufflenet_v2_x0_5": (known.shufflenet_v2_x0_5, 128, [13]),
    "mobilenet_v3_small": (known.mobilenet_v3_small, 128, [13]),
    "mnasnet0_5": (known.mnasnet0_5, 128, [13]),
    "unet": (Net, 64, range(11, 17)),
}


def settle(model, size):
    """Sets what batch normalization knows from a batch, so that values keep their size along the network."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.rand(4, 3, size, size))


def main(folder):
    for name, (network, size, sets) in NETWORKS.items():
        torch.manual_seed(1)
        model = network()
        settle(model, size)
        model.eval()
        picture = torch.rand(1, 3, size, size)
        with torch.no_grad():
            answers = model(picture)
        answers = answers if isinstance(answers, tuple) else (answers,)
        values = b"".join(t.numpy().tobytes() for t in [picture, *answers])
        for operators in sets:
            file = Path(folder) / f"torch_{name}_{size}_opset{operators}.onnx"
            torch.onnx.export(model, picture, str(file), opset_version=operators)
            file.with_suffix(".values").write_bytes(values)


main(*sys.argv[1:])
