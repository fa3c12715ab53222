"""The FHIR REST API: one route table, and handlers of a call that know no resource type."""
