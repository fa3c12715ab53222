"""Every setting, in one place: PATHWAY_FHIR_ and the name in capitals. A wrong one is refused at start, by its name."""

import json
import os
import re
import secrets
from dataclasses import asdict, dataclass, field, fields
from ipaddress import IPv6Address
from math import inf
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit, urlunsplit

from marshmallow import Schema, ValidationError, validates_schema
from marshmallow.fields import Boolean, Field, Float, Integer, String
from marshmallow.validate import Length, OneOf, Range, Regexp

from mappings.rules import Thresholds

T = TypeVar("T")
PREFIX = "PATHWAY_FHIR_"
DEFAULT_PORTS = {"http": 80, "https": 443}
UNSAID = frozenset('<>"{}|\\^`#' + "".join(map(chr, range(33))))  # what stands in no URL of a service
HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9a-f:.]+\]")
AuditReads = Literal["buffered", "sync"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LogFormat = Literal["json", "text"]
Figures = dict[str, float | int | list[float]]


class _File(Field[Path]):
    """The path of a file."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Path:
        return Path(value)


class _Url(Field[str]):
    """An http or https URL, brought to one form: scheme and host in small letters, a host's other letters as DNS has them, no port that goes without saying."""

    default_error_messages = {"invalid": "should be an http or https URL"}

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        try:
            parts = urlsplit(str(value).strip())
            host, port = parts.hostname or "", parts.port
            host = f"[{IPv6Address(host)}]" if ":" in host else host.encode("idna").decode()
        except ValueError:
            raise self.make_error("invalid") from None
        if parts.scheme not in DEFAULT_PORTS or not HOST.fullmatch(host) or not UNSAID.isdisjoint(value.strip()):
            raise self.make_error("invalid")
        who, at, _ = parts.netloc.rpartition("@")
        shown = "" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}"
        return urlunsplit((parts.scheme, f"{who}{at}{host}{shown}", parts.path, parts.query, ""))


class _Figures(Field[Figures]):
    """The clinic's figures by name, as JSON in the environment."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Figures:
        try:
            found = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValidationError("should be JSON") from None
        if not isinstance(found, dict):
            raise ValidationError("should be a JSON object")
        known = asdict(Thresholds())
        problems = [f"no threshold of this name: {name}" for name in found if name not in known]
        for name in found.keys() & known.keys():
            many = isinstance(known[name], tuple)
            if many != isinstance(found[name], list) or not all(map(_is_number, found[name] if many else [found[name]])):
                problems.append(f"{name} should be {'a list of numbers' if many else 'a number'}")
        if problems:
            raise ValidationError(sorted(problems))
        return found


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and -inf < given < inf


def _setting(default: T, kind: Field[Any], says: str, *, secret: bool = False) -> T:
    """A setting: what it is where nothing is said, how it is read, and what docs/operating.md says of it."""
    kind.allow_none = default is None
    made: T = field(default_factory=lambda: default, metadata={"kind": kind, "says": says}, repr=not secret)
    return made


def _whole(default: int, least: int, most: int | None, says: str) -> int:
    return _setting(default, Integer(validate=Range(least, most)), says)


def _seconds(default: float, most: float, says: str) -> float:
    return _setting(default, Float(validate=Range(0, most, min_inclusive=False)), says)


def _one_of(default: T, kind: Any, says: str) -> T:
    return _setting(default, String(validate=OneOf(get_args(kind))), says)


def _secret(says: str) -> str | None:
    return _setting(None, String(validate=Length(min=32, error="should have at least 32 characters")), says, secret=True)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one deployment. `docs/operating.md` is checked against what is said of each."""

    database_url: str = _setting(
        "sqlite:///var/pathway.db", String(validate=Regexp("sqlite:///|postgresql://", error="should begin with sqlite:/// or postgresql://")),
        "Where the data is: sqlite:///PATH or postgresql://USER@HOST/NAME.", secret=True,
    )  # fmt: skip
    public_url: str = _setting("http://127.0.0.1:8000", _Url(), "The URL that callers reach us by; links and token audiences are made of it.")
    secret: str | None = _secret("The secret from which all keys are derived, at least 32 characters. Resource ids follow from it: keep it.")
    secret_file: Path = _setting(Path("var/secret"), _File(), "Where the secret is read from when it is not set, and made at first start. Keep a copy outside.")
    host: str = _setting("127.0.0.1", String(), "The address that the service listens on.")
    port: int = _whole(8000, 1, 65535, "The port that the service listens on.")
    web_workers: int = _whole(4, 1, 64, "Web processes.")
    web_threads: int = _whole(2, 1, 64, "Threads of each web process.")
    body_limit: int = _whole(2_000_000, 1000, None, "The most bytes that a request's body may have.")
    rate_limit: int = _whole(0, 0, None, "Requests a second that one client may make of one process; 0 for no limit.")
    token_seconds: int = _whole(300, 30, 3600, "How long an access token is good.")
    page_size: int = _whole(50, 1, 1000, "Entries of a page when a caller asks for no number.")
    page_limit: int = _whole(500, 1, 1000, "The most entries of a page.")
    page_seconds: int = _whole(3600, 60, None, "How long a page's link leads to the same state of the data.")
    audit_reads: AuditReads = _one_of("buffered", AuditReads, "buffered: reads are audited within 100 ms; sync: before they are answered.")
    log_level: LogLevel = _one_of("INFO", LogLevel, "How much is logged.")
    log_format: LogFormat = _one_of("json", LogFormat, "Logs as JSON lines, or as text for a terminal.")
    outbound_private: bool = _setting(False, Boolean(), "Whether EHRs may be at private or loopback addresses (demos and tests).")
    worker_threads: int = _whole(4, 1, 64, "Streams that one worker sends at the same time.")
    send_seconds: float = _seconds(20, 300, "The total time that one call to an EHR may take.")
    lease_seconds: float = _seconds(4, 600, "How long a worker may hold a stream without a sign of life.")
    delivery_days: int = _whole(90, 1, None, "For how many days a delivery that has ended is kept, with what was said in its attempts.")
    metrics: bool = _setting(True, Boolean(), "Whether /metrics is served.")
    alarm_url: str | None = _setting(None, _Url(), "An https URL that is told, once each, what is parked, stuck or failing at which EHR.")
    alarm_secret: str | None = _secret("What alarms are signed with, at least 32 characters.")
    alarm_stuck_seconds: int = _whole(900, 1, None, "After how long a delivery that still waits is stuck.")
    alarm_repeat_seconds: int = _whole(86_400, 0, None, "After how long an alarm that still holds is told again; 0 for never.")
    thresholds: Figures = _setting({}, _Figures(), "The clinic's own figures for the clinical rules, as JSON by name.")

    def rule_thresholds(self) -> Thresholds:
        return Thresholds(**{name: tuple(v) if isinstance(v, list) else v for name, v in self.thresholds.items()})  # type: ignore[arg-type]

    @property
    def base(self) -> str:
        """The public URL without a slash at its end."""
        return self.public_url.rstrip("/")


class _Checks(Schema):
    @validates_schema
    def _alarms_are_signed_and_encrypted(self, data: dict[str, Any], **_more: Any) -> None:
        url = data.get("alarm_url")
        if url is not None and data.get("alarm_secret") is None:
            raise ValidationError(f"is needed with {PREFIX}ALARM_URL", "alarm_secret")
        if url is not None and not url.startswith("https://") and not data.get("outbound_private"):
            raise ValidationError("should begin with https://", "alarm_url")


_READ = _Checks.from_dict({one.name: one.metadata["kind"] for one in fields(Settings)}, name="Settings")()


class WrongSetting(Exception):
    """One or more settings cannot be used; the message names each."""


def load(**given: object) -> Settings:
    """The settings of the environment. Raises WrongSetting with the name of each that cannot be used."""
    environment = {name.upper(): value for name, value in sorted(os.environ.items(), key=lambda item: item[0].isupper())}
    named = ((one.name, f"{PREFIX}{one.name.upper()}") for one in fields(Settings))
    found = {name: environment[variable] for name, variable in named if variable in environment}
    try:
        return Settings(**_READ.load({**found, **given}))
    except ValidationError as error:
        lines = [f"{PREFIX}{name.upper()}: {problem}" for name, said in error.messages_dict.items() for problem in said]
        raise WrongSetting("\n".join(lines)) from None


def secret_of(settings: Settings) -> bytes:
    """The deployment's secret: as set, or from its file, which is made the first time with the rights of its owner alone."""
    if settings.secret is not None:
        return settings.secret.encode()
    path = settings.secret_file
    try:
        found = path.read_bytes().strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = secrets.token_hex(32).encode()
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return secret_of(settings)  # another process was quicker
        with os.fdopen(handle, "wb") as file:
            file.write(found + b"\n")
            file.flush()
            os.fsync(file.fileno())
    if len(found) < 32:
        raise WrongSetting(f"{PREFIX}SECRET_FILE: {path} holds fewer than 32 characters")
    return found


def settings_table() -> str:
    """Every setting as a row of a table, as docs/operating.md has it."""
    lines = ["| setting | default | what it is |", "| --- | --- | --- |"]
    for one in fields(Settings):
        default = getattr(Settings(), one.name)
        shown = "" if default in (None, {}) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        lines.append(f"| `{PREFIX}{one.name.upper()}` | {shown} | {one.metadata['says']} |")
    return "\n".join(lines)
