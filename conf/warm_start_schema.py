"""The configuration's section `train.warm_start`: a training that begins where another ended."""

from typing import Annotated, Literal

from pydantic import Field

from conf.section import Positive, Section, VersionName


class WarmStart(Section):
    model: VersionName | None = None
    """Id of the model to go on from; `current`: the newest published network of another dataset,
    of the same day at the latest, or none where there is none; null: train from nothing."""
    new_items: Literal["similar", "mean"] = "similar"
    """What the vector of an item that the model lacks begins as: the mean of the items that it
    stands near in the training part, else of those that share its categories or tags, else of
    all, with noise of `train.model.embedding_std`; or always the latter."""
    neighbour_distance: Positive = 2
    """Most events between two items of a history that stand near each other, the later counted."""
    keep_optimizer: bool = True
    """Whether the optimiser goes on from its state, where the model has it saved (see
    `train.save_optimizer`)."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps until the full learning rate, in place of `train.optimizer.warmup_steps`."""
