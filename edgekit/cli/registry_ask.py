"""`edgekit registry query`, `match` and `show`: questions to the registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgekit.cli.registry_store import STORE, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.registry.match import Match
    from edgekit.registry.rules import Budget
    from edgekit.registry.store import Results, Store
    from edgekit.registry.tree import Branch

_PROJECT = typer.Option(Path("."), "--project", help="Folder of the project.")
_JSON = typer.Option(False, "--json", help="Print the result as JSON.")
_PLOT = typer.Option(None, "--plot", help="Also draw a picture: .png, .svg or .pdf.")


def query(
    text: str = typer.Argument("", help="Name of a saved query, SPARQL, or a file *.rq."),
    values: list[str] = typer.Argument(None, help="Values of its parameters, or NAME=VALUE."),
    project: Path = _PROJECT,
    address: str = STORE,
    show_list: bool = typer.Option(False, "--list", help="List the saved queries."),
    as_json: bool = typer.Option(False, "--json", help="SPARQL results as JSON."),
    as_csv: bool = typer.Option(False, "--csv", help="SPARQL results as CSV."),
    plot: Path | None = _PLOT,
) -> None:
    """Ask a saved question, or run a SPARQL query; the prefixes ek, schema and so on are declared.

    Example: edgekit registry query models-for-board nucleo_f411re
    """
    import re

    from edgekit.registry import render, saved
    from edgekit.registry.choose import read_question

    if show_list or not text:
        _list_queries(as_json)
        return
    write = render.as_json if as_json else render.as_csv if as_csv else render.as_table

    def ask(store: Store) -> Results:
        if re.fullmatch(r"[\w-]+", text):
            return saved.run(store, text, _values(text, values or []))
        if values:
            raise typer.BadParameter("only a saved query takes values")
        sparql = read_question(Path(text)) if text.endswith(".rq") else text
        return store.query(sparql)

    with open_store(project, address) as store:
        print(write(ask(store)))
        if plot is not None:
            _plot_results(ask(store), plot, text if len(text) < 64 else "query")


def _values(name: str, given: Sequence[str]) -> dict[str, str]:
    """Return the parameters by name: those that are not named, in their order."""
    from edgekit.errors import FormatError
    from edgekit.registry.saved import saved_query

    names = [parameter.name for parameter in saved_query(name).parameters]
    found: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if equals and key in names:
            found[key] = value
        else:
            left = [known for known in names if known not in found]
            if not left:
                raise FormatError(f"query '{name}' takes {len(names)} values, found {len(given)}")
            found[left[0]] = text
    return found


def _list_queries(as_json: bool) -> None:
    import json

    from edgekit.registry.render import table
    from edgekit.registry.saved import saved_queries

    if as_json:
        facts = [
            {
                "name": each.name,
                "question": each.question,
                "parameters": [
                    {"name": p.name, "kind": p.kind, "example": p.example} for p in each.parameters
                ],
            }
            for each in saved_queries()
        ]
        print(json.dumps(facts, indent=2))
        return
    rows = [
        [" ".join([each.name, *(p.name.upper() for p in each.parameters)]), each.question]
        for each in saved_queries()
    ]
    print(table(["query", "question"], rows))


def _plot_results(results: Results, path: Path, title: str) -> None:
    from edgekit.registry.plot import plot_rows
    from edgekit.registry.render import as_rows

    names, rows = as_rows(results)
    plot_rows(names, rows, path, title)


def match(
    board: str = typer.Option("", "--board", help="Which models fit this board."),
    device: str = typer.Option("", "--device", help="Which models fit this device."),
    model: str = typer.Option("", "--model", help="Which boards and devices can run this model."),
    task: str = typer.Option("", "--task", help="Only models of this task."),
    by: str = typer.Option("", "--by", help="accuracy, latency, energy or size; what is best."),
    latency_us: int = typer.Option(0, "--max-latency-us", min=0, help="Longest inference."),
    energy_uj: int = typer.Option(0, "--max-energy-uj", min=0, help="Most energy of an inference."),
    licenses: list[str] = typer.Option(
        None, "--license", help="SPDX id that model and data may have; may be repeated."
    ),
    planned: bool = typer.Option(False, "--planned", help="Also boards without firmware yet."),
    limit: int = typer.Option(100, "--limit", min=1, help="Devices to list; all are counted."),
    project: Path = _PROJECT,
    address: str = STORE,
    as_json: bool = _JSON,
    plot: Path | None = _PLOT,
) -> None:
    """Say what fits and how much room is left, and of the rest why not.

    Example: edgekit registry match --board mps2_an386 --by latency
    """
    from edgekit.registry import match as matching
    from edgekit.registry.names import find
    from edgekit.registry.rules import DATA_ONLY, Budget
    from edgekit.registry.tables import boards

    if sum(map(bool, (board, device, model))) != 1:
        raise typer.BadParameter("expected one of --board, --device and --model")
    if by and by not in matching.RANKS:
        raise typer.BadParameter(f"--by is one of {', '.join(matching.RANKS)}")
    allowed = frozenset(licenses or ())
    budget = Budget(latency_us or None, energy_uj or None, allowed, planned)
    groups: dict[str, Sequence[Match]] = {}
    counts: dict[str, int] = {}
    with open_store(project, address) as store:
        if board:
            node = find(store, board, "board").value
            known = boards(store).get(node)
            if known is not None and known.support == DATA_ONLY and not planned:
                # Who names a board wants to know about it, also if it has no firmware yet.
                budget = Budget(latency_us or None, energy_uj or None, allowed, planned=True)
            groups["models"] = matching.models_for_board(
                store, board, task=task or None, budget=budget, by=by or "accuracy"
            )
        elif device:
            groups["models"] = matching.models_for_device(
                store, device, task=task or None, budget=budget, by=by or "accuracy"
            )
        else:
            groups["boards"] = matching.boards_for_model(
                store, model, budget=budget, by=by or "size"
            )
            groups["devices"], counts = _devices(store, model, budget, limit)
    if plot is not None:
        from edgekit.registry.plot import plot_matches

        key, shown = next(iter(groups.items()))
        plot_matches(shown, plot, f"{key} for {board or device or model}")
    _print_matches(groups, counts, as_json)


def _devices(
    store: Store, model: str, budget: Budget, limit: int
) -> tuple[Sequence[Match], dict[str, int]]:
    """Return the first devices with all counted; those that do not fit where there is room."""
    from edgekit.registry import match as matching
    from edgekit.registry.tables import groups

    fitting = matching.count_devices(store, model, budget=budget)
    total = sum(groups(store).values())
    counts = {"fitting": fitting, "devices": total}
    if total > limit:
        return matching.first_devices(store, model, limit, budget=budget), counts
    return matching.devices_for_model(store, model, budget=budget), counts


def _print_matches(
    groups: dict[str, Sequence[Match]], counts: dict[str, int], as_json: bool
) -> None:
    import json

    from edgekit.registry.render import table

    if as_json:
        facts: dict[str, object] = {
            key: [_match_facts(found) for found in group] for key, group in groups.items()
        }
        print(json.dumps(facts | ({"counts": counts} if counts else {}), indent=2))
        return
    for key, group in groups.items():
        rows = []
        for found in group:
            accuracy = "" if found.accuracy is None else f"{found.accuracy:.1%}"
            why = "; ".join(str(reason) for reason in found.reasons)
            least = min(found.headroom.items(), key=lambda pair: pair[1], default=("", 0))
            room = f"{least[1]:,} {least[0]}" if found.fits and least[0] else ""
            cost = "" if found.cost.latency_us is None else f"{found.cost.latency_us / 1000:.1f} ms"
            rows.append([found.name, "yes" if found.fits else "no", accuracy, cost, room, why])
        heads = [key.removesuffix("s"), "fits", "accuracy", "latency", "bytes left", "why not"]
        print(table(heads, rows))
    if counts:
        print(f"{counts['fitting']:,} of {counts['devices']:,} devices can run it")


def _match_facts(found: Match) -> dict[str, object]:
    return {
        "iri": found.iri,
        "name": found.name,
        "fits": found.fits,
        "accuracy": found.accuracy,
        "latency_us": found.cost.latency_us,
        "energy_uj": found.cost.energy_uj,
        "headroom": dict(found.headroom),
        "reasons": [
            {"code": r.code, "needed": r.needed, "found": r.found, "text": str(r)}
            for r in found.reasons
        ],
    }


def show(
    name: str = typer.Argument(..., help="IRI, name, device id, NAME:VERSION or image id."),
    depth: int = typer.Option(1, "--depth", min=0, max=3, help="How far to follow."),
    project: Path = _PROJECT,
    address: str = STORE,
    as_json: bool = _JSON,
    plot: Path | None = _PLOT,
) -> None:
    """Show a thing as a tree: its facts, what it has, what it is part of.

    Example: edgekit registry show device-17 --plot device-17.png
    """
    import json

    from edgekit.registry.names import find
    from edgekit.registry.tree import as_lines, read_tree

    with open_store(project, address) as store:
        tree = read_tree(store, find(store, name), depth)
    if plot is not None:
        from edgekit.registry.plot import plot_tree

        plot_tree(tree, plot)
    if as_json:
        print(json.dumps(_tree_facts(tree), indent=2))
        return
    print(tree.iri)
    print("\n".join(as_lines(tree)))


def _tree_facts(tree: Branch) -> dict[str, object]:
    links = {
        key: [_tree_facts(child) for child in children] for key, children in tree.branches.items()
    }
    return {"iri": tree.iri, "title": tree.title, "facts": tree.facts, "links": links}
