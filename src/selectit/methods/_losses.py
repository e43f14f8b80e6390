"""What methods that read one model's losses of the responses have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from selectit.methods._base import ScoringMethod
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import Need


class LossMethod(ScoringMethod):
    """A method that scores rows by losses under one of the templates."""

    __slots__ = ()

    both: ClassVar[bool] = False
    """Whether the response is read without its instruction too."""

    @property
    @abstractmethod
    def template(self) -> str:
        """The parameter: what stands around the instruction."""

    @property
    @abstractmethod
    def boundary(self) -> str:
        """The parameter: how prompt and response are tokenised."""

    def __post_init__(self) -> None:
        loss_text(self.template, self.boundary)

    @property
    def text_label(self) -> str:
        """The text that is read, for the method's label: 'alpaca', 'plain-split'."""
        return label_text(self.template, self.boundary)

    @property
    def needs(self) -> tuple[Need, ...]:
        """The losses of the response after its instruction, and alone where `both`."""
        return (loss_text(self.template, self.boundary, both=self.both),)


def label_text(template: str, boundary: str) -> str:
    """A text that losses are read of, for a method's label: 'alpaca', 'plain-split'."""
    return template if boundary == "joint" else f"{template}-{boundary}"
