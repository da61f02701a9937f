"""job=dashboard."""

import os
from dataclasses import dataclass
from pathlib import Path

from convscope.cli.recording import Settings
from convscope.config import read_plan
from convscope.errors import UserError
from convscope.runs.atomic_io import write


@dataclass(frozen=True)
class Dashboard:
    """conf/job/dashboard.yaml: whose project it is for, and whether it is saved there."""

    project: str = "convscope"
    entity: str | None = None
    save: bool | None = None


def dashboard(settings: Settings, folder: Path) -> None:
    """Writes dashboard.json, and saves the workspace where there is an account."""
    try:
        from convscope.loggers.dashboard import own_entity, saved, specification, workspace
    except ModuleNotFoundError:
        raise UserError("job=dashboard needs wandb-workspaces; type pip install 'convscope[dashboard]'") from None
    plan, layers = read_plan(Dashboard, "dashboard", settings["dashboard"]), _shown_layers(settings)
    send = bool(os.environ.get("WANDB_API_KEY")) if plan.save is None else plan.save
    entity = plan.entity or (own_entity() if send else "your-account")
    made = workspace(entity, plan.project, layers, _several(settings))
    write(folder / "dashboard.json", specification(made))
    print(f"{folder / 'dashboard.json'}: a workspace of {', '.join(layers)}", flush=True)
    print(saved(made) if send else "not saved: set WANDB_API_KEY and start this again", flush=True)


def _shown_layers(settings: Settings) -> list[str]:
    """The layers of a run's grids, or the convolutions among the rows of a net."""
    if settings["run"] is None:
        from convscope.data.config import group_settings
        from convscope.models.rows import ConvRow, read_rows

        rows = group_settings(settings, "model").get("layers")
        if not rows:
            raise UserError(
                "the rows of this net are not known before it is built; name a run of it with run=<run folder>"
            )
        return [name for name, row in read_rows(rows, 2).items() if isinstance(row, ConvRow)]
    from convscope.runs.reading import is_run_folder, read_run

    if not is_run_folder(Path(settings["run"]).expanduser()):
        raise UserError(f"run={settings['run']} is no run folder; name one of outputs/train/")
    names = [entry.name for entry in read_run(Path(settings["run"]).expanduser()).entries]
    layers = list(dict.fromkeys(name.removeprefix("top9/") for name in names if name.startswith("top9/")))
    if not layers:
        raise UserError(f"run={settings['run']} has no top-9 grids; name a folder of job=train or job=visualize")
    return layers


def _several(settings: Settings) -> bool:
    """Whether the run has measured average precision."""
    from convscope.runs.reading import read_run

    folder = settings["run"] and Path(settings["run"]).expanduser()
    return bool(folder) and "val/mean_ap" in read_run(folder, with_entries=False).metrics
