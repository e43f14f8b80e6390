"""A page as one file: its head, its style, and a policy by which a browser runs and fetches nothing else."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selectit.atomic_files import replacing
from selectit.errors import RunError
from selectit.pages.markup import escape
from selectit.runs.output import check_new_file, check_writable_parent

_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page that has no script."""

    name: str
    """Its anchor."""
    title: str
    inner: str
    """HTML."""


def write_document(title: str, body: str, script: str = "") -> str:
    """The whole file. Style and script are named by their sums, so that no other is heeded.

    Args:
        title: of the window, as text.
        body: HTML, with the script in it.
        script: '' = the page has none.
    """
    style = read_part("page.css")
    sources = [f"script-src {_name(script)}"] if script else []
    policy = "; ".join(
        ["default-src 'none'", *sources, f"style-src {_name(style)}", "base-uri 'none'", "form-action 'none'"]
    )
    return _FRAME.format(policy=policy, title=escape(title), style=style, body=body)


def _name(text: str) -> str:
    """How a content security policy names a piece of the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def read_part(name: str) -> str:
    """A file that lies beside this one."""
    return (importlib.resources.files("selectit.pages") / name).read_text("utf-8")


def write_plain_page(title: str, heading: str, about: str, sections: Sequence[Section], foot: str = "") -> str:
    """A page without a script.

    Args:
        title: of the window; these three are text.
        heading: the question that it answers.
        about: what it is about, in a sentence.
        sections: in order.
        foot: HTML.
    """
    links = " ".join(f'<a href="#{each.name}">{escape(each.title)}</a>' for each in sections)
    head = f'<header>\n<h1>{escape(heading)}</h1>\n<p class="quiet">{escape(about)}</p>\n'
    head += f'<nav aria-label="Parts of this page">{links}</nav>\n</header>'
    main = "\n".join(map(_section, sections))
    foot = f"\n<footer>{foot}</footer>" if foot else ""
    return write_document(title, f"{head}\n<main>\n{main}\n</main>{foot}")


def _section(of: Section) -> str:
    title = f'<h2 id="{of.name}-title">{escape(of.title)}</h2>'
    return f'<section id="{of.name}" aria-labelledby="{of.name}-title">\n{title}\n{of.inner}\n</section>'


def check_page(flag: str, path: Path) -> None:
    """Raise SettingsError where a page can't be written; `flag` is the option that names it."""
    check_new_file(flag, path, ".html")
    check_writable_parent(flag, path)


def save_page(flag: str, path: Path, page: str, *, force: bool) -> Path:
    """Write a page. Raises RunError where another file is there, without `force`."""
    content = page.encode()
    if path.exists() and not force and path.read_bytes() != content:
        raise RunError(
            f"{path} is there and holds something else", f"Name another with {flag}, or replace it with --force."
        )
    with replacing(path) as file:
        file.write(content)
    return path
