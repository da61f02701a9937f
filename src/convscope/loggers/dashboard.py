"""A workspace of Weights & Biases that shows features as they evolve, built by the package wandb_workspaces."""

import os
from collections.abc import Sequence

import wandb
import wandb_workspaces.reports.v2 as panels
import wandb_workspaces.workspaces as workspaces

from convscope.errors import UserError, reason_of

Panel = panels.LinePlot | panels.MediaBrowser | panels.WeavePanelSummaryTable
WIDE, HALF, THIRD = 24, 12, 8  # columns of a section


def workspace(entity: str, project: str, layers: Sequence[str], several: bool = False) -> workspaces.Workspace:
    """The workspace: grids of each layer over the epochs, Fig. 4, filters, training, convergence, all projections.

    layers: those whose top-9 grids the project's runs have logged. several: whether their images show several classes,
    so that mean AP is measured. Sends nothing.
    """
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name="Features as they evolve",
        sections=[
            _section("What each layer looks for, by epoch", [_pictures(f"top9/{layer}", WIDE, 16) for layer in layers]),
            _section("How features grew", [_pictures(f"evolution/{layer}", HALF, 12) for layer in layers]),
            _section("First-layer filters", [_pictures(f"filters/{layers[0]}", HALF, 10)] if layers else []),
            _section("Training", [
                _curve("Loss", "train/loss", "val/loss"),
                _curve("Accuracy, top-1", "train/top1", "val/top1"),
                _curve("Accuracy, top-5", "val/top5"),
                *([_curve("Mean average precision", "train/mean_ap", "val/mean_ap")] if several else []),
            ]),
            _section("Which layer settles when", [
                _curve("Top-9 images that stayed", *(f"stayed/{layer}" for layer in layers)),
                _curve("Similarity of the strongest projection", *(f"similarity/{layer}" for layer in layers)),
                _curve("Dead maps, share", *(f"dead/{layer}" for layer in layers)),
            ]),
            _section("Every projection", [_table("features")]),
        ],
        settings=workspaces.WorkspaceSettings(x_axis="epoch"),
        runset_settings=workspaces.RunsetSettings(groupby=[workspaces.Metric("Group")]),
    )  # fmt: skip


def specification(workspace: workspaces.Workspace) -> str:
    """The workspace as the JSON that is sent."""
    return workspace._to_model().model_dump_json(by_alias=True, indent=1)  # the package offers no public way


def save_workspace(workspace: workspaces.Workspace) -> str:
    """Sends the workspace to the account of WANDB_API_KEY; returns its address. Raises UserError where that fails."""
    try:
        workspace.save()
    except Exception as error:  # wandb raises many kinds for problems of network, key and server
        raise UserError(
            f"the dashboard could not be saved to {workspace.entity}/{workspace.project} "
            f"({reason_of(error)}); is WANDB_API_KEY a key of that account, and is there a network?"
        ) from None
    return workspace.url


def default_entity() -> str:
    """The default account of WANDB_API_KEY. Raises UserError without a key, and where the server does not answer."""
    if not os.environ.get("WANDB_API_KEY"):
        raise UserError("set WANDB_API_KEY, or name an account with dashboard.entity=<name>")
    try:
        return str(wandb.Api(timeout=20).default_entity)
    except Exception as error:
        raise UserError(
            f"Weights & Biases did not answer ({type(error).__name__}); type dashboard.save=false"
        ) from None


def _section(name: str, panel_list: Sequence[Panel]) -> workspaces.Section:
    rows = sum(panel.layout.h for panel in panel_list)
    layout = workspaces.SectionLayoutSettings(columns=3, rows=max(1, rows // 6))
    return workspaces.Section(name=name, panels=list(panel_list), is_open=True, layout_settings=layout)


def _pictures(key: str, width: int, height: int) -> panels.MediaBrowser:
    return panels.MediaBrowser(title=key, media_keys=[key], num_columns=1, layout=_layout(width, height))


def _curve(title: str, *keys: str) -> panels.LinePlot:
    return panels.LinePlot(title=title, x="epoch", y=list(keys), layout=_layout(THIRD, 8))


def _table(key: str) -> panels.WeavePanelSummaryTable:
    return panels.WeavePanelSummaryTable(table_name=key, layout=_layout(WIDE, 14))


def _layout(width: int, height: int) -> panels.Layout:
    return panels.Layout(w=width, h=height)
