"""The index page: which EHRs are here, where, what they hold, and what was asked of them last."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from sandbox.besides import BESIDES_FHIR
from sandbox.personas.persona import Persona

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c2430; background: #fbfbfa }
table { border-collapse: collapse; margin: .5rem 0 2rem } caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { text-align: left; padding: .2rem 1.2rem .2rem 0; border-bottom: 1px solid #dfe3e8; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums } code { background: #eef0f3; padding: 0 .25rem }
"""


def index_page(personas: Sequence[Persona], origin: str, counts: Mapping[str, Any], seen: Sequence[Mapping[str, Any]]) -> str:
    bases = [(one.title, origin + one.path, origin + one.path + "/metadata", sum(of["current"] for of in counts[one.name].values())) for one in personas]
    held = [(name, kind, count["current"], count["versions"]) for name, kinds in counts.items() for kind, count in kinds.items()]
    asked = [(one["time"], one["persona"], one["method"], _target(one), one["status"] or "none", one["ms"], ", ".join(one["faults"])) for one in seen]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sandbox EHRs</title>'
        f"<style>{STYLE}</style><h1>Sandbox EHRs</h1>"
        "<p>FHIR R4 servers that stand for an EHR. Their records are made up, and they are for this machine alone. "
        'What goes wrong with them is set <a href="/docs">in a form</a>.</p>'
        + _table("EHRs", ("EHR", "FHIR base", "CapabilityStatement", "resources"), bases)
        + _table("Besides FHIR", ("method", "path", "what it does"), BESIDES_FHIR)
        + _table("What they hold", ("EHR", "type", "now", "versions ever"), held)
        + _table("The last requests", ("time", "EHR", "method", "path", "status", "ms", "faults"), asked)
    )


def _target(seen: Mapping[str, Any]) -> str:
    return f"{seen['path']}?{seen['query']}" if seen["query"] else str(seen["path"])


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{body}</table>"


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return f'<td class="number">{value}</td>'
    text = escape(str(value))
    return f'<td><a href="{text}">{text}</a></td>' if text.startswith("http") else f"<td>{text}</td>"
