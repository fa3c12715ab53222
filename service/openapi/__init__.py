"""openapi.yaml, written from the route tables, the schemas and the search parameters. Pure: examples come in, a document goes out.

    document.py     the whole: every operation of every route table, with its examples in their places
    operations.py   what an operation is; records.py, exchange.py, fhir.py and site.py expand the route tables into operations
    schemas.py      what bodies look like; parameters.py and headers.py what goes with them; answers.py the errors
    writing.py      a document as YAML; page.py as the page at /docs reads it

The examples are recorded from real calls, and played again, by tests/openapi. `make openapi` writes the files.
"""
