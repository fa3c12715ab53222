"""One entity's journey: pushed as our JSON, read as FHIR, by readers of every level."""


def test_a_whole_pathway_is_pushed_and_pushed_again_without_change(pathway, web) -> None:
    from tests.conftest import examples

    for plural, id_, entity in examples():
        reply = pathway.put(f"/api/v1/{plural}/{id_}", entity)
        assert (reply.status, reply.json["changed"], reply.json["version"]) == (200, False, 1), reply


def test_an_ehr_reads_what_its_level_allows(pathway, reader) -> None:
    for level, kinds in ((0, {"Encounter", "Patient"}), (1, {"CarePlan", "MedicationAdministration"}), (2, {"Task"})):
        found = reader(level)
        for type_ in kinds:
            bundle = found.get(f"/fhir/r4/{type_}?_summary=count")
            assert bundle.status == 200 and bundle.json["total"] > 0, (level, type_, bundle)
            below = reader(level - 1).get(f"/fhir/r4/{type_}?_summary=count")
            assert below.json["total"] == 0 or level == 0
