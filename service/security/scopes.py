"""SMART scopes (App Launch 2.0, section 3.0.2): `system/Type.cruds`, and one of ours for those who run the exchange."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

OPERATE = "pathway/operate"  # deliveries, EHRs: what an integration engineer sees and replays
SCOPE = re.compile(r"system/([A-Z][A-Za-z]*|\*)\.(c?r?u?d?s?)")
LETTERS = "cruds"
V1 = {"read": "rs", "write": "cud", "*": "cruds"}  # what SMART 1.0 called them


@dataclass(frozen=True)
class Scopes:
    """What a token allows: letters of `cruds` by resource type, `*` for every type."""

    granted: dict[str, frozenset[str]]
    operates: bool = False

    def allow(self, type_: str, letter: str) -> bool:
        return letter in self.granted.get(type_, ()) or letter in self.granted.get("*", ())

    def types(self, letter: str, all_types: Iterable[str]) -> frozenset[str]:
        return frozenset(t for t in all_types if self.allow(t, letter))

    def __str__(self) -> str:
        said = [f"system/{type_}.{''.join(c for c in LETTERS if c in letters)}" for type_, letters in sorted(self.granted.items())]
        return " ".join([*said, OPERATE] if self.operates else said)


def parse(text: str) -> Scopes:
    """The scopes of a space-separated list. Raises ValueError with every one that is none."""
    granted: dict[str, frozenset[str]] = {}
    unknown, operates = [], False
    for word in text.split():
        found = SCOPE.fullmatch(word)
        version_1 = re.fullmatch(r"system/([A-Z][A-Za-z]*|\*)\.(read|write|\*)", word)
        if word == OPERATE:
            operates = True
        elif version_1:
            granted[version_1[1]] = granted.get(version_1[1], frozenset()) | set(V1[version_1[2]])
        elif found and found[2]:
            granted[found[1]] = granted.get(found[1], frozenset()) | set(found[2])
        else:
            unknown.append(word)
    if unknown:
        raise ValueError(f"no scopes that are given here: {', '.join(unknown)}")
    return Scopes(granted, operates)


def within(asked: Scopes, allowed: Scopes) -> Scopes:
    """What of the asked-for is allowed: a token may be given less than was asked for, and never more."""
    granted: dict[str, frozenset[str]] = {}
    for type_, letters in asked.granted.items():
        if type_ == "*":
            for other, theirs in allowed.granted.items():
                if letters & theirs:
                    granted[other] = granted.get(other, frozenset()) | (letters & theirs)
        else:
            both = frozenset(c for c in letters if allowed.allow(type_, c))
            if both:
                granted[type_] = granted.get(type_, frozenset()) | both
    return Scopes(granted, asked.operates and allowed.operates)


def lacking(asked: str, granted: str, types: Iterable[str]) -> list[str]:
    """What was asked for, of these types, and not granted, as scopes. Words that are none of SMART's are granted as they are or not at all."""
    every, given = sorted(types), _known(granted)
    found: dict[str, str] = {}
    for type_, letters in sorted(_known(asked).granted.items()):
        left = {one: "".join(c for c in LETTERS if c in letters and not given.allow(one, c)) for one in (every if type_ == "*" else [type_])}
        if type_ == "*" and every and len(set(left.values())) == 1:
            left = {"*": left[every[0]]}  # of all alike
        found |= {one: _together(found.get(one, ""), said) for one, said in left.items()}
    others = [word for word in asked.split() if not _is_scope(word) and word not in granted.split()]
    return [*(f"system/{type_}.{letters}" for type_, letters in sorted(found.items()) if letters), *others]


def letters_lacking(lacks: Iterable[str], type_: str) -> str:
    """The letters that are lacking of one type."""
    found = _known(" ".join(lacks)).granted
    return "".join(c for c in LETTERS if c in found.get(type_, frozenset()) | found.get("*", frozenset()))


def _together(one: str, other: str) -> str:
    return "".join(c for c in LETTERS if c in one or c in other)


def _known(text: str) -> Scopes:
    return parse(" ".join(word for word in text.split() if _is_scope(word)))


def _is_scope(word: str) -> bool:
    try:
        return bool(parse(word).granted)
    except ValueError:
        return False
