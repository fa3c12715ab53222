"""Every setting, in one place: PATHWAY_FHIR_ and the name in capitals. A wrong one is refused at start, by its name."""

import os
import secrets
from pathlib import Path
from typing import Literal

from pydantic import AnyHttpUrl, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from mappings.rules import Thresholds

PREFIX = "PATHWAY_FHIR_"


class Settings(BaseSettings):
    """The settings of one deployment. `docs/operating.md` is checked against these descriptions."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    database_url: str = Field("sqlite:///var/pathway.db", description="Where the data is: sqlite:///PATH or postgresql://USER@HOST/NAME.")
    public_url: AnyHttpUrl = Field(
        AnyHttpUrl("http://127.0.0.1:8000"), description="The URL that callers reach us by; links and token audiences are made of it."
    )
    secret: SecretStr | None = Field(
        None, description="The secret from which all keys are derived, at least 32 characters. Resource ids follow from it: keep it."
    )
    secret_file: Path = Field(Path("var/secret"), description="Where the secret is read from when it is not set, and made at first start. Keep a copy outside.")
    host: str = Field("127.0.0.1", description="The address that the service listens on.")
    port: int = Field(8000, ge=1, le=65535, description="The port that the service listens on.")
    web_workers: int = Field(2, ge=1, le=64, description="Web processes.")
    web_threads: int = Field(4, ge=1, le=64, description="Threads of each web process.")
    body_limit: int = Field(2_000_000, ge=1000, description="The most bytes that a request's body may have.")
    rate_limit: int = Field(0, ge=0, description="Requests a second that one client may make of one process; 0 for no limit.")
    token_seconds: int = Field(300, ge=30, le=3600, description="How long an access token is good.")
    page_size: int = Field(50, ge=1, le=1000, description="Entries of a page when a caller asks for no number.")
    page_limit: int = Field(500, ge=1, le=1000, description="The most entries of a page.")
    page_seconds: int = Field(3600, ge=60, description="How long a page's link leads to the same state of the data.")
    audit_reads: Literal["buffered", "sync"] = Field("buffered", description="buffered: reads are audited within 100 ms; sync: before they are answered.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged.")
    log_format: Literal["json", "text"] = Field("json", description="Logs as JSON lines, or as text for a terminal.")
    outbound_private: bool = Field(False, description="Whether EHRs may be at private or loopback addresses (demos and tests).")
    worker_threads: int = Field(4, ge=1, le=64, description="Streams that one worker sends at the same time.")
    send_seconds: float = Field(20, gt=0, le=300, description="The total time that one call to an EHR may take.")
    lease_seconds: float = Field(4, gt=0, le=600, description="How long a worker may hold a stream without a sign of life.")
    delivery_days: int = Field(90, ge=1, description="For how many days a delivery that has ended is kept, with what was said in its attempts.")
    metrics: bool = Field(True, description="Whether /metrics is served.")
    alarm_url: AnyHttpUrl | None = Field(None, description="An https URL that is told, once each, what is parked, stuck or failing at which EHR.")
    alarm_secret: SecretStr | None = Field(None, description="What alarms are signed with, at least 32 characters.")
    alarm_stuck_seconds: int = Field(900, ge=1, description="After how long a delivery that still waits is stuck.")
    alarm_repeat_seconds: int = Field(86_400, ge=0, description="After how long an alarm that still holds is told again; 0 for never.")
    thresholds: dict[str, float | int | list[float]] = Field(
        default_factory=dict, description="The clinic's own figures for the clinical rules, as JSON by name."
    )

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value.startswith(("sqlite:///", "postgresql://")):
            raise ValueError("should begin with sqlite:/// or postgresql://")
        return value

    @field_validator("secret", "alarm_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("should have at least 32 characters")
        return value

    @field_validator("thresholds")
    @classmethod
    def _known_thresholds(cls, value: dict[str, float | int | list[float]]) -> dict[str, float | int | list[float]]:
        unknown = set(value) - set(Thresholds.__dataclass_fields__)
        if unknown:
            raise ValueError(f"no thresholds of this name: {', '.join(sorted(unknown))}")
        return value

    @model_validator(mode="after")
    def _alarms_are_signed_and_encrypted(self) -> "Settings":
        if self.alarm_url is not None and self.alarm_secret is None:
            raise ValueError(f"{PREFIX}ALARM_SECRET: is needed with {PREFIX}ALARM_URL")
        if self.alarm_url is not None and self.alarm_url.scheme != "https" and not self.outbound_private:
            raise ValueError(f"{PREFIX}ALARM_URL: should begin with https://")
        return self

    def rule_thresholds(self) -> Thresholds:
        return Thresholds(**{name: tuple(v) if isinstance(v, list) else v for name, v in self.thresholds.items()})  # type: ignore[arg-type]

    @property
    def base(self) -> str:
        """The public URL without a slash at its end."""
        return str(self.public_url).rstrip("/")


class WrongSetting(Exception):
    """One or more settings cannot be used; the message names each."""


def load(**given: object) -> Settings:
    """The settings of the environment. Raises WrongSetting with the name of each that cannot be used."""
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [": ".join([*(f"{PREFIX}{str(name).upper()}" for name in e["loc"][:1]), e["msg"].removeprefix("Value error, ")]) for e in error.errors()]
        raise WrongSetting("\n".join(lines)) from None
    except ValueError as error:  # what should be JSON and is not
        raise WrongSetting(str(error)) from None


def secret_of(settings: Settings) -> bytes:
    """The deployment's secret: as set, or from its file, which is made the first time with the rights of its owner alone."""
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
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
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "" if default in (None, {}) else f"`{str(default).lower() if isinstance(default, bool) else str(default).rstrip('/')}`"
        lines.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(lines)
