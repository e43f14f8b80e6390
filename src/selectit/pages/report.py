"""`report`: the page of a selection, one file that a browser opens without network."""

from __future__ import annotations

from pathlib import Path
from string import Template

import numpy as np

from selectit.errors import SettingsError
from selectit.pages import sections
from selectit.pages.choice import read_choice
from selectit.pages.contents import PageRows, describe_contents, fill_columns, list_reasons, read_page_rows
from selectit.pages.cut import explain_cut
from selectit.pages.document import check_page, read_part, save_page, write_document
from selectit.pages.markup import escape, write_out
from selectit.pages.notable import find_notable
from selectit.pages.pack import pack, pack_columns, pack_texts, to_json
from selectit.pages.provenance import write_provenance
from selectit.pages.rows import choose_conversations, read_conversations
from selectit.pages.verdict import write_verdict
from selectit.runs.files import numbers
from selectit.runs.selections import PAGE, open_selection
from selectit.runs.stored import names_of_scores, read_scores
from selectit.signals.arrays import Int64

SCRIPTS = ("data", "cut", "table", "row", "map", "start")
"""The files of the page's script, in the order in which they are joined."""


def report(selection: str | Path, out: str | Path | None = None, *, force: bool = False, umap: bool = False) -> Path:
    """Write the page of a selection. From what its run has stored; loads no model.

    Args:
        selection: 'RUN:NAME', or 'RUN' of a run with one selection.
        out: the file; None = report.html beside the selection, RUN/selections/NAME/, which replaces an older one.
        force: replace what `out` holds, where it differs.
        umap: lay the map out by UMAP instead of PCA; takes minutes for 10,000 rows or more.

    Returns:
        The path of the page.

    Raises:
        RunError: no such run or selection, something of it is damaged, or `out` is another file.
        SettingsError: the run has several selections, `out` can't be written, or umap-learn is not installed.
    """
    run, name = open_selection(selection)
    path = run.path / "selections" / name / PAGE if out is None else Path(out)
    check_page("--out", path)
    page = write_page(read_page_rows(run, read_choice(run, name)), umap=umap)
    return save_page("--out", path, page, force=force or out is None)


def write_page(page: PageRows, *, umap: bool = False) -> str:
    """The page as HTML."""
    run, choice = page.run, page.choice
    others = {name: numbers(read_scores(run, name)["score"]) for name in names_of_scores(run) if name != choice.scores}
    lists = find_notable(choice, page.rows, page.texts, page.ratings, others)
    columns, found = fill_columns(page), None if page.is_sample else sections.find_map(choice, umap=umap)
    points, targets = ({}, []) if found is None else sections.place_points(found)
    if umap and found is None:
        raise SettingsError(
            "there is no map to lay out by UMAP", "A map needs stored embeddings, of 50,000 rows at most."
        )
    places, packed = pack_columns(columns | points)
    about = describe_contents(page) | {
        "columns": places,
        "targets": targets,
        "lists": [{"title": each.title, "about": each.about, "places": each.places.tolist()} for each in lists],
    }
    singled_out: Int64 = np.concatenate([np.zeros(0, np.int64), *(each.places for each in lists)])
    whole = page.rows[choose_conversations(page.kept, singled_out)]
    links = {"map": found is not None, "analyses": not page.is_sample}
    script = "\n".join(read_part(f"script/{name}.js") for name in SCRIPTS)
    body = Template(read_part("page.html")).substitute(
        subtitle=escape(f"The selection {choice.name} of {run.manifest['data']}."),
        verdict=write_verdict(run, choice),
        scores_title=_title_scores(page),
        scores_about=escape(_about_scores(page)),
        panel="" if page.cut is None else "tall",
        links=" ".join(f'<a href="#{name}">{name.capitalize()}</a>' for name, there in links.items() if there),
        map="" if found is None else sections.write_map(found),
        analyses="" if page.is_sample else sections.write_analyses(choice),
        provenance=write_provenance(run, choice, page.ratings),
        about=to_json(write_out(about)),
        numbers=packed,
        texts=pack_texts([page.texts.question, page.texts.answer, list_reasons(page)]),
        conversations=pack(to_json(read_conversations(run, whole)).encode()),
        script=script,
    )
    return write_document(f"{choice.name}: {run.manifest['data']}", body, script)


def _title_scores(page: PageRows) -> str:
    if page.cut is None:
        return "What the kept rows are like"
    return "Scores, and where the cut is" if page.choice.scores else "The order of choice, and where the cut is"


def _about_scores(page: PageRows) -> str:
    text = explain_cut(page.choice, page.cut)
    if not page.is_sample:
        return text
    return (
        f"{text} This page holds {len(page.rows):,} of the {page.run.rows:,} rows, drawn at random: all but "
        "the counts is estimated from these, and the analyses are left out."
    )
