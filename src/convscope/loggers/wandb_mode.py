"""Whether wandb is online: by the run's settings, by wandb's environment and files, and by its key."""

import os
from collections.abc import Mapping
from typing import Any

from wandb.sdk import wandb_setup
from wandb.sdk.lib.wbauth import wbnetrc

from convscope.errors import UserError, did_you_mean

MODES = {"online": "online", "run": "online", "shared": "shared", "offline": "offline", "dryrun": "offline",
         "disabled": "disabled"}  # fmt: skip


def chosen_mode(settings: Mapping[str, Any]) -> str:
    """online, offline or disabled: by logger.wandb.mode, else by wandb's environment and files, else by the key."""
    mode = settings.get("mode")
    key = "logger.wandb.mode" if mode else "WANDB_MODE"
    if mode is None and os.environ.get("WANDB_MODE"):
        mode = os.environ["WANDB_MODE"]
    elif mode is None:
        own = wandb_setup.singleton().settings
        if "mode" in own.model_fields_set:
            mode = own.mode
        elif os.environ.get("WANDB_DISABLED", "").lower() not in ("", "0", "false", "no", "off"):
            mode = "disabled"
        else:
            mode = "online" if has_key() else "offline"
    if mode not in MODES:
        hint = did_you_mean(mode, MODES)
        raise UserError(f"{key}={mode} is unknown{hint}; possible: online, offline, disabled")
    return MODES[mode]


def has_key() -> bool:
    """Whether wandb will find a key for its server: in the environment, or where `wandb login` has stored it."""
    own = wandb_setup.singleton().settings
    return bool(own.api_key or own.identity_token_file or wbnetrc.read_netrc_auth(host=own.base_url))
