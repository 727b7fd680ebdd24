"""The settings tree: what stands at its top, and the tables of `settings.sections`.

An environment variable is `PELLUCID_` + the path in capitals joined by `_` (`origin.max_bytes` is
`PELLUCID_ORIGIN_MAX_BYTES`); in TOML it is the same path as tables.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pellucid.models.folder import default_models_dir
from pellucid.settings.cores import half_the_cores
from pellucid.settings.folders import default_data_dir
from pellucid.settings.sections.accounts import CreditSettings, DatabaseSettings, TokenName, TokenSettings
from pellucid.settings.sections.caches import CacheSettings
from pellucid.settings.sections.mattes import MatteSettings, ModelSettings, QueueSettings
from pellucid.settings.sections.notify import CdnSettings, NotifySettings
from pellucid.settings.sections.origin import OriginSettings, UploadSettings
from pellucid.settings.sections.pixels import ImageSettings, RenderSettings
from pellucid.settings.sections.web import WebSettings
from pellucid.settings.types import Folder, FromJson, Section, StringMap


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is logged."
    )
    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="`auto`: console on a terminal, else JSON."
    )


class SettingsTree(Section):
    """Everything that can be set."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8400, ge=0, le=65535, description="Port to listen on; 0: any free one.")
    open: bool = Field(
        default=False,
        description="Serve any origin to anybody on a public address: an open proxy, on purpose. Anybody may spend a "
        "limit on credits, too.",
    )
    data_dir: Folder = Field(default_factory=default_data_dir, description="Everything the server writes.")
    models_dir: Folder = Field(default_factory=default_models_dir, description="Where model weights lie.")
    workers: int = Field(default_factory=half_the_cores, ge=0, description="Matte workers started by `serve`.")
    aliases: StringMap = Field(
        default={}, description="`_name_=https://host/base/`, comma-separated: short names for origins."
    )
    origin: OriginSettings = Field(default_factory=OriginSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    image: ImageSettings = Field(default_factory=ImageSettings)
    render: RenderSettings = Field(default_factory=RenderSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    mattes: MatteSettings = Field(default_factory=MatteSettings)
    queue: QueueSettings = Field(default_factory=QueueSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    notify: NotifySettings = Field(default_factory=NotifySettings)
    cdn: CdnSettings = Field(default_factory=CdnSettings)
    uploads: UploadSettings = Field(default_factory=UploadSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    credits: CreditSettings = Field(default_factory=CreditSettings)
    tokens: Annotated[dict[TokenName, TokenSettings], FromJson] = Field(
        default={},
        description='Customers by name: in TOML a table `[tokens.NAME]` each, here as JSON, `{"shop": {"hosts": '
        '["img.shop.example"], "key_hash": "...", "credits_per_month": 100000}}`. Once there are any, requests that '
        "belong to none are those of the token `default`, or refused where there is no token of that name. "
        "[What such a table may hold](credits.md#customers).",
    )
    log: LogSettings = Field(default_factory=LogSettings)

    @field_validator("tokens")
    @classmethod
    def _reject_duplicates(cls, tokens: dict[str, TokenSettings]) -> dict[str, TokenSettings]:
        hosts: dict[str, str] = {}
        hashes: dict[str, str] = {}
        for name, token in tokens.items():
            for host in token.hosts:
                if hosts.setdefault(host, name) != name:
                    raise ValueError(f"two tokens share the host {host}")
            key_hash = token.key_hash.get_secret_value()
            if key_hash and hashes.setdefault(key_hash, name) != name:
                raise ValueError(f"two tokens share a key: {hashes[key_hash]} and {name}")
        return tokens
