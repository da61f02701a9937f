"""Renormalization of all convolution filters after a step, as a share of the step: ZFNet at 224, 32 images.

python benchmarks/renorm.py
"""

import torch
from interleaved import line, paired, ratio
from train_step import step, zfnet

from convscope.models.build import ConvLayer
from convscope.models.renorm import renormalize_filters_

TIMES = 20  # one call is too short for the clock


def main() -> None:
    net = zfnet(224, 1000, 1.0)
    filters = [layer.weight for layer in net.children() if isinstance(layer, ConvLayer)]
    images = (torch.randn(32, 3, 224, 224) * 58).contiguous(memory_format=torch.channels_last)
    training = step(net, images, torch.randint(1000, (32,)), fused=True)

    def renormalize() -> None:
        for _ in range(TIMES):
            for weight in filters:
                renormalize_filters_(weight, 0.1)

    share = ratio(paired({"step": training, "renorm": renormalize}, rounds=3), "renorm", "step") / TIMES
    line("renormalization, share of a step", share, 0.002)


if __name__ == "__main__":
    main()
