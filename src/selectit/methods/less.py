"""LESS: the rows whose gradients point where those of a target's examples do."""

from __future__ import annotations

from dataclasses import dataclass

from selectit.methods._base import check_count
from selectit.methods._gradients import GradientTargetMethod, check_gradients, check_warm_up, label_adapter
from selectit.methods._losses import label_text
from selectit.methods._towards import SimilarityMethod
from selectit.numerics.influence import join_checkpoints
from selectit.signals.arrays import Embeddings, Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import GradientRequest


@dataclass(frozen=True, slots=True)
class Less(SimilarityMethod, GradientTargetMethod):
    """The rows whose gradients are likest to those of a target's examples (LESS).

    An adapter is tuned on a drawn share of the rows first, and a checkpoint is kept at the end of each epoch. The
    influence of a row on an example is the cosine of the row's Adam step with the example's gradient, both projected at
    random, as a mean over the checkpoints weighted by the mean learning rates of their epochs; a row's score is the
    largest of its means over the examples of each group. With `warmup=0` nothing is tuned: plain gradients of a fresh
    adapter of the model as it is, a first look.

    Source: Xia et al., "LESS: Selecting Influential Data for Targeted Instruction Tuning", ICML 2024, arXiv 2402.04333.

    Needs: a target (`--target`) with answers; a causal model that can be tuned here, or `checkpoints`.

    Direction: the order of choice.

    Cost: `epochs` forward and backward passes a row and an example, after a tuning on `warmup` of the rows; N x
    `dimensions` x 2 bytes of the disk for each.

    Differs: the defaults fit a laptop: an adapter of rank 8, the gradients of its last 4 layers and 512 dimensions,
    where the paper has rank 128, all layers and 8,192; the projection's error of a cosine has a standard deviation of
    at most .063, with 8,192 .016. A batch of the warm-up has 16 rows, where the paper's has 128. A row's step is
    (.9 m + .1 g) / sqrt(.999 v + .001 g² + 1e-8) with the stored moments m and v, as the published code has it: no bias
    correction, epsilon inside the root. It is taken before the projection. A checkpoint before which every learning
    rate was zero has no weight and is not read. A text has the recipe's template where the published one has Tulu's,
    and its end token is not read. Groups of examples may have any sizes.

    Licence: princeton-nlp/LESS is MIT, OpenDCAI/DataFlex Apache-2.0; nothing was taken from either.

    Checked: steps, scores and order of choice against values that the published code gave; gradients against PEFT, one
    row at a time; with a warm-up of its own against the same one made by hand and named as `checkpoints`.
    """

    warmup: float = 0.05
    """Share of the rows, drawn, that the adapter is tuned on first; 0 = a fresh adapter and no training."""
    epochs: float = 4.0
    """Passes of the warm-up over these rows; at the end of each a checkpoint is kept, and gradients are read."""
    recipe: str = "brief-lora"
    """How the adapter is tuned, but for the epochs: a packaged recipe, or a TOML file, with `lora` above 0."""
    checkpoints: str = ""
    """Instead of a warm-up: a folder with checkpoint-1, checkpoint-2, … of an adapter of the model, as the Trainer of
    transformers saves them (adapter_model.safetensors, optimizer.pt, trainer_state.json), or one of them."""
    optimizer: str = "adam"
    """At checkpoints: `adam`, a row's step with the moments of the optimiser, or `sgd`, its gradient; a fresh adapter
    has no moments."""
    rank: int = 4
    """Of the fresh adapter of `warmup=0`."""
    layers: int = 4
    """So many of the last layers count; 0 = all."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Names of the matrices that get the fresh adapter."""
    dimensions: int = 512
    """Of the projection."""
    template: str = "chat"
    """`chat`, the template with which the adapter was tuned, or the model's own without one; `alpaca`, its prompt for
    rows with an input or that for rows without; or `plain`: instruction and input, each on lines of their own."""
    boundary: str = "joint"
    """`joint`: prompt and response are tokenised together, and a token of both is none of the response; `split`: apart,
    so that the whole response counts."""
    seed: int = 0
    """Of the draw, the training, the projection and the fresh adapter."""
    chooser: str = "group-max"
    """`group-max`, `round-robin`, `group-round-robin`, `mean`, `doubly-greedy` or `transport`: see docs/targets.md."""
    turns: str = "next"
    """In a round robin an example whose best row is taken takes its `next` best one; or its turn is `lost`."""

    def __post_init__(self) -> None:
        check_gradients(self.rank, self.layers, self.optimizer)
        check_warm_up(self.warmup, self.epochs)
        check_count("dimensions", self.dimensions, "dimensions of the projection")
        loss_text(self.template, self.boundary)
        super(Less, self).__post_init__()  # a dataclass with slots is a class made anew

    @property
    def request(self) -> GradientRequest:
        """Their projections; of the rows as the optimiser's steps."""
        text, adam = loss_text(self.template, self.boundary, both=False), self.optimizer == "adam"
        sizes = self.rank, self.layers, self.targets
        return GradientRequest(text, *sizes, dimensions=self.dimensions, adam=adam, seed=self.seed)

    @property
    def label(self) -> str:
        parts = ["less", label_text(self.template, self.boundary), self.chooser]
        parts += label_adapter(self, self.rank, self.layers) + [f"d{self.dimensions}", f"seed{self.seed}"]
        return "-".join(parts + ["lost"] * (self.turns == "lost") + ["sgd"] * (self.optimizer == "sgd"))

    def vectors(self, signals: Signals) -> Embeddings:
        """(I, C x D) vectors whose inner products are the influences."""
        found = signals.gradients
        places = range(len(found.rates))
        return Embeddings(found.row, join_checkpoints([found.projected[:, place] for place in places], found.rates))


METHOD = Less
