"""Lines within the epochs of a real training, by a clock that each step moves."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from convscope.engine.progress import PlainProgress
from convscope.training.callbacks import plain_lines
from convscope.training.callbacks.plain_lines import LinesWithinEpoch


class Slow(pl.LightningModule):
    """Its steps take 6 seconds each by the clock. fails_at: the step of an epoch that raises, None for none."""

    def __init__(self, clock, fails_at=None):
        super().__init__()
        self.layer, self.now, self.fails_at = torch.nn.Linear(2, 1), clock, fails_at

    def training_step(self, batch, number):
        self.now[0] += 6
        if number == self.fails_at:
            raise ZeroDivisionError
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(plain_lines, "PLAIN", PlainProgress(lambda: now[0]))
    return now


def fit(module, folder):
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
              "enable_model_summary": False}  # fmt: skip
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", callbacks=[LinesWithinEpoch()], default_root_dir=folder, **silent
    )
    trainer.fit(module, DataLoader(TensorDataset(torch.ones(5, 2)), 1))


def test_long_epochs_have_lines_that_begin_anew_with_each(clock, tmp_path, capsys):
    fit(Slow(clock), tmp_path)
    lines = [line for line in capsys.readouterr().err.splitlines() if "batches" in line]
    assert lines == [f"epoch {epoch} of 2, batches: 3 of 5, 0:18, about 12 s left" for epoch in (1, 2)]
    assert plain_lines.PLAIN.open_works == 0


def test_a_training_that_fails_is_over_for_the_lines(clock, tmp_path):
    with pytest.raises(ZeroDivisionError):
        fit(Slow(clock, 3), tmp_path)
    assert plain_lines.PLAIN.open_works == 0
