"""The texts under which methods ask for losses; methods that name the same one share the passes."""

from __future__ import annotations

from dataclasses import replace

from selectit.errors import SettingsError, nearest
from selectit.signals.requests import LossRequest

ALPACA = LossRequest(
    template=(
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\n{instruction}\n\n### Response:"
    ),
    alone="### Response:",
    with_input=(
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request."
        "\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
    ),
)
"""The two prompts of tatsu-lab/stanford_alpaca:train.py (Apache-2.0); alone, the response keeps its header."""


PLAIN = LossRequest(template="{instruction}\n", alone="")
"""The instruction, a line break, the response; alone, nothing stands before the response."""


CHAT = LossRequest(template="{instruction}", alone="", chat=True)
"""The instruction as a user's message in the model's chat template."""


TEMPLATES = {"alpaca": ALPACA, "plain": PLAIN, "chat": CHAT}
BOUNDARIES = ("split", "joint")


def loss_text(
    template: str,
    boundary: str = "joint",
    *,
    prompt: bool = False,
    both: bool = True,
    copies: int = 0,
    noise: float = 5.0,
    seed: int = 42,
    shifted: bool = False,
) -> LossRequest:
    """A `LossRequest` by the name of its template. Raises SettingsError for a name or a number that it can't have."""
    if template not in TEMPLATES:
        raise SettingsError(f"there is no template {template!r}", nearest(template, TEMPLATES))
    if boundary not in BOUNDARIES:
        raise SettingsError(f"there is no boundary {boundary!r}", nearest(boundary, BOUNDARIES))
    if copies < 0:
        raise SettingsError(f"copies is {copies}", "It is a number of noisy copies: 0 or more.")
    if not 0 < noise < float("inf"):
        raise SettingsError(f"noise is {noise}", "It is a number above 0; the paper's is 5.")
    return replace(
        TEMPLATES[template],
        boundary=boundary,
        prompt=prompt,
        both=both,
        copies=copies,
        noise=noise,
        seed=seed,
        shifted=shifted,
    )
