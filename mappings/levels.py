"""docs/mapping/levels.md: what a reader of each level sees of every resource, and which findings."""

from collections.abc import Iterator

from mappings import KINDS, model
from mappings.disclosure import VIEWS, Level
from mappings.documentation import Row, json_of, lines_of, shown, table
from mappings.element import Line, least_level
from mappings.kind import Kind, Resource
from mappings.rules import RULES, Rule, level_of_rule


def levels() -> str:
    """For every resource of every kind, what it holds at each level."""
    intro = """# What is seen at each level

For every resource: the level from which it exists, and the fields that each level adds to it. A reader of a level sees what stands there and
to its left. What is not there is absent: no mark, no count, no placeholder. A resource that has nothing to say at a level does not exist there."""
    return "\n\n".join([intro, *(part for kind in KINDS.values() for part in _levels_of(kind)), *_findings()]) + "\n"


def _levels_of(kind: Kind) -> Iterator[str]:
    yield f"## {shown(kind)}"
    rows: list[Row] = []
    for resource in kind.resources:
        assert resource.since is not None
        held: dict[Level, list[str]] = {view: [] for view in VIEWS}
        for _, line in lines_of(resource):
            held[max(least_level(line, kind.entity), resource.since)].append(_within(kind, resource, line))
        cells = {view: ", ".join(dict.fromkeys(fields)) for view, fields in held.items()}
        cells[resource.since] = ": ".join(filter(None, ("exists", cells[resource.since])))
        rows.append((f"{resource.type}: {resource.role.replace('-', ' ')}", *(cells[view] or "-" for view in VIEWS)))
    yield table(("resource", *(view.name for view in VIEWS)), rows)


def _findings() -> Iterator[str]:
    yield "## Findings"
    yield """A finding is a DetectedIssue of the record that it is about. Its level is the highest class of what its rule may read, and C1 at least, so
that it tells a reader nothing that the fields would not."""
    rows = [(rule.id, shown(KINDS[rule.kind]), level_of_rule(rule, KINDS).name, rule.text, ", ".join(dict.fromkeys(_read(rule, read) for read in rule.reads)))
            for rule in RULES]  # fmt: skip
    yield table(("rule", "of", "from", "says", "may read"), rows)


def _read(rule: Rule, path: str) -> str:
    kind, _, dotted = path.partition(":")
    field = f"`{json_of(KINDS[kind].entity, dotted)}`"
    return field if kind == rule.kind else f"{field} of the {kind.replace('-', ' ')}"


def _within(kind: Kind, resource: Resource, line: Line) -> str:
    return f"`{json_of(kind.entity, line.field).removeprefix(f'{model.json_name(resource.over)}[].' if resource.over else '')}`"
