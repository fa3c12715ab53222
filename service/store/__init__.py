"""Tables and what is done with them. Knows no FHIR and no kind: entities, resources and deliveries are documents here."""
