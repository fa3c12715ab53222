"""`python -m benchmarks [--quick] [--database sqlite|postgresql]`: everything, one table."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import measures, syncing
from benchmarks.deployment import Deployment, databases, deployed, fill

TARGETS = {
    "encounters/s": (700, "more"), "ratio": (0.6, "more"), "by patient/s": (800, "more"), "page of 50 by date/s": (400, "more"),
    "cost at 100,000 / at 1,000": (1.3, "less"), "worker MB": (100, "less"), "lease p50 ms": (2, "less"),
    "lease p95 by that with nothing owed": (1.3, "less"), "reads while catching up": (0.7, "more"), "reads p95 with a backlog": (1.3, "less"),
    "ready after s": (3, "less"), "web worker MB": (150, "less"),
}  # fmt: skip
OF_ONE = {
    ("sqlite", "publishes/s"): 40, ("postgresql", "publishes/s"): 30, ("sqlite", "deliveries/s of 1"): 250,
    ("postgresql", "deliveries/s of 4"): 600, ("postgresql", "deliveries/s of 4 in transactions"): 600,
}  # fmt: skip
console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10,000 resources in place of 100,000")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--only", choices=["serving", "syncing"], help="only what is served, or only what workers do")
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args()
    large_size = 10_000 if given.quick else 100_000
    serving, delivering = given.only != "syncing", given.only != "serving"
    found = ({"mapping": measures.mapping()} if serving else {}) | ({"sandbox": syncing.taken()} if delivering else {})
    kinds = tuple(given.database or ("sqlite", "postgresql"))
    with databases(kinds) as urls:
        for kind in kinds:
            found |= _on(kind, urls[kind], large_size, serving=serving, delivering=delivering)
    missed = _show(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    raise SystemExit(1 if missed else 0)


def _on(kind: str, urls: list[str], large_size: int, *, serving: bool, delivering: bool) -> dict[str, measures.Figures]:
    found: dict[str, measures.Figures] = {}
    with deployed("small", urls[0]) as small, deployed("large", urls[1]) as large:
        console.print(f"{kind}: storing 1,000 and {large_size:,} resources ...")
        first = [fill(small.service, 1_000), fill(large.service, large_size)]
        if serving:
            found |= _serving(kind, small, large, first)
        if delivering:
            found[f"{kind}, deliveries"] = syncing.deliveries(small, "one", workers=1, visits=300)
            found[f"{kind}, deliveries of four workers"] = syncing.deliveries(small, "four", workers=4, visits=1000)
            found[f"{kind}, deliveries in transactions"] = syncing.deliveries(small, "together", workers=4, visits=1000, transactions=True)
            found[f"{kind}, backlog"] = syncing.backlog(large)
        found[f"{kind}, memory after all"] = {"web worker MB": max(large.memory())}
    return found


def _serving(kind: str, small: Deployment, large: Deployment, first: list[int]) -> dict[str, measures.Figures]:
    return {
        f"{kind}, start and memory": measures.process(small),
        f"{kind}, reads": measures.reads(large),
        f"{kind}, publishes": measures.publishes(large, first[1]),
        f"{kind}, publish cost": measures.publish_cost(small, large, (first[0], first[1] + 150)),
        f"{kind}, searches at {small.count():,}": measures.searches(small),  # by now with whole pages of encounters
        f"{kind}, searches at {large.count():,}": measures.searches(large),
    }


def _show(found: dict[str, measures.Figures]) -> int:
    table, missed = Table("What", "Figure", "Measured", "Target", box=None), 0
    for what, figures in found.items():
        of_database = {name: (value, "more") for (kind, name), value in OF_ONE.items() if kind == what.partition(",")[0]}
        for name, value in figures.items():
            target = (TARGETS | of_database).get(name)
            met = target is None or (value >= target[0] if target[1] == "more" else value <= target[0])
            missed += not met
            wanted = f"at {'least' if target[1] == 'more' else 'most'} {target[0]:g}" if target else ""
            table.add_row(what, name, f"{value:,.2f}" if value < 100 else f"{value:,.0f}", wanted if met else f"[red]{wanted}: missed[/red]")
    console.print(table)
    return missed


if __name__ == "__main__":
    main()
