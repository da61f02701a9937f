"""A training loop without Lightning, on the images and the net of foreign.py; as a program in one or two processes."""

import torch
import torch.distributed as dist
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

import convscope
from training.foreign import photos, small_net, train_loader


def loop(root, folder, epochs, ride=False, net=None, rate=0.05, val=None):
    """Trains as the LightningModule of foreign.py does, watched; returns the net."""
    net = small_net() if net is None else net
    train, val = train_loader(root), val or DataLoader(photos(root, "val"), 8)
    optimizer = torch.optim.SGD(net.parameters(), rate)
    with convscope.watch(net, val, folder=folder, layers=["0", "5"], maps=3) as watching:
        for epoch in epochs:
            net.train()
            for images, labels in train:
                optimizer.zero_grad()
                F.cross_entropy(net(images), labels).backward()
                optimizer.step()
            right = 0
            if ride:
                net.eval()
                with torch.no_grad():
                    right = sum(int((net(images).argmax(1) == labels).sum()) for images, labels in watching.batches())
                net.train()
            columns = watching.epoch(epoch, {"val/top1": right / 27})
            assert net.training and (columns or dist.is_initialized())
    return net


if __name__ == "__main__":
    import os
    import sys

    root, folder = sys.argv[1:3]
    torch.set_num_threads(1)
    if "two" in sys.argv:
        child = os.fork()
        rank = int(child == 0)
        dist.init_process_group("gloo", store=dist.FileStore(f"{folder}.store", 2), rank=rank, world_size=2)
        sampler = DistributedSampler(photos(root, "val"), shuffle=False)
        val = DataLoader(sampler.dataset, 4, sampler=sampler)
        loop(root, folder, (1, 2), True, DistributedDataParallel(small_net()), 0.0, val)
        blind = small_net()  # one process sees no layer: both go on, and nothing is drawn
        if rank:
            blind.forward = lambda x: [x := part.forward(x) for part in blind][-1]
        with convscope.watch(blind, val, folder=f"{folder}_blind", layers=["5"]) as watching:
            assert watching.epoch(1) == {}
        dist.destroy_process_group()
        if not rank:
            os.waitpid(child, 0)
    else:
        loop(root, folder, (1,))
        print(*sorted(name for name in ("pytorch_lightning", "lightning", "hydra", "wandb") if name in sys.modules))
