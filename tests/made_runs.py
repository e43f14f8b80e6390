"""Runs that the made-up engine rated, for pages that are opened in a browser."""

import json
import random

import selectit
from selectit.config.settings import Settings

WORDS = (
    "sum list name write explain three colours verse planet letter number river city reason happy short long".split()
)


def made_rows(count):
    draw = random.Random(0)

    def text(most):
        return " ".join(draw.choices(WORDS, k=draw.randint(1, most)))

    return [
        {
            "instruction": f"{text(12)} {number}?",
            "output": text(90),
            "source": draw.choice(["wiki", "books", "web"]),
            "category": draw.choice(["maths", "writing", "code", "chat"]),
        }
        for number in range(count)
    ]


def write(path, rows):
    path.write_text(json.dumps(rows))
    return path


def select(data, folder, **more):
    given = {"engine": "fake", "run": str(folder), "out": str(folder.parent / f"{folder.name}.out.json"), **more}
    chosen = selectit.select(None if data is None else str(data), Settings(**given, force=True))
    return f"{folder}:{chosen.name}"
