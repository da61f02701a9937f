"""What to try where a net does not learn: never what it does already."""

from typing import Any

import torch

from convscope.nets.build import ConvNet


def remedies(module: Any) -> str:
    """In words, by the net, recipe and scale of pixels of a Classifier: "a smaller optim.lr than 0.01, ... or ..."."""
    recipe, scale = module.recipe, module.pixel_scale
    rows = isinstance(module.net, ConvNet)  # other nets have initial weights and pixels of their own
    other = {"he": "normal", "normal": "he"}[recipe.init]
    quick = recipe.algorithm == "adamw" and recipe.schedule == "cycle" and (recipe.init == "he" or not rows)
    narrow = next(module.net.parameters()).dtype in (torch.float16, torch.bfloat16)  # loses small steps
    words = [
        *(["trainer.precision=bf16-mixed"] if narrow else []),
        f"a smaller optim.lr than {recipe.lr:g}",
        *([f"optim.init={other}"] if rows else []),
        *(["grey levels as they are (data.pixel_scale=1)"] if rows and scale != 1 else []),
        *(["more steps (trainer.max_epochs)"] if quick else ["optim=quick"]),
    ]
    return f"{', '.join(words[:-1])} or {words[-1]}"
