"""Reports that open from the disk without a network: one HTML file with its pictures inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows and columns; the first column names the row. ``strong`` rows stand out."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    strong: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An encoded picture; ``alt`` says in words what it shows."""

    data: bytes
    alt: str
    caption: str = ""
    mime: str = "image/png"


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A heading and what stands under it: paragraphs (plain text), tables and pictures."""

    title: str
    parts: Sequence[str | Table | Picture]


def to_html(title: str, lead: str, sections: Sequence[Section], footer: Mapping[str, str]) -> str:
    """A whole page. All text is escaped; nothing in it is loaded from elsewhere."""
    body = "".join(_section(section) for section in sections)
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in footer.items())
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n{body}'
        f"<footer><dl>{facts}</dl></footer>\n</main>\n</body>\n</html>\n"
    )


def to_markdown(table: Table) -> str:
    """A table in Markdown, its caption in front."""
    lines = [_markdown_row(table.header), _markdown_row(["---"] + ["---:"] * (len(table.header) - 1))]
    for i, row in enumerate(table.rows):
        lines.append(_markdown_row([f"**{cell}**" for cell in row] if i in table.strong else row))
    return (f"{table.caption}\n\n" if table.caption else "") + "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _section(section: Section) -> str:
    parts = "".join(_part(part) for part in section.parts)
    return f"<section>\n<h2>{escape(section.title)}</h2>\n{parts}</section>\n"


def _part(part: str | Table | Picture) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>\n"
    caption = f"<figcaption>{escape(part.caption)}</figcaption>" if part.caption else ""
    if isinstance(part, Picture):
        source = f"data:{part.mime};base64,{b64encode(part.data).decode('ascii')}"
        return f'<figure><img src="{source}" alt="{escape(part.alt, quote=True)}">{caption}</figure>\n'
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in part.header)
    rows = "".join(_row(row, i in part.strong) for i, row in enumerate(part.rows))
    return (
        f'<figure><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"{caption}</figure>\n"
    )


def _row(cells: tuple[str, ...], strong: bool) -> str:
    name, *values = cells
    inside = f'<th scope="row">{escape(name)}</th>' + "".join(f"<td>{escape(value)}</td>" for value in values)
    return f'<tr class="strong">{inside}</tr>' if strong else f"<tr>{inside}</tr>"


STYLE = """
:root { color-scheme: light dark;
  --ink: #1b1f24; --soft: #57606a; --line: #d5dae0; --paper: #ffffff; --shade: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --soft: #a5adb7; --line: #3a424c; --paper: #14181d; --shade: #1d232a; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.25; margin: 0 0 .75rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 3rem 0 .75rem; padding-top: 1rem; border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .6rem 0; }
.lead { font-size: 1.1rem; color: var(--soft); }
figure { margin: 1.25rem 0; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .5rem; max-width: 46rem; }
img { max-width: 100%; height: auto; display: block; border-radius: 6px; background: #ffffff; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .75rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { font-size: .85rem; color: var(--soft); font-weight: 600; }
th:first-child { text-align: left; }
tbody th { font-weight: 400; }
tr.strong th, tr.strong td { font-weight: 650; background: var(--shade); }
footer { margin-top: 3.5rem; border-top: 1px solid var(--line); padding-top: 1rem;
  color: var(--soft); font-size: .85rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: 0; }
dd { margin: 0; overflow-wrap: anywhere; }
"""
