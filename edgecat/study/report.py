"""Writes a study as an HTML page and CSV files."""

from __future__ import annotations

import csv
import io
import tempfile
from dataclasses import fields
from html import escape
from pathlib import Path

from edgecat._version import __version__
from edgecat.report.page import cards, page
from edgecat.study.frame import STUDIES, Outcome, Study, Table
from edgecat.study.words import language, tr
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import atomic_write, write_error
from edgecat_runtime.system.machine import this_machine

_STYLE = """<style>
.finding p { color: var(--ink); font-size: 16px; font-weight: 400; margin: 0 0 8px; }
.finding p:last-child { margin: 0; }
section > p { margin-top: 4px; } section img { margin: 0 auto; }
</style>"""


def check_folder(folder: Path) -> None:
    """Check that the folder is writable before spending minutes on the study.

    Raises:
        UserError: it is not writable, or is a file.
    """
    whole = folder.absolute()
    place = next(path for path in (whole, *whole.parents) if path.exists())
    if place == whole and not place.is_dir():
        raise UserError(f"{folder} is a file; expected a folder for the output")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise write_error(folder, error) from error


def save_outcome(name: str, study: Study, outcome: Outcome, folder: Path) -> list[Path]:
    """Write the tables as `NAME.csv` and the page as `NAME.html`, or `NAME.ko.html` in Korean.

    Returns:
        The files, the page first.

    Raises:
        UserError: a file cannot be written.
    """
    html = folder / (f"{name}.html" if language() == "en" else f"{name}.{language()}.html")
    written = [html]
    for suffix, table in outcome.tables.items():
        path = folder / (f"{name}-{suffix}.csv" if suffix else f"{name}.csv")
        atomic_write(path, csv_text(table))
        written.append(path)
    atomic_write(html, study_html(name, study, outcome))
    return written


def csv_text(table: Table) -> str:
    """Format the table as CSV, floats with six digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.header)
    for row in table.rows:
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
    return text.getvalue()


def study_html(name: str, study: Study, outcome: Outcome) -> str:
    """Return the study as a complete HTML document."""
    sections = (
        f"<section><h2>{escape(part.title)}</h2><p>{escape(part.text)}</p>{part.html}</section>"
        for part in outcome.sections
    )
    finding = "".join(f"<p>{escape(sentence)}</p>" for sentence in outcome.finding)
    body = (
        f"{_STYLE}<h1>{escape(tr(STUDIES[name][1]))}</h1>\n<p>{escape(outcome.lead)}</p>"
        f'<section class="finding verdict"><div>{finding}</div></section>{cards(outcome.facts)}'
        f"{''.join(sections)}{_foot(name, study)}"
    )
    return page(f"edgecat study {name}", body, script=outcome.script, language=language())


def _foot(name: str, study: Study) -> str:
    values = ", ".join(f"{f.name} {_plain(getattr(study, f.name))}" for f in fields(study))
    text = tr(
        "edgecat {version}, study {name}: {values}. Lines are means over the seeds, bands span "
        "minimum to maximum. Measured on {machine}.",
        version=__version__,
        name=name,
        values=values,
        machine=this_machine(),
    )
    return f"<footer>{escape(text)}</footer>"


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return str(value)
