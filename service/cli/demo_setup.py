"""What the demo sets up besides processes: three callers with their tokens, and the sandbox's EHRs as targets."""

import json
from dataclasses import dataclass
from pathlib import Path

import requests
from joserfc.jwk import ECKey, KeySet

from mappings.disclosure import Level
from service import operating
from service.config import Settings
from service.security import clients
from service.security.clients import Client
from service.security.scopes import parse
from service.store import targets
from service.store.clock import micros
from service.store.targets import Target
from service.wiring import Service, wire

A_DAY = 86_400
# Resource ids follow from it: those in openapi.yaml are there in the demo too.
SECRET = "the secret of the examples, which is no secret"  # noqa: S105


@dataclass(frozen=True)
class SandboxEhr:
    name: str
    persona: str
    path: str
    level: Level


EHRS = (
    SandboxEhr("sandbox-plain", "plain", "/fhir/r4", Level.C2),
    SandboxEhr("sandbox-epic", "epic", "/epic/fhir/r4", Level.C1),
)
CALLERS = {
    "ehr": Client("demo-ehr", "An EHR that pulls", int(Level.C1), parse("system/*.rs"), role="ehr"),
    "clinic": Client("demo-clinic", "The clinic's software", int(Level.C3), parse("system/*.cruds"), role="clinic"),
    "engineer": Client("demo-engineer", "An integration engineer", int(Level.C3), parse("system/*.cruds pathway/operate"), role="clinic"),
}


@dataclass(frozen=True)
class Demo:
    directory: Path
    port: int
    sandbox_port: int

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def key(self) -> Path:
        return self.directory / "ehr-key.json"

    @property
    def secret(self) -> Path:
        return self.directory / "secret"

    def token(self, caller: str) -> Path:
        return self.directory / f"{caller}.token"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATHWAY_FHIR_DATABASE_URL": f"sqlite:///{self.directory / 'pathway.db'}", "PATHWAY_FHIR_SECRET_FILE": str(self.secret),
            "PATHWAY_FHIR_PORT": str(self.port), "PATHWAY_FHIR_PUBLIC_URL": self.base, "PATHWAY_FHIR_OUTBOUND_PRIVATE": "true",
        }  # fmt: skip

    def session(self, caller: str) -> requests.Session:
        made = requests.Session()
        made.trust_env = False
        made.headers["Authorization"] = f"Bearer {self.token(caller).read_text().strip()}"
        return made

    def settings(self) -> Settings:
        return Settings(database_url=self.environment["PATHWAY_FHIR_DATABASE_URL"], secret_file=self.secret, outbound_private=True)


def begin(made: Demo) -> None:
    """Makes the demo's directory and its secret, where they are not there yet."""
    made.directory.mkdir(parents=True, exist_ok=True)
    if not made.secret.exists():
        _private(made.secret, SECRET)


def prepare(made: Demo) -> None:
    """Registers what is not registered yet, and makes a token of a day for each caller."""
    service = wire(made.settings())
    try:
        _callers(made, service)
        _ehrs(made, service)
    finally:
        service.close()


def _callers(made: Demo, service: Service) -> None:
    now = micros(service.tenant.now())
    key = _key(made)
    for name, caller in CALLERS.items():
        keyed = Client(**{**caller.__dict__, "jwks": KeySet([key]).as_dict(private=False)}) if name == "ehr" else caller
        with service.database.glance() as connection:
            known = clients.get(connection, caller.id)
        if known is None:
            service.database.write(lambda tx, keyed=keyed: clients.add(tx, keyed, now))  # type: ignore[misc]
        token = service.database.write(lambda tx, keyed=keyed: clients.issue(tx, keyed, keyed.scopes, A_DAY, now))  # type: ignore[misc]
        _private(made.token(name), token)


def _key(made: Demo) -> ECKey:
    if made.key.exists():
        return ECKey.import_key(json.loads(made.key.read_text()))
    key = ECKey.generate_key("P-384", {"kid": "demo-ehr-1", "use": "sig", "alg": "ES384"}, private=True)
    _private(made.key, json.dumps(key.as_dict(private=True)))
    return key


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text + "\n")


def _ehrs(made: Demo, service: Service) -> None:
    now = micros(service.tenant.now())
    for ehr in EHRS:
        url = made.sandbox + ehr.path
        found = Target(ehr.name, url, "4.0.1", int(ehr.level), None, "ehr", False, 4, 0, 0, settings={"create_people": True, "private": True})
        with service.database.glance() as connection:
            known = targets.get(connection, ehr.name)
        if known is None:
            service.database.write(lambda tx, found=found: operating.add_ehr(service.tenant, tx, found, None, now))  # type: ignore[misc]
        elif known.base_url != url:
            service.database.write(lambda tx, name=ehr.name, url=url: targets.change(tx, name, base_url=url))  # type: ignore[misc]
