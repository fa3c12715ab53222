"""Plain: an EHR that takes everything, by the standard, as a HAPI FHIR server with its defaults does.

| fact | here |
| --- | --- |
| several interactions in one transaction, which is done or not, and in a batch | system |
| every version that ever was is told, of one resource, of a type, and of all | types, system |
| it takes every type of a clinic's records, to read, create, update and delete | types |
| a patch is a JSON Patch | the server's own way |
| If-None-Exist: none found 201, one 200, several 412 (F1) | conditional_create |
| a stale If-Match is 412; without one an update goes through | the server's own way |
| an update that changes nothing is a new version all the same (HAPI's default is not to make one) | the server's own way |
| the id is the server's: an update of an id that it does not know is 404 | the server's own way |
| a reference to what is not there is 400, a required element that is missing 422 | the server's own way |
| what others refer to is not deleted: 409 | the server's own way |
"""

from sandbox.personas.persona import CLINIC_TYPES, INTERACTIONS, SYSTEM_INTERACTIONS, Persona

PLAIN = Persona(
    name="plain",
    title="Plain FHIR server",
    path="/fhir/r4",
    types=dict.fromkeys(CLINIC_TYPES, frozenset(INTERACTIONS)),
    system=frozenset(SYSTEM_INTERACTIONS),
    conditional_create=True,
    last_updated=True,
)
