"""Hydra's record of a run: the composed settings in .hydra/config.yaml, and how they were composed.

Hydra itself would write it before the settings are checked. Here it is written when nothing of the start can be refused
any more (cli/recording.py, `begin_folder`), so that a refused start leaves the settings of an earlier one.
"""

import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from convscope.cli.processes import RELAUNCHED_BY
from convscope.runs.atomic_io import write


def write_hydra_record(cfg: DictConfig, run: Path, place: Path | None = None) -> None:
    """Writes the record of a run. place: in place of .hydra in the folder of the run."""
    record = run / ".hydra"
    hydra_settings: Any = OmegaConf.to_container(HydraConfig.get())
    runtime = {key: hydra_settings["runtime"][key] for key in ("version", "choices")}  # no paths of this machine
    contents: dict[str, Any] = {"config.yaml": cfg}
    if config_folder() != record.resolve():  # a resumed run keeps the overrides of its first start
        contents["hydra.yaml"] = {"hydra": {**hydra_settings, "runtime": runtime}}
        contents["overrides.yaml"] = hydra_settings["overrides"]["task"]
    for name, content in contents.items():
        write((place or record) / name, OmegaConf.to_yaml(OmegaConf.create(content)))


def write_training_record(cfg: DictConfig, run: Path) -> None:
    """Writes the record of a training run that begins or goes on. The summary of an earlier end no longer holds.

    Of several processes that one command started, the first takes over the record that the command has written.
    """
    if RELAUNCHED_BY in os.environ:
        for path in config_folder().glob("*.yaml"):
            write(run / ".hydra" / path.name, path.read_bytes())
    else:
        write_hydra_record(cfg, run)
    (run / "summary.json").unlink(missing_ok=True)


def config_folder() -> Path:
    """The folder of the primary config of this start: conf/, or the record of a run that goes on."""
    sources = HydraConfig.get().runtime.config_sources
    return Path(next(source.path for source in sources if source.provider == "main")).resolve()
