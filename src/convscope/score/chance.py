"""What a net reaches that has learned nothing, and whether one that has reached no more may be such a net."""

from typing import NamedTuple


class Chance(NamedTuple):
    """Of the best answer that is the same for every image: the goal's metric, and the mean loss in nats."""

    metric: float
    loss: float

    def explains(self, metric: float, loss: float) -> bool:
        """Whether a net that reaches no more than this may have learned nothing. The margins are ours.

        Where most images are of one class, its metric is within the margin of any net's: there the loss decides. A loss
        or chance of it that is nan is not known, and then the metric decides alone.
        """
        return metric < 1.5 * self.metric and not loss <= 0.98 * self.loss
