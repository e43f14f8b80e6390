"""One process of a training on several devices. `selectit train` has accelerate start it; it is no verb."""

from __future__ import annotations

import os
import sys

from selectit.cli.main import fail
from selectit.errors import SelectitError


def main(folder: str) -> None:
    """Take part in the training that is written down in the folder; the first process tells how far it is."""
    from selectit.cli.progress import notes
    from selectit.training import loop

    with notes(quiet=os.environ.get("RANK", "0") != "0") as progress:
        loop.fit(loop.read_job(folder), progress)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except SelectitError as error:
        fail(error.message, error.hint)
