"""The page of `registry serve`: a query form, the saved queries, results as a table.

It is HTML without scripts: every state has an address of its own.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from html import escape
from string import Template
from urllib.parse import quote

import pyoxigraph as ox

from edgekit.registry.protocol import Request, RequestError, Task
from edgekit.registry.saved import SavedQuery, saved_queries
from edgekit.registry.terms import PREFIXES, shorten
from edgekit.registry.worker import ROW_TYPES, Message

HTML = "text/html"
_MAX_ROWS = 1_000
_HASH = re.compile(r"\b[0-9a-f]{32,}\b")
_HASH_SHOWN = 12
_FIRST = (
    "SELECT ?id ?board ?seen WHERE {\n  ?device a ek:Device ; dcterms:identifier ?id ;"
    " ek:board ?board .\n  OPTIONAL { ?device ek:lastSeen ?seen }\n} ORDER BY ?id LIMIT 50"
)

Ask = Callable[[Task], Message]


def render_page(request: Request, ask: Ask, most: int) -> Message:
    """Return the page, with the result of the query that the address names.

    Args:
        ask: Lets a worker do a task.
        most: Bytes of a result.
    """
    if request.method not in ("GET", "HEAD"):
        raise RequestError(405, f"method {request.method}, expected GET")
    given = {name: values[0] for name, values in request.parameters.items()}
    chosen = next((each for each in saved_queries() if each.name == given.get("saved")), None)
    text = chosen.text if chosen else given.get("query", "")
    result = ""
    missing = chosen is not None and any(not given.get(p.name) for p in chosen.parameters)
    if text and not missing:
        result = _result(text, chosen, given, ask, most)
    page = Template(_PAGE).substitute(
        query=escape(_joined(text.splitlines(), "#") if chosen else text or _FIRST),
        saved="\n".join(_saved(each) for each in saved_queries()),
        form="" if chosen is None else _form(chosen, given),
        result=result,
        prefixes=escape(" ".join(f"{name}:" for name in PREFIXES)),
    )
    return {"status": 200, "type": HTML}, page.encode()


def _joined(lines: list[str], mark: str) -> str:
    """Join lines, without those that begin with a mark and come first."""
    return "\n".join(itertools.dropwhile(lambda line: line.startswith(mark), lines))


def _result(
    text: str, chosen: SavedQuery | None, given: dict[str, str], ask: Ask, most: int
) -> str:
    head = {"task": "query", "accept": [ROW_TYPES[0], "text/turtle"], "most": most}
    if chosen is not None:
        values = {p.name: given[p.name] for p in chosen.parameters}
        head |= {"task": "saved", "name": chosen.name, "values": values}
    answer, body = ask(Task(head, text.encode()))
    if "error" in answer:
        return f'<p class="error">{escape(str(answer["error"]))}</p>'
    if answer["type"] != ROW_TYPES[0]:
        return f"<pre>{escape(_joined(body.decode().splitlines(), '@prefix'))}</pre>"
    found = json.loads(body)
    if "boolean" in found:
        return f"<p>{'yes' if found['boolean'] else 'no'}</p>"
    rows, names = found["results"]["bindings"], found["head"]["vars"]
    marks = {name: _NUMBER * all(map(_is_number, _column(rows, name))) for name in names}
    lines = "".join(
        f"<tr>{''.join(_cell(row.get(name), marks[name]) for name in names)}</tr>\n"
        for row in rows[:_MAX_ROWS]
    )
    heads = "".join(f"<th{marks[name]}>{escape(name)}</th>" for name in names)
    shown = "" if len(rows) <= _MAX_ROWS else f", the first {_MAX_ROWS} shown"
    links = (
        ""
        if chosen
        else "".join(
            f' · <a href="/sparql?query={quote(text)}&amp;format={form}">{form}</a>'
            for form in ("json", "csv", "tsv", "xml")
        )
    )
    return (
        f"<p>{len(rows)} rows{shown}{links}</p>\n"
        f"<div><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


_NUMBER = ' class="number"'


def _column(rows: list[dict[str, dict[str, str]]], name: str) -> list[dict[str, str]]:
    return [row[name] for row in rows if name in row]


def _is_number(term: dict[str, str]) -> bool:
    kind = term.get("datatype", "").rsplit("#")[-1]
    return kind in ("integer", "decimal", "double", "float")


def _cell(term: dict[str, str] | None, mark: str) -> str:
    if term is None:
        return "<td></td>"
    value = term["value"]
    if term["type"] != "uri":
        shown = _cut(value)
        title = "" if shown == value else f' title="{escape(value)}"'
        return f"<td{mark}{title}>{escape(shown)}</td>"
    about = f"SELECT ?property ?value WHERE {{ {ox.NamedNode(value)} ?property ?value }}"
    return (
        f'<td><a href="/?query={quote(about)}" title="{escape(value)}">'
        f"{escape(_cut(shorten(value)))}</a></td>"
    )


def _cut(text: str) -> str:
    """Cut the hashes in a text to their first characters; the cell's title has the whole."""
    return _HASH.sub(lambda match: match[0][:_HASH_SHOWN] + "…", text)


def _saved(query: SavedQuery) -> str:
    name = escape(query.name)
    return f'<li><a href="/?saved={name}">{escape(query.question)}</a> <code>{name}</code></li>'


def _form(query: SavedQuery, given: dict[str, str]) -> str:
    fields = "".join(
        f'<label>{escape(p.name)} <input name="{escape(p.name)}" '
        f'value="{escape(given.get(p.name) or "")}" placeholder="{escape(p.example)}"></label>\n'
        for p in query.parameters
    )
    if not fields:
        return f"<h2>{escape(query.question)}</h2>"
    return (
        f'<h2>{escape(query.question)}</h2><form method="get" action="/">'
        f'<input type="hidden" name="saved" value="{escape(query.name)}">{fields}'
        "<button>Ask</button></form>"
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>edgekit registry</title>
<style>
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 76rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 1rem 0 .4rem; }
main { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 0 2rem; }
@media (max-width: 50rem) { main { grid-template-columns: minmax(0, 1fr); } }
textarea { width: 100%; box-sizing: border-box; font: 13px/1.4 ui-monospace, monospace; }
ul { padding-left: 1.1rem; max-height: 19rem; overflow: auto; }
code, .hint { color: GrayText; font-size: .85em; }
label { margin-right: 1rem; } div { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #8884; }
td { font-size: .92em; } .number { text-align: right; font-variant-numeric: tabular-nums; }
.error { border-left: 4px solid #c33; padding: .4rem .8rem; white-space: pre-wrap; }
</style>
</head>
<body>
<h1>edgekit registry</h1>
<main>
<section>
<h2><label for="query">Query</label></h2>
<form method="get" action="/">
<textarea id="query" name="query" rows="11" spellcheck="false">$query</textarea>
<p><button>Run</button> <span class="hint">declared: $prefixes</span></p>
</form>
</section>
<section><h2>Saved queries</h2><ul>
$saved
</ul></section>
</main>
$form
$result
</body>
</html>
"""
