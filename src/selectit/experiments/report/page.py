"""The report of an experiment as one HTML file, without scripts or network. Needs markdown-it-py (extra `report`)."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from markdown_it import MarkdownIt

from selectit.experiments.report import figures
from selectit.experiments.report.sections import Section, escape, render_section

DARK = {
    figures.INK: "#e8e8ec",
    figures.QUIET: "#a6a6b0",
    figures.FAINT: "#3a3a42",
    "#0072b2": "#5db8f0",
    "#b34700": "#f59550",
    "#117733": "#62c98a",
    "#aa4499": "#e08ad0",
    "#7a5c00": "#d9bd4a",
    "#332288": "#a99ff5",
    "#ffffff": "#17171b",
}
"""What stands for each colour of the figures where the reader wants a dark page; at least 4.5 to 1."""


_STYLE = """
:root { color-scheme: light dark; LIGHT }
@media (prefers-color-scheme: dark) { :root { DARK } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 3rem; background: var(--ffffff); color: var(--1b1b1f);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; line-height: 1.2 } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem }
p { max-width: 46rem; margin: .5rem 0; overflow-wrap: anywhere }
a { color: var(--0072b2) }
.table { overflow-x: auto; margin: 1rem 0; border: 1px solid var(--d4d4da); border-radius: .4rem }
table { border-collapse: collapse; width: max-content; min-width: 100%; font-size: .875rem;
  font-variant-numeric: tabular-nums }
th, td { padding: .4rem .75rem; text-align: left; border-top: 1px solid var(--d4d4da);
  max-width: 14rem; overflow-wrap: break-word }
thead th { border-top: 0; vertical-align: bottom; max-width: 10rem; font-weight: 600 }
td[style] { max-width: none; white-space: nowrap }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1.5rem;
  align-items: start; margin: 1rem 0 0 }
.figures svg { display: block; stroke-linejoin: round; width: 100%; max-width: 30rem; height: auto }
.figures text { font-family: "DejaVu Sans", Verdana, sans-serif !important }
figure { margin: 1rem 0 } figcaption { max-width: 46rem; font-size: .875rem; color: var(--5b5b66) }
"""


def render_page(
    title: str, notes: Sequence[str], sections: Sequence[Section], drawings: Sequence[Sequence[str]]
) -> str:
    """The whole file.

    Args:
        title: of the window; the page's own heading is the question that an experiment answers.
        notes: what stands above the tables.
        sections: of the report.
        drawings: of each section the SVG documents of its panels.
    """
    # `html` is off: what looks like markup in a name is shown as text.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = [parser.render("\n\n".join(map(escape, notes)))]
    for section, some in zip(sections, drawings, strict=True):
        body.append(f"<section>\n{_tables(parser.render(render_section(section)), section.title)}")
        if some:
            body.append(_figure(section, some))
        body.append("</section>")
    return _FRAME.format(title=html.escape(title), style=_style(), body="\n".join(body))


_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>Which choice was worth it?</h1>
{body}
</main>
<footer>
<p>The same tables: <a href="results.md">results.md</a>, <a href="results.tex">results.tex</a>; every cell by itself:
<a href="results.csv">results.csv</a>; the figures as files: figures/.</p>
</footer>
</body>
</html>
"""


def _style() -> str:
    """Each colour is a variable that is named as it is in the figures."""
    light = " ".join(f"--{colour[1:]}: {colour};" for colour in DARK)
    dark = " ".join(f"--{colour[1:]}: {other};" for colour, other in DARK.items())
    return _STYLE.replace("LIGHT", light).replace("DARK", dark)


def _tables(text: str, title: str) -> str:
    """Put each table into a box that scrolls, also by the keyboard, and whose name is read aloud."""
    box = f'<div class="table" role="region" tabindex="0" aria-label="{html.escape(title)}">\n<table>'
    text = text.replace("<table>", box).replace("</table>", "</table>\n</div>")
    return re.sub("<th(?=[ >])", '<th scope="col"', text)


def _figure(section: Section, drawings: Sequence[str]) -> str:
    svgs = [_inline(svg, figures.describe_panel(panel)) for panel, svg in zip(section.panels, drawings, strict=True)]
    caption = f"<figcaption>{html.escape(section.reading)}</figcaption>"
    return f'<figure>\n<div class="figures">\n{"".join(svgs)}</div>\n{caption}\n</figure>'


def _inline(svg: str, description: str) -> str:
    """An SVG document as a part of the page: with the page's colours, what is read aloud, and no names used twice."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|defs)>\s*<(rdf:RDF|style) .*?</\1>", "", svg, count=2, flags=re.DOTALL)
    svg = re.sub(r"\b(fill|stroke): #([0-9a-f]{6})", r"\1: var(--\2)", svg)
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if f"#{found[1]}" in svg else "", svg)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(description)}"', 1)
