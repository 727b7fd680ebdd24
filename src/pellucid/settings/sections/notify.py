"""Who is told: webhooks of cutouts, and the CDN of origins that were invalidated."""

from __future__ import annotations

import re

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from pellucid.notify.cdn import check_templates
from pellucid.notify.signature import signing_keys
from pellucid.settings.types import Hosts, SecretMap, Section, WebUrls, check_web_url

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class NotifySettings(Section):
    """Webhooks: who is called when a cutout is ready or has failed. They go where origins may be fetched from:
    `origin.allow_networks` and `origin.allow_ports` hold for them, too.
    """

    urls: WebUrls = Field(
        default=(), max_length=8, description="Called for every cutout that becomes ready or fails; a comma is `%2C`."
    )
    allow_hosts: Hosts = Field(
        default=(), description="Hosts (with their subdomains) that a request's `bg_notify` may name; empty: none."
    )
    secret: SecretStr = Field(
        default=SecretStr(""),
        description="Signs webhooks, which are not sent without it: `whsec_` and 24 to 64 bytes in base64. Two, "
        "comma-separated, while it is changed.",
    )
    timeout_s: float = Field(default=10, gt=0, description="Seconds for one call, everything included.")
    max_attempts: int = Field(default=8, gt=0, description="Attempts before a call is given up.")
    backoff_s: float = Field(
        default=5, gt=0, description="The pause after the first failed attempt; each further one is five times longer."
    )
    backoff_max_s: float = Field(default=6 * 3600, gt=0, description="The longest pause between two attempts.")
    concurrency: int = Field(default=16, gt=0, description="Calls at a time per web process.")

    @field_validator("secret")
    @classmethod
    def _sign(cls, secret: SecretStr, info: ValidationInfo) -> SecretStr:
        keys = signing_keys(secret.get_secret_value())
        if not keys and (info.data.get("urls") or info.data.get("allow_hosts")):
            raise ValueError(
                "webhooks are signed, so notify.urls and notify.allow_hosts need a secret that receivers know; "
                "`openssl rand -base64 32` makes one"
            )
        return secret


class CdnSettings(Section):
    """The CDN in front: what it is told when origins are invalidated."""

    purge_method: str = Field(default="POST", pattern="^[A-Z]+$", description="Method of a purge, such as `PURGE`.")
    purge_headers: SecretMap = Field(
        default={}, description="`name=value`, comma-separated: headers of a purge, such as its API key."
    )
    purge_body: str = Field(
        default="",
        description='Body of a purge, such as `{"tags":{tags}}`: `{tags}` becomes a JSON list of up to 30 cache tags.',
    )
    purge_url: str = Field(
        default="",
        description="Where purges go: one for each cache tag if it holds `{tag}`, one for each picture's path if it "
        "holds `{url}`. Empty: none are sent.",
    )
    targeted: bool = Field(default=False, description="Send `CDN-Cache-Control` (RFC 9213).")

    @field_validator("purge_headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            text = value.get_secret_value()
            if not _HEADER_NAME.fullmatch(name) or not text or not text.isprintable():
                # Not repeated: `Authorization: Bearer KEY`, written with a colon, would be a name.
                raise ValueError("one is no name of a header, or its value is none; write name=value")
        return headers

    @field_validator("purge_url")
    @classmethod
    def _fill(cls, url: str, info: ValidationInfo) -> str:
        body: str = info.data.get("purge_body", "")
        if url:
            check_templates(url, body)
            check_web_url(url.replace("{tag}", "t").replace("{url}", "/p"))
        elif body or info.data.get("purge_headers"):
            raise ValueError("purge_body and purge_headers need a purge_url")
        return url
