"""What an operator is told: deliveries with their attempts, conflicts, EHRs and how they fare, and how one stood when it was reconciled."""

from mappings import KINDS
from service.contending import KEPT
from service.openapi.schemas import CLASS, MOMENT, Schema, listed, number, record, ref, text
from service.operating import EVERY, EVERY_BETWEEN, LINKED
from service.registering import LEVELS, MOST_IN_FLIGHT, RATES
from service.store.conflicts import STATES as CONFLICT_STATES
from service.store.copies import REMOTE_ID
from service.store.outbox import STATES


def schemas() -> dict[str, Schema]:
    return {**_deliveries(), **_conflicts(), **_ehrs(), **_pulls()}


NAMED = record("A record, by its kind and key.", {"kind": {"type": "string", "enum": list(KINDS)}, "id": text("The record's key.")})


def _deliveries() -> dict[str, Schema]:
    headers = {"type": "object", "additionalProperties": {"type": "string"}, "description": "Headers that tell something and let nobody in."}
    called = record("A call to the EHR.", {
        "method": text("GET, POST, PUT, DELETE."), "path": text("Below the EHR's base, without the values of parameters."), "requestHeaders": headers,
    }, {
        "status": number("The status of the answer."), "responseHeaders": headers, "problem": text("Why there was no answer."),
        "requestBody": text("What was sent, of an attempt that failed, up to a limit."), "responseBody": text("What was answered, likewise."),
    })  # fmt: skip
    attempt = record("One attempt to deliver.", {
        "number": number("Its number, from 1.", minimum=1), "at": MOMENT, "endedAt": {"type": ["string", "null"], "format": "date-time"},
        "request": text("What was sent."), "outcome": text("What came of it."), "status": {"type": ["integer", "null"]},
        "words": {"type": ["string", "null"], "description": "The EHR's own words."},
        "calls": listed(called, "The calls of which it was made, the last of them."),
    })  # fmt: skip
    delivery = record("One resource on its way to one EHR.", {
        "id": number("The delivery's number."), "ehr": text("The EHR's name."), "state": {"type": "string", "enum": list(STATES)},
        "attempts": number("How often it was tried."), "resource": ref("ResourceId"), "entity": NAMED, "createdAt": MOMENT, "changedAt": MOMENT,
    }, {
        "remoteId": text("The EHR's own id of the resource."), "nextAt": MOMENT | {"description": "When it is tried next."},
        "replays": number("The delivery that this one replays."), "reason": text("Why it is in this state."), "log": listed(ref("Attempt")),
    })  # fmt: skip
    return {
        "Attempt": attempt,
        "Changed": record("Deliveries that were changed.", {
            "numbers": listed(number("A delivery's number.")), "more": {"type": "boolean", "description": "Whether there may be more that are chosen."},
        }),
        "Delivery": delivery, "DeliveryPage": record("Deliveries, the newest first.", {"items": listed(ref("Delivery"))}),
    }  # fmt: skip


def _conflicts() -> dict[str, Schema]:
    element = record("An element of the resource in which not both can be right. Its values are for who sees all of the patient.", {
        "element": text("The element, after its type."),
    }, {
        "base": {"description": "What both last agreed on, null where it was not there."}, "ours": {"description": "What we say."},
        "theirs": {"description": "What the EHR says."},
    })  # fmt: skip
    problem = record("Why something of theirs cannot be taken into the record.", {
        "path": text("A FHIRPath into the resource, or a JSON pointer into the record."), "problem": text("What is wrong there."),
    })  # fmt: skip
    required = {
        "id": number("The conflict's number."), "ehr": text("The EHR's name."),
        "state": {
            "type": "string", "enum": list(CONFLICT_STATES), "description": "open until ours or theirs is kept, both agree again, or a newer one is noted.",
        },
        "at": MOMENT, "resource": ref("ResourceId"), "entity": NAMED, "elements": listed(element),
    }  # fmt: skip
    optional = {
        "settledAt": MOMENT, "delivery": number("The delivery that could not be made; none where the change came in."),
        "problems": listed(problem, "Why theirs cannot be taken whoever is right, for who sees all of the patient."),
    }  # fmt: skip
    return {
        "Conflict": record("What both we and an EHR changed.", required, optional),
        "ConflictPage": record("Conflicts, the newest first, without what both sides say.", {"items": listed(ref("Conflict"))}),
        "Choice": record("Who is right.", {"keep": {"type": "string", "enum": list(KEPT), "description": "Whose stands."}}),
        "Settled": record("A conflict that was settled.", required | {
            "notTaken": listed(problem, "Why theirs, which stands there, was not taken into the record; nothing where it was."),
        }, optional),
    }  # fmt: skip


def _ehrs() -> dict[str, Schema]:
    return {
        "Ehr": record("An external EHR, and how it is faring.", {
            "id": text("The EHR's name."), "baseUrl": text("Its FHIR base.", format="uri"), "fhirVersion": text("The FHIR version that it speaks."),
            "level": CLASS, "organisation": {"type": ["string", "null"]}, "role": {"type": ["string", "null"]},
            "createPeople": {"type": "boolean", "description": "Whether people and places are created there, or matched by an operator."},
            **_sent(), "types": {"anyOf": [listed(ref("FhirType")), {"type": "null"}], "description": "The types that it is owed; null for all."},
            "state": {"type": "string", "enum": ["open", "degraded", "paused", "snoozed"]}, "snoozedUntil": {"type": ["string", "null"], "format": "date-time"},
            "failures": number("Failures in a row."),
            "problem": {"type": ["string", "null"], "description": "What keeps us out of it, or did when it was last asked."},
            "lacking": listed(text("A scope that was asked for, as far as it was not granted: what makes it degraded.")),
            "oldestWaitingSeconds": {"type": ["number", "null"]}, "software": {"type": ["string", "null"]},
            "deliveries": {"type": "object", "additionalProperties": {"type": "integer"}, "description": "How many are in which state."},
            "lastMinute": record("Attempts of the last minute.", {"delivered": number("That succeeded."), "failed": number("That did not.")}),
            "breaker": {"type": "string", "enum": ["open", "closed"], "description": "open: it failed so often that it is left alone for a while."},
        }, {
            "catchingUp": record("How far it is caught up with: what was there before it was added.", {
                "lookedAt": number("Patients and places looked at."), "of": number("How many there are."),
            }),
        }),
        "EhrChange": record("What of an EHR is to be another.", {}, {
            "level": {"type": "string", "enum": list(LEVELS), "description": "What it is sent where no consent says otherwise."},
            "organisation": {"type": ["string", "null"]}, "role": {"type": ["string", "null"]},
            "types": {"anyOf": [listed(ref("FhirType")) | {"minItems": 1}, {"type": "null"}], "description": "The types that it is sent; null for all."},
            "createPeople": {"type": "boolean", "description": "Whether people and places are created there."}, **_sent(),
        }) | {"minProperties": 1},
        "RemovedEhr": record("An EHR that was ended.", {"ehr": text("Its name."), "givenUp": number("How many deliveries were open, and are given up.")}),
        "EhrList": record("Every EHR.", {"items": listed(ref("Ehr"))}),
        "Reconciliation": record("How an EHR stood when all of it was last looked at.", {
            "ehr": text("The EHR's name."), "at": MOMENT, "seconds": {"type": "number", "description": "How long it took."},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}, "description": "How many resources are of which verdict."},
            "complete": {"type": "boolean", "description": "Whether all could be looked through."},
            "problems": listed(text("What kept it from being all.")),
        }),
    }  # fmt: skip


def _sent() -> dict[str, Schema]:
    return {
        "documents": {"type": "boolean", "description": "Whether what it does not take goes there as a DocumentReference."},
        "transactions": {"type": "boolean", "description": "Whether what is sent of one patient goes in one Bundle."},
        "maxInFlight": number("Streams sent to it at the same time.", minimum=1, maximum=MOST_IN_FLIGHT),
        "rate": {
            "type": ["number", "null"], "minimum": RATES[0], "maximum": RATES[1],
            "description": "Calls a second at most, of all workers together; null for as many as can be.",
        },
    }  # fmt: skip


def _pulls() -> dict[str, Schema]:
    least, most = EVERY_BETWEEN
    remote = text("The EHR's id of it.", pattern=f"^{REMOTE_ID.pattern}$")
    return {
        "Pull": record("How far the pull of a type from an EHR has come.", {
            "ehr": text("The EHR's name."), "type": ref("FhirType"), "every": number("Seconds from one pull to the next."),
            "state": {
                "type": "string", "enum": ["new", "current", "held"],
                "description": "new: there was none yet; current: the last one saw everything; held: it did not, and the next one begins at the same place.",
            },
            "nextAt": MOMENT | {"description": "When it is due."},
        }, {
            "at": text("The EHR's own time of the last change that was seen."), "held": text("Why it does not go on."),
            "pulledAt": MOMENT | {"description": "When it was pulled the last time."},
        }),
        "PullList": record("The types whose changes come in from an EHR.", {"items": listed(ref("Pull"))}),
        "Pulls": record("What is to be pulled, and how often.", {"types": listed(ref("FhirType"), "The types whose changes come in; none for nothing.")}, {
            "every": number("Seconds from one pull to the next.", minimum=least, maximum=most, default=EVERY),
        }),
        "Link": record("Who or what it is at the EHR.", {"remoteId": remote}, {
            "samePerson": {"type": "boolean", "description": "Two patients of ours may be this one there: they are the same person.", "default": False},
        }),
        "Linked": record("A person or place of ours that is one of the EHR's own.", {
            "ehr": text("The EHR's name."), "type": {"type": "string", "enum": list(LINKED)}, "id": text("The clinic's own key of it."), "remoteId": remote,
        }),
    }  # fmt: skip
