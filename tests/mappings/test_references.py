"""What our resources refer to: no circle, nothing that a reader of the level has not got, and strong only where it must be."""

from collections.abc import Iterator
from functools import cache

from mappings import KINDS, Ids
from mappings.disclosure import VIEWS, Level, withhold
from mappings.element import Fhir, least_level
from mappings.parts import Author
from mappings.references import references_in, strong
from mappings.rules import Around, Thresholds, findings
from tests.generate import ALL_KINDS, TENANT, Maker
from tests.mappings.goldens import TENANT as GOLDEN_TENANT
from tests.mappings.goldens import cases

Node = tuple[str, str]  # kind, role
SINCE = {(kind.name, resource.role): resource.since for kind in ALL_KINDS for resource in kind.resources}


@cache
def edges() -> frozenset[tuple[Node, Node, str, str, Level]]:
    """(from, to, resource type, top-level element, view) of every reference: those declared, and those seen in generated output."""
    found = set()
    for kind in ALL_KINDS:
        for resource, refers in kind.references():
            [line] = refers.lines()
            if not isinstance(refers, Author):  # by identifier alone
                found.add(((kind.name, resource.role), (refers.to.kind, refers.role), resource.type, line.path.split(".")[1], least_level(line, kind.entity)))
        for seed in range(40):
            ids, entity = Ids(TENANT), Maker(seed, 0.9).entity(kind)
            judged = findings(kind, entity, Around(), Thresholds(), KINDS)
            for view in VIEWS:
                for resource in kind.to_fhir(withhold(entity, view), ids, view, judged):
                    found |= set(led_to(resource, ids, view))
    return frozenset(found)


def led_to(resource: Fhir, ids: Ids, view: Level) -> Iterator[tuple[Node, Node, str, str, Level]]:
    mine = ids.key(resource["id"])
    assert mine is not None
    for path, reference, _ in references_in(resource):
        if "reference" in reference:
            target = ids.key(reference["reference"].partition("/")[2])
            assert target is not None, f"{path} leads to nothing that we know"
            yield (mine.kind, mine.role), (target.kind, target.role), resource["resourceType"], path.split(".")[1].partition("[")[0], view


def test_references_make_no_circle() -> None:
    onwards: dict[Node, set[Node]] = {}
    for start, end, *_ in edges():
        onwards.setdefault(start, set()).add(end)
    done: set[Node] = set()

    def follow(node: Node, way: tuple[Node, ...]) -> None:
        assert node not in way, " -> ".join(map(str, (*way[way.index(node):], node)))
        if node not in done:
            for nearby in sorted(onwards.get(node, ())):
                follow(nearby, (*way, node))
            done.add(node)

    for node in sorted(onwards):
        follow(node, ())


def test_a_reference_is_seen_from_where_its_target_is() -> None:
    for start, end, type_, element, view in edges():
        if end[1] != "finding":
            assert view >= SINCE[end], f"{start} {type_}.{element} leads to {end} at {view.name}"


def test_what_is_referred_to_within_a_record_is_in_the_same_view_of_it() -> None:
    for one in cases():
        for view in VIEWS:
            ids = Ids(GOLDEN_TENANT)
            resources = one.kind.to_fhir(withhold(one.entity, view), ids, view, one.findings())
            there = {f"{r['resourceType']}/{r['id']}" for r in resources}
            for resource in resources:
                for path, reference, _ in references_in(resource):
                    target = ids.key(str(reference.get("reference")).partition("/")[2])
                    if target is not None and (target.kind, target.id) == (one.kind.name, one.entity.id):
                        assert reference["reference"] in there, path


def test_the_strong_references_are_the_patient_the_course_and_the_members_of_a_set() -> None:
    held = {(type_, element, end) for _, end, type_, element, _ in edges() if strong(type_, element)}
    assert {(element, end) for _, element, end in held if end == ("patient", "patient")} == {(name, ("patient", "patient")) for name in ("subject", "patient", "for")}
    rest = {(type_, element, end[1]) for type_, element, end in held if end != ("patient", "patient")}
    assert {one for one in rest if one[0] == "Procedure"} == {("Procedure", "partOf", "course")}
    assert {one[:2] for one in rest} == {("Procedure", "partOf"), ("Observation", "hasMember")}


def test_every_resource_of_a_patient_says_strongly_whose_it_is() -> None:
    shared = {"Patient", "Practitioner", "PractitionerRole", "Organization", "Location", "Medication", "Provenance"}
    for one in cases():
        for resource in one.view(Level.C3):
            if resource["resourceType"] not in shared:
                whose = [reference for _, reference, is_strong in references_in(resource) if is_strong and reference["reference"].startswith("Patient/")]
                assert len(whose) == 1, resource["resourceType"]


def test_references_in_finds_every_reference_with_its_path() -> None:
    resource = {
        "resourceType": "Consent", "patient": {"reference": "Patient/1"}, "organization": [{"type": "Organization", "identifier": {"system": "s", "value": "v"}}],
        "provision": {"provision": [{"data": [{"meaning": "instance", "reference": {"reference": "Observation/2"}}], "actor": [{"reference": {"display": "Any"}}]}]},
        "extension": [{"url": "u", "valueReference": {"reference": "Practitioner/3"}}],
    }  # fmt: skip
    assert [(path, is_strong) for path, _, is_strong in references_in(resource)] == [
        ("Consent.patient", True), ("Consent.organization[0]", False), ("Consent.provision.provision[0].data[0].reference", False),
        ("Consent.extension[0].valueReference", False),
    ]  # fmt: skip
    issue = {"resourceType": "DetectedIssue", "reference": "https://pathway-fhir.example/rules/R10", "patient": {"reference": "Patient/1"}}
    assert [path for path, *_ in references_in(issue)] == ["DetectedIssue.patient"]
