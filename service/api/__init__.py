"""Our own JSON for the clinic's software: one set of routes for all kinds, from which openapi.yaml is written."""
