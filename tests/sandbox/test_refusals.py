"""What is refused: bodies that are no FHIR, references to nothing, requests that no server here understands."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sandbox.personas.persona import CLINIC_TYPES
from sandbox.required import REQUIRED
from sandbox.wire import BODY_LIMIT
from tests.sandbox.client import Client, Fhir, issues, name
from tests.sandbox.samples import identify, least


class TestReferences:
    def test_to_nothing_are_400_with_the_path_of_every_one(self, plain: Client, about: str) -> None:
        body = {**least("Encounter", about), "participant": [{"individual": {"reference": "Practitioner/no"}}], "subject": {"reference": "Patient/no"}}
        answer = plain.post("Encounter", body)
        assert answer.status_code == 400
        assert issues(answer) == [("processing", "Encounter.subject"), ("processing", "Encounter.participant[0].individual")]

    def test_to_what_was_deleted_are_references_to_nothing(self, plain: Client, about: str) -> None:
        plain.delete(about)
        assert issues(plain.post("Observation", least("Observation", about))) == [("processing", "Observation.subject")]

    def test_in_an_update_are_checked_as_well(self, plain: Client, about: str) -> None:
        created = plain.create(least("Observation", about))
        answer = plain.put(name(created), {**created, "subject": {"reference": "Patient/no"}})
        assert (answer.status_code, issues(answer)) == (400, [("processing", "Observation.subject")])
        assert plain.get(name(created)).json() == created

    def test_to_a_version_need_the_resource(self, plain: Client, about: str) -> None:
        assert plain.create({**least("Provenance", about), "target": [{"reference": f"{about}/_history/1"}]})
        assert plain.post("Provenance", {**least("Provenance", about), "target": [{"reference": "Patient/no/_history/1"}]}).status_code == 400

    def test_by_identifier_need_nothing(self, plain: Client, about: str) -> None:
        logical = {"type": "Practitioner", "identifier": identify()}
        assert plain.create({**least("Observation", about), "performer": [logical]})["performer"] == [logical]

    def test_to_another_server_are_not_ours_to_check(self, plain: Client, about: str) -> None:
        elsewhere = {"reference": "https://elsewhere.example/fhir/r4/Practitioner/1"}
        assert plain.create({**least("Observation", about), "performer": [elsewhere]})["performer"] == [elsewhere]

    def test_by_our_own_url_become_relative_and_are_checked(self, plain: Client, about: str) -> None:
        body = {**least("Observation", about), "subject": {"reference": f"{plain.base}/{about}"}}
        assert plain.create(body)["subject"] == {"reference": about}
        assert plain.post("Observation", {**body, "subject": {"reference": f"{plain.base}/Patient/no"}}).status_code == 400

    def test_to_what_is_contained_need_it_to_be_there(self, plain: Client, about: str) -> None:
        body = {**least("Observation", about), "contained": [{"resourceType": "Practitioner", "id": "p"}], "performer": [{"reference": "#p"}]}
        assert plain.create(body)
        assert issues(plain.post("Observation", {**body, "performer": [{"reference": "#q"}]})) == [("processing", "Observation.performer[0]")]


@pytest.mark.parametrize("kind", CLINIC_TYPES)
def test_every_required_element_that_is_missing_is_named_at_once(plain: Client, kind: str) -> None:
    answer = plain.post(kind, {"resourceType": kind})
    top = [f"{kind}.{path.removesuffix('[x]')}" for path in REQUIRED[kind] if "." not in path]
    if not top:
        assert answer.status_code == 201
    else:
        assert (answer.status_code, issues(answer)) == (422, [("required", path) for path in top])


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"resourceType": "Procedure", "performer": [{"function": {"text": "lead"}}]}, "Procedure.performer[0].actor"),
        (
            {"resourceType": "Consent", "provision": {"actor": [{"role": {"text": "r"}, "reference": {"display": "d"}}, {"role": {"text": "r"}}]}},
            "Consent.provision.actor[1].reference",
        ),
        ({"resourceType": "QuestionnaireResponse", "item": [{"text": "how are you"}]}, "QuestionnaireResponse.item[0].linkId"),
    ],
)
def test_an_element_is_required_wherever_its_parent_is(plain: Client, about: str, body: Fhir, path: str) -> None:
    assert issues(plain.post(body["resourceType"], {**least(body["resourceType"], about), **body})) == [("required", path)]


def test_a_required_element_that_says_why_it_is_absent_is_there(plain: Client, about: str) -> None:
    reason = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}
    body = least("MedicationAdministration", about)
    del body["effectiveDateTime"]
    assert plain.post("MedicationAdministration", body).status_code == 422
    assert plain.create({**body, "_effectiveDateTime": reason})


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        ["", "[]", '"Patient"', "null", "{", '{"resourceType": "Patient"', b"\xff\xfe", '{"resourceType":"Patient","x":NaN}', '{"resourceType":"Patient","x":"\\ud800"}', "[" * 100_000],
        ids=["empty", "array", "string", "null", "cut", "unclosed", "not UTF-8", "NaN", "half a character", "brackets"],
    )  # fmt: skip
    def test_that_are_no_json_object_are_400(self, plain: Client, body: str | bytes) -> None:
        answer = plain.post("Patient", body)
        assert answer.status_code == 400
        assert issues(answer)

    def test_of_another_type_than_the_url_says_are_400(self, plain: Client) -> None:
        assert issues(plain.post("Patient", {"resourceType": "Practitioner"})) == [("invalid", "resourceType")]

    @pytest.mark.parametrize(
        ("more", "path"),
        [
            ({"gender": ""}, "Patient.gender"),
            ({"gender": None}, "Patient.gender"),
            ({"name": []}, "Patient.name"),
            ({"name": [{"family": "A"}, {}]}, "Patient.name[1]"),
            ({"name": [{"given": ["A", ""]}]}, "Patient.name[0].given[1]"),
        ],
    )
    def test_with_what_fhir_json_cannot_have_are_400_with_its_path(self, plain: Client, more: Fhir, path: str) -> None:
        answer = plain.post("Patient", {"resourceType": "Patient", **more})
        assert (answer.status_code, issues(answer)) == (400, [("invalid", path)])

    def test_with_a_null_that_holds_a_place_are_taken(self, plain: Client) -> None:
        given = {"given": [None, "B"], "_given": [{"id": "a"}, None]}
        assert plain.create({"resourceType": "Patient", "name": [given]})["name"] == [given]

    def test_nested_beyond_reason_are_400(self, plain: Client) -> None:
        body = '{"resourceType":"Patient","extension":' + '[{"extension":' * 90 + "[]" + "}]" * 90 + "}"
        assert issues(plain.post("Patient", body)) == [("invalid", "Patient")]

    def test_beyond_the_limit_are_413_and_the_connection_goes_on(self, plain: Client) -> None:
        answer = plain.post("Patient", b" " * (BODY_LIMIT + 1))
        assert (answer.status_code, issues(answer)) == (413, [("too-long", None)])
        assert plain.get("metadata").status_code == 200

    def test_in_chunks_are_taken(self, plain: Client) -> None:
        chunks = iter([b'{"resourceType":', b'"Patient"}'])
        answer = plain.session.post(f"{plain.base}/Patient", data=chunks, headers={"Content-Type": "application/fhir+json"})
        assert answer.status_code == 201

    def test_of_another_media_type_are_415(self, plain: Client) -> None:
        for media in ("application/fhir+xml", "application/x-www-form-urlencoded"):
            assert plain.post("Patient", "<Patient/>", Content_Type=media).status_code == 415
        assert plain.post("Patient", '{"resourceType":"Patient"}', Content_Type="application/json;charset=UTF-8").status_code == 201


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["reference", "coding", "code", "id", "value", "start", "given", "system"]), inner, max_size=3)
    ),
    max_leaves=8,
)
top_level = st.sampled_from(
    ["identifier", "meta", "contained", "code", "status", "subject", "category", "effectivePeriod", "performer", "component", "id", "language"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example({"effectivePeriod": {"start": 1}})
@given(st.dictionaries(top_level, anything, max_size=6))
def test_no_body_and_no_search_after_it_makes_the_server_fail(plain: Client, about: str, more: Fhir) -> None:
    odd = {"value": "odd"}
    answer = plain.post("Observation", {"resourceType": "Observation", "status": "final", "code": odd, **more})
    assert answer.status_code in (201, 400, 422)
    if answer.status_code != 201:
        assert issues(answer)
        return
    resource_id = answer.json()["id"]
    for criterion in ("identifier=a|b", "code=a|b", "category=a", f"subject={about}", "date=2026"):
        assert plain.get(f"Observation?_id={resource_id}&{criterion}").status_code == 200


class TestRequests:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "", 405), ("PUT", "", 405), ("POST", "_history", 405), ("POST", "Patient/_history", 405), ("GET", "Patient/1/_history/1/more", 404),
            ("GET", "Patient/1/$everything", 404), ("POST", "$convert", 404), ("GET", "Bogus", 404), ("POST", "Bogus", 404), ("GET", "Patient/a b", 404),
            ("PUT", "Patient?identifier=1", 405), ("PATCH", "Patient", 405), ("DELETE", "Patient?identifier=1", 405), ("POST", "metadata", 405),
            ("OPTIONS", "Patient", 405), ("GET", "Patient/_search", 405),
        ],
    )  # fmt: skip
    def test_that_mean_nothing_here_are_refused_with_an_outcome(self, plain: Client, method: str, path: str, status: int) -> None:
        answer = plain.session.request(method, f"{plain.base}/{path}", json={})
        assert (answer.status_code, issues(answer)[0][0]) == (status, "not-supported")
        assert ("Allow" in answer.headers) == (status == 405)

    def test_for_xml_are_406(self, plain: Client, patient: Fhir) -> None:
        assert plain.get(name(patient), Accept="application/fhir+xml").status_code == 406
        assert plain.get(f"{name(patient)}?_format=xml").status_code == 406

    @pytest.mark.parametrize(
        "accepted",
        ["application/fhir+json", "application/json", "*/*", "application/fhir+xml;q=0.5, application/fhir+json", "application/fhir+json; fhirVersion=4.0"],
    )
    def test_for_json_in_any_of_its_names_are_answered(self, plain: Client, patient: Fhir, accepted: str) -> None:
        assert plain.get(name(patient), Accept=accepted).json() == patient

    def test_for_the_head_have_no_body(self, plain: Client, patient: Fhir) -> None:
        answer = plain.session.head(f"{plain.base}/{name(patient)}")
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (200, b"", 'W/"1"')
