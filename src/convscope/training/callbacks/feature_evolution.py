"""Feature evolution in a Trainer of Lightning: when the search runs, and when an epoch is drawn and recorded."""

import re
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from convscope.data.items import batch_images, first_image, image_shape
from convscope.errors import UserError
from convscope.loggers.trainer_loggers import picture_loggers
from convscope.training.callbacks.trainers import callback_class, is_fitting, is_last_of_epoch, namespaces, val_loader
from convscope.training.watching.own_run import OwnRun
from convscope.training.watching.recorded_run import new_folder
from convscope.training.watching.watch_choice import WatchChoice
from convscope.training.watching.watched_run import WatchedRun

# of Lightning, for numbers that are those of all processes and that the first alone logs
UNSYNCHRONIZED = r"It is recommended to use `self\.log\('(stayed|similarity|dead)/"


class FeatureEvolution:
    """Shows what a net learns while any Trainer of Lightning trains it: what excites its maps, epoch after epoch.

        from convscope import FeatureEvolution
        evolution = FeatureEvolution(layers=["layer1", "layer4"], maps=16)
        trainer = pl.Trainer(callbacks=[evolution], logger=...)
        trainer.fit(my_module, my_datamodule)

    The search for the nine strongest images of each map rides on the validation pass. Each epoch's grids go to the
    Trainer's own loggers as top9/<layer>, and everything into a run folder with a page, report/index.html. A fit from
    a checkpoint (ckpt_path) goes on in the same folder, which `evolution.folder` names once the fit has begun.
    trainer.validate and trainer.test draw nothing.

    layers: names of modules that output maps, None for a choice that suits the net. maps: how many of each layer are
    drawn, or layer -> their numbers. every_n_epochs, epochs: at which epochs, counted from 1; of several validations
    in an epoch at the last. rule: auto, deconvnet, guided or gradient. folder: of the run, None for
    convscope/<date>_<time> in the Trainer's default_root_dir. mean, std: by which the images were normalized, None
    for those of the data set's transforms. net: where the net is in the module, as "model.backbone"; None for the
    module's own forward. classes: names of the classes. loader: which validation loader, by number or name. tile:
    side of a tile in pixels. seed: of the choice of maps. measures: jobs whose numbers of each layer are measured too,
    such as match and receptive, where the data set gives its images again. Raises UserError
    for arguments that are not possible.
    """

    state_key = "FeatureEvolution"  # in checkpoints, of version 0.1 too

    def __new__(cls, *args: Any, **kwargs: Any) -> "FeatureEvolution":
        of_trainers: type[FeatureEvolution] = callback_class(cls, namespaces())  # type: ignore[arg-type]
        return object.__new__(of_trainers)

    def __init__(
        self,
        layers: Sequence[str] | None = None,
        maps: int | Mapping[str, Sequence[int]] = 16,
        *,
        every_n_epochs: int = 1,
        epochs: Sequence[int] | None = None,
        rule: str = "auto",
        folder: str | Path | None = None,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        net: str | None = None,
        classes: Sequence[str] | None = None,
        loader: int | str = 0,
        tile: int | None = None,
        seed: int = 0,
        measures: Sequence[str] = (),
    ):
        self.choice = WatchChoice(
            layers, maps, every_n_epochs, epochs, rule, mean, std, net, classes, tile, seed, measures
        )
        self.folder = self._chosen_folder = None if folder is None else Path(folder).expanduser()
        self.loader = loader
        self.run: WatchedRun | OwnRun | None = None
        self.state: dict[str, Any] = {}  # of an earlier session
        self._searching, self._drawn_epoch = False, 0
        self._folder_name: str | None = None  # in default_root_dir
        self._began, self._before = time.perf_counter(), dict[str, Tensor]()

    @classmethod
    def of_run(cls, run: OwnRun) -> "FeatureEvolution":
        """The callback of job=train."""
        callback = cls()
        callback.run = run
        return callback

    def __reduce__(self) -> tuple[Any, ...]:
        return FeatureEvolution, (), self.__dict__  # for processes that are spawned

    @property
    def seconds(self) -> float:
        """Seconds spent on drawing, in all sessions."""
        evolution = self.run.evolution if self.run is not None else None
        return evolution.seconds if evolution is not None else 0.0

    def setup(self, trainer: Any, module: Any, stage: str) -> None:
        if isinstance(self.run, OwnRun):
            self.run.watch(module.net)

    def state_dict(self) -> dict[str, Any]:
        if self.run is None:
            return self.state
        state = self.run.state()
        if isinstance(self.run, WatchedRun) and state:
            state["folder"] = self._folder_name
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if isinstance(self.run, OwnRun):
            self.run.evolution.load_state_dict(state)
        else:
            self.state, self.run = state, None

    def on_fit_start(self, trainer: Any, module: Any) -> None:
        self._drawn_epoch = 0
        warnings.filterwarnings("ignore", UNSYNCHRONIZED)
        if isinstance(self.run, WatchedRun):  # of an earlier fit
            self.state = self.state_dict() if trainer.current_epoch else {}
            self.run = None

    def on_train_start(self, trainer: Any, module: Any) -> None:
        if self.run is None and trainer.val_dataloaders is not None:
            _, loader = val_loader(trainer, self.loader)
            image = first_image(loader)
            if image is not None:
                self._open(trainer, module, image)

    def on_validation_epoch_start(self, trainer: Any, module: Any) -> None:
        self._searching = self._is_drawn(trainer)
        if self._searching and self.run is not None:
            self.run.begin_pass()

    def on_validation_batch_start(
        self, trainer: Any, module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not isinstance(self.run, OwnRun) and not self._is_watched(trainer, dataloader_idx):
            return
        if self.run is None and is_fitting(trainer):
            self._open(trainer, module, batch_images(batch)[0])
            self.on_validation_epoch_start(trainer, module)
        if self._searching and self.run is not None:
            self.run.begin_batch(batch)

    def on_validation_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self._searching and isinstance(self.run, WatchedRun) and self._is_watched(trainer, dataloader_idx):
            self.run.end_batch(batch)

    def on_validation_epoch_end(self, trainer: Any, module: Any) -> None:
        if not self._searching or self.run is None:
            return
        self._searching, self._drawn_epoch = False, trainer.current_epoch + 1
        columns = self.run.end_pass(self._drawn_epoch, lambda: self._pass_again(trainer, module))
        for name, value in columns.items():
            module.log(name, value, rank_zero_only=True)

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        self._began, self._before = time.perf_counter(), dict(trainer.callback_metrics)

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        if isinstance(self.run, WatchedRun):
            self.run.end_epoch(trainer.current_epoch + 1, self._row(trainer))

    def on_fit_end(self, trainer: Any, module: Any) -> None:
        if self.run is not None:
            self.run.end()
        elif trainer.is_global_zero:
            warnings.warn(
                "convscope: no validation pass, on which FeatureEvolution rides; nothing is drawn", stacklevel=1
            )

    def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
        if self.run is not None:
            self.run.fail(exception)

    def _is_drawn(self, trainer: Any) -> bool:
        """Whether the validation that begins is the one of its epoch at which features are drawn."""
        epoch, choice = trainer.current_epoch + 1, self.run.choice if self.run is not None else self.choice
        drawn = is_fitting(trainer) and not trainer.sanity_checking and choice.draws_at(epoch)
        return drawn and self._drawn_epoch != epoch and is_last_of_epoch(trainer)

    def _row(self, trainer: Any) -> dict[str, float]:
        """The Trainer's metrics that this epoch has measured, and its seconds.

        Lightning repeats the values of an epoch that measured more: the same tensors.
        """
        values = {
            name: value for name, value in trainer.callback_metrics.items() if self._before.get(name) is not value
        }
        return {name: float(value) for name, value in values.items()} | {"seconds": time.perf_counter() - self._began}

    def _is_watched(self, trainer: Any, number: int) -> bool:
        return val_loader(trainer, self.loader)[0] == number

    def _open(self, trainer: Any, module: Any, image: Tensor) -> None:
        """Opens the run: from here on the net and the images are known."""
        _, loader = val_loader(trainer, self.loader)
        run = WatchedRun(self.choice, module, loader, image_shape(image))
        if trainer.is_global_zero:
            self.folder = self._run_folder(Path(trainer.default_root_dir))
            run_loggers = picture_loggers(trainer.loggers, run.warn)
            epochs, step = trainer.max_epochs, trainer.check_val_every_n_epoch or 1
            drawn = self.choice.drawn_epochs(epochs, step)
            run.open(self.folder, type(module).__name__, self.state, run_loggers, epochs, drawn)
        self.run = run

    def _run_folder(self, root: Path) -> Path:
        """The folder given, or that of the run that goes on, or a new one. Raises UserError for one of another run."""
        self._folder_name = None
        if self._chosen_folder is not None:
            if not self.state and (self._chosen_folder / "metrics.csv").is_file():
                raise UserError(
                    f"folder={str(self._chosen_folder)!r} holds a run already; name another, leave folder out for a "
                    "new one at each start, or go on from a checkpoint with ckpt_path="
                )
            return self._chosen_folder
        name = str(self.state.get("folder"))
        if not re.fullmatch(r"convscope/[\d_-]+", name):  # a checkpoint of others may name any
            name = new_folder(root)
        self._folder_name = name
        return root / name

    def _pass_again(self, trainer: Any, module: Any) -> None:
        """Passes the batches of the validation through the net once more."""
        run, (number, loader) = self.run, val_loader(trainer, self.loader)
        assert run is not None
        for count, batch in enumerate(loader):
            if count >= trainer.num_val_batches[number]:
                break
            batch = trainer.precision_plugin.convert_input(batch)
            batch = module._on_before_batch_transfer(batch, dataloader_idx=number)
            batch = trainer.strategy.batch_to_device(batch, dataloader_idx=number)
            run.begin_batch(batch)
            with trainer.precision_plugin.val_step_context():
                run.net(batch_images(batch))
