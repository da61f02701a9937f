"""A net starts from the weights of another: every row that both have under the same name and in the same shape.

Zeiler & Fergus (2013, section 5.2) carry layers 1 to 7 to other images; Simonyan & Zisserman (2014, section 3.1) start
their deeper nets from some layers of the shallowest. What else a row says (stride, padding, dropout) may differ.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from torch import Tensor, nn

from convscope.errors import UserError
from convscope.models.checkpoints import shape_in_words

ABSENT = "not in the checkpoint"


class Inherited(NamedTuple):
    """why: every row with weights, in the net's order, and why its weights are new; "" where they were taken.

    unused: rows of the checkpoint that the net does not have. A row of a foreign net is a module by its path.
    """

    why: dict[str, str]
    unused: list[str]

    @property
    def taken(self) -> list[str]:
        return [row for row, reason in self.why.items() if not reason]

    @property
    def new(self) -> dict[str, str]:
        return {row: reason for row, reason in self.why.items() if reason}

    def words(self, file: str) -> str:
        """One line: "took conv1 ... fc7 from <file>; fc8 is new: 20 classes, the checkpoint has 10"."""
        said = [f"took {shortened(self.taken, self.why)} from {file}"]
        for reason in dict.fromkeys(self.new.values()):
            rows = [row for row, why in self.why.items() if why == reason]
            said.append(f"{shortened(rows, self.why)} {'is' if len(rows) == 1 else 'are'} new: {reason}")
        said += [f"not used: {shortened(self.unused, self.unused)}"] if self.unused else []
        return "; ".join(said)


def inherit_(net: nn.Module, state: Mapping[str, Tensor], refused: Mapping[str, str]) -> Inherited:
    """Fills the rows that the net shares with `state`, named as a state_dict; the others stay bit for bit.

    refused: rows that are not taken, with the reason. Raises UserError where no row at all can be taken.
    """
    here, there = rows_of(net.state_dict()), rows_of(state)
    why = {row: refused.get(row) or _difference(own, there.get(row)) for row, own in here.items()}
    inherited = Inherited(why, [row for row in there if row not in here])
    if not inherited.taken:
        first = "; ".join(f"{row}: {reason}" for row, reason in list(why.items())[:3])
        raise UserError(
            f"no row of this net has its like in the checkpoint of model.init ({first}{'; ...' * (len(why) > 3)}); "
            "set model= and model.width as in the run that saved it, or model.init=null"
        )
    shared = {row: there[row] for row in inherited.taken}
    net.load_state_dict({key: value for row in shared.values() for key, value in row.items()}, strict=False)
    return inherited


def shortened(rows: Collection[str], among: Iterable[str]) -> str:
    """The rows in words; three and more that are neighbors among all become "first ... last"."""
    runs = [list(run) for within, run in groupby(among, lambda row: row in rows) if within]
    return ", ".join(f"{run[0]} ... {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


def rows_of(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """A state_dict by the row that each weight belongs to: {"conv1": {"conv1.weight": ..., "conv1.bias": ...}}."""
    rows: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        rows.setdefault(key.rpartition(".")[0], {})[key] = value
    return rows


def last_row(net: nn.Module) -> str:
    """The row that gives the classes: the last linear layer (or convolution, as SqueezeNet's)."""
    return [path for path, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]


def _difference(here: Mapping[str, Tensor], there: Mapping[str, Tensor] | None) -> str:
    if there is None:
        return ABSENT
    if here.keys() != there.keys():
        return f"it has {_names(here)}, in the checkpoint {_names(there)}"
    differing = [(here[key], there[key]) for key in here if here[key].shape != there[key].shape]
    if not differing:
        return ""
    own, given = differing[0]
    return f"{shape_in_words(own)}, in the checkpoint {shape_in_words(given)}"


def _names(row: Mapping[str, Tensor]) -> str:
    return " and ".join(key.rpartition(".")[2] for key in row)
