"""A document as YAML: in the order in which it was made, short where it can be, and what its examples have in common written once."""

from collections.abc import Hashable
from decimal import Decimal
from hashlib import sha256
from typing import Any

import yaml

WORTH_AN_ANCHOR = 12  # values within
WIDTH = 160
OF_EXAMPLES = ("value", "example", "body")


class _Dumper(yaml.SafeDumper):
    """An object that comes again is an anchor and aliases, where it is large enough to be worth one."""

    sizes: dict[int, int]

    def ignore_aliases(self, data: Any) -> bool:
        return self.sizes.get(id(data), 0) < WORTH_AN_ANCHOR

    def generate_anchor(self, node: yaml.Node) -> str:
        """A name that follows from what it stands for, so that one example more renames no other."""
        return "x" + sha256(repr(_plain(node)).encode()).hexdigest()[:8]


_Dumper.add_representer(Decimal, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", format(value, "f")))
_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None))


def _plain(node: Any) -> Any:
    return [_plain(one) for one in node] if isinstance(node, list | tuple) else _plain(node.value) if isinstance(node, yaml.Node) else node


def yaml_of(document: dict[str, Any]) -> str:
    sizes: dict[int, int] = {}
    one = _with_examples(document, {}, sizes)
    return yaml.dump(
        one, Dumper=type("Dumper", (_Dumper,), {"sizes": sizes}), sort_keys=False, allow_unicode=True, width=WIDTH, default_flow_style=None
    )


def _with_examples(value: Any, once: dict[Hashable, Any], sizes: dict[int, int]) -> Any:
    """The document with its examples' equal parts made one."""
    if isinstance(value, dict):
        return {name: (_shared if name in OF_EXAMPLES else _with_examples)(inner, once, sizes) for name, inner in value.items()}
    return [_with_examples(one, once, sizes) for one in value] if isinstance(value, list | tuple) else value


def _shared(value: Any, once: dict[Hashable, Any], sizes: dict[int, int]) -> Any:
    """The value with equal parts made one object. `sizes` says how much is within each."""
    if isinstance(value, dict):
        pairs = {name: _shared(inner, once, sizes) for name, inner in value.items()}
        made, inner = once.setdefault(("{", *((name, _told(one)) for name, one in pairs.items())), pairs), list(pairs.values())
    elif isinstance(value, list | tuple):
        inner = [_shared(one, once, sizes) for one in value]
        made = once.setdefault(("[", *map(_told, inner)), inner)
    else:
        return value
    sizes[id(made)] = 1 + sum(sizes.get(id(one), 1) for one in inner)
    return made


def _told(value: Any) -> Hashable:
    """What tells a value from others: all containers that are equal are one by now."""
    return id(value) if isinstance(value, dict | list) else (type(value).__name__, str(value))
