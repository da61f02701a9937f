"""Jobs on a machine with a GPU that has no float64, as Apple's have none: python pretended.py <file of jobs>.

The file: a line of JSON for each, its settings and folder. What a job ended with is in <folder>.txt if it failed, and
where training steps have waited for the GPU in <folder>.waits.

The GPU is pretended: a tensor there keeps its values on the CPU, and every operation on it is looked at. One that would
take or give float64 is refused, and so is one that mixes tensors of both devices, as a real GPU refuses them.
"""

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

aten = torch.ops.aten
GPU = "pretended"
CROSSING = (aten._to_copy.default, aten.copy_.default)
WAITING = (aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default,
           aten._unique2.default)  # fmt: skip
INDEXING = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default)


class Values(Tensor):
    """A tensor on the GPU; `on_cpu` has its values."""

    on_cpu: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, on_cpu: Tensor) -> Any:
        shape = on_cpu.shape, on_cpu.stride(), on_cpu.storage_offset()
        with torch.inference_mode(on_cpu.is_inference()):
            made = Tensor._make_wrapper_subclass(cls, *shape, dtype=on_cpu.dtype, device=f"{GPU}:0")
        made.on_cpu = on_cpu
        return made

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.on_cpu.detach().__reduce_ex__(protocol)

    def __repr__(self, **_: Any) -> str:
        return f"Values({self.on_cpu})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


class Watching(TorchDispatchMode):
    """Sees what makes tensors on the GPU or moves them there; operations on those see to themselves."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    wanted = kwargs.get("device")
    if (wanted is None or torch.device(wanted).type != GPU) and not any_on_gpu((*args, *kwargs.values())):
        return func(*args, **kwargs)
    leaves = [*leaves_of((*args, *kwargs.values()))]
    values = [leaf for leaf in leaves if isinstance(leaf, Values)]
    Steps.note(func, values, args, kwargs)
    if any(value.dtype == torch.float64 for value in values):
        raise TypeError(f"{func}: the GPU has no float64")
    if values and func not in (*CROSSING, *INDEXING):
        check_one_device(func, leaves)
    result = func(*mapped(brought, args), **{name: mapped(brought, value) for name, value in kwargs.items()})
    if wanted is not None and torch.device(wanted).type == "cpu":
        return result
    if func is aten.copy_.default and not isinstance(args[0], Values):
        return args[0]
    owners = {id(value.on_cpu): value for value in values}
    sent = mapped(lambda leaf: sent_back(func, leaf, owners), result)
    return return_and_correct_aliasing(func, args, kwargs, sent) if values else sent


class Steps:
    """Where training steps have waited for values of the GPU. under_way: whether a step is."""

    under_way = False
    waits: list[str] = []

    @classmethod
    def note(cls, func: Any, values: list[Any], args: Any, kwargs: dict[str, Any]) -> None:
        """Notes an operation on values of the GPU that a step has to wait for, as copies to the CPU."""
        to_cpu = func is aten._to_copy.default and "device" in kwargs and torch.device(kwargs["device"]).type == "cpu"
        copies = func is aten.copy_.default and not (isinstance(args[0], Values) or args[2:3] == (True,))
        if cls.under_way and values and (to_cpu or copies or func in WAITING):
            cls.waits.append(f"{func}\n{''.join(traceback.format_stack()[-9:-2])}")


def leaves_of(arguments: Any) -> Iterator[Any]:
    """What stands in nested lists and tuples; torch's own functions for trees take half the time of all jobs."""
    for one in arguments:
        if isinstance(one, list | tuple):
            yield from leaves_of(one)
        else:
            yield one


def mapped(function: Callable[[Any], Any], arguments: Any) -> Any:
    if isinstance(arguments, list | tuple):
        return type(arguments)([mapped(function, one) for one in arguments])
    return function(arguments)


def any_on_gpu(arguments: Any) -> bool:
    return any(isinstance(one, Values) or (isinstance(one, list | tuple) and any_on_gpu(one)) for one in arguments)


def check_one_device(func: Any, leaves: list[Any]) -> None:
    if any(isinstance(leaf, Tensor) and not isinstance(leaf, Values) and leaf.dim() for leaf in leaves):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, but some are on the CPU")


def brought(leaf: Any) -> Any:
    if isinstance(leaf, torch.device) and leaf.type == GPU:
        return torch.device("cpu")
    return leaf.on_cpu if isinstance(leaf, Values) else leaf


def sent_back(func: Any, leaf: Any, owners: dict[int, Values]) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    if leaf.dtype == torch.float64:
        raise TypeError(f"{func}: the GPU has no float64")
    owner = owners.get(id(leaf))
    return Values(leaf) if owner is None else owner


def registered() -> list[torch.library.Library]:
    """Tells torch of the device; what is returned has to stay alive."""
    _setup_privateuseone_for_python_backend(GPU, type("Module", (_DummyBackendModule,), RANDOM)())
    kernels = torch.library.Library("aten", "IMPL")
    for name in ("empty.memory_format", "empty_strided", "copy_"):  # with these torch.tensor(..., device=) begins
        func = aten.empty.memory_format if "." in name else getattr(aten, name).default
        kernels.impl(name, lambda *args, func=func, **kwargs: computed(func, args, kwargs), "PrivateUse1")
    return [kernels]


RANDOM = {"get_rng_state": lambda *_: torch.empty(0), "set_rng_state": lambda *_: None}


def train_there() -> None:
    """Lightning's training on one CPU is on the GPU instead."""
    from pytorch_lightning.accelerators import CPUAccelerator
    from pytorch_lightning.strategies import SingleDeviceStrategy

    begin = SingleDeviceStrategy.__init__

    def elsewhere(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        self._root_device = torch.device(GPU, 0)

    from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop

    advance = _TrainingEpochLoop.advance

    def step(self: Any, *args: Any) -> None:
        Steps.under_way = True
        try:
            advance(self, *args)
        finally:
            Steps.under_way = False

    _TrainingEpochLoop.advance = step  # type: ignore[method-assign]
    SingleDeviceStrategy.__init__ = elsewhere  # type: ignore[method-assign]
    CPUAccelerator.setup_device = lambda *_: None  # type: ignore[method-assign,assignment]


def run(settings: dict[str, Any], folder: Path) -> None:
    from convscope.cli.jobs import JOBS

    try:
        JOBS[settings["job"]](settings, folder)
    except BaseException:
        folder.with_suffix(".txt").write_text(traceback.format_exc())
    folder.with_suffix(".waits").write_text("\n".join(Steps.waits))


if __name__ == "__main__":
    alive = registered()
    train_there()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
    from convscope.analyses import inputs

    inputs.net_device = lambda accelerator: torch.device(GPU, 0)
    with Watching():
        for line in Path(sys.argv[1]).read_text().splitlines():
            job = json.loads(line)
            run(job["settings"], Path(job["folder"]))
