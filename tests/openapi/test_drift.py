"""openapi.yaml is what the code makes of it, and each of its examples a call that has this answer."""

import json

import pytest

from service.openapi.document import document, operations
from service.openapi.page import page_of
from service.site import page_document
from tests.openapi import reading
from tests.openapi.recording import FILE, HEAD, Worlds, received

STALE = "openapi.yaml is stale: make openapi"


def test_the_document_is_the_one_that_would_be_written_now() -> None:
    assert FILE.read_text(encoding="utf-8").startswith(HEAD)
    assert document(reading.examples()) == reading.there(), STALE


def test_the_page_is_shown_what_the_document_says() -> None:
    assert json.loads(page_document()) == json.loads(json.dumps(page_of(reading.there()), default=str)), STALE


@pytest.mark.parametrize("tag", sorted({"errors", *(operation.tag for operation in operations())}))
def test_every_example_has_the_answer_that_is_documented(among: Worlds, tag: str) -> None:
    for _, operation, status, request, documented in [call for call in reading.calls() if call[0] == tag]:
        answer = among.answer(request)
        assert answer.status_code == status, (operation.id, request, answer.text[:500])
        response = reading.resolved(reading.operation_of(operation)["responses"][str(status)])
        for name in response["headers"]:
            assert name in answer.headers or name == "Link" or (name == "WWW-Authenticate" and status == 403), (operation.id, status, name)
        if "content" not in response:
            assert answer.data == b"", (operation.id, status)
            continue
        [(type_, content)] = response["content"].items()
        assert answer.mimetype == type_, (operation.id, status, answer.mimetype)
        body = received(operation, answer)
        assert reading.wrong(content["schema"], json.loads(answer.data) if type_.endswith("json") and "ndjson" not in type_ else answer.text) == [], (operation.id, status)
        assert json.loads(json.dumps(body, default=float)) == documented, f"{operation.id} {status}: {STALE}"
