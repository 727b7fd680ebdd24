"""What removals cost, and the customers who pay."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from pellucid.notify.signature import signing_keys
from pellucid.settings.types import DAY_S, Aliases, HeadersByHost, Hosts, Names, SecondsMap, Section, WebUrls
from pellucid.spec import Tier

TokenName = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,39}$")]

_KEY_HASH = re.compile(r"([0-9a-f]{64})?")


class CreditSettings(Section):
    """What removals cost."""

    price_fast: int = Field(default=100, ge=0, description="Credits of a removal with `bg_quality=fast`.")
    price_standard: int = Field(default=200, ge=0, description="Credits of a removal with `bg_quality=standard`.")
    price_best: int = Field(default=400, ge=0, description="Credits of a removal with `bg_quality=best`.")
    per_month: int | None = Field(
        default=None,
        ge=0,
        description="Credits that may be spent in a month (UTC) where no `tokens` are configured. Empty: any number. "
        "With a limit, new removals need an alias, a host of `origin.allow_hosts`, or `open`.",
    )
    header: bool = Field(
        default=True, description="Say in `Pellucid-Credits` what a cutout cost and what is left of a limit."
    )
    charge_every_s: float = Field(
        default=DAY_S,
        ge=0,
        description="A customer is charged for one origin and tier once in this time, however often its bytes change "
        "(a webcam); each change is cut out. 0: each change is charged.",
    )
    charge_every: SecondsMap = Field(
        default={},
        description="`host=seconds`, comma-separated: other times for single hosts (with their subdomains) or aliases.",
    )

    def price(self, tier: Tier) -> int:
        """Credits of one removal."""
        return {Tier.FAST: self.price_fast, Tier.STANDARD: self.price_standard, Tier.BEST: self.price_best}[tier]


class DatabaseSettings(Section):
    """Where it is written down what is owed, charged, known and told."""

    url: SecretStr = Field(
        default=SecretStr(""),
        description="Such as `postgresql://user:password@host/pellucid` (extra `[postgres]`). Empty: a SQLite file, "
        "`pellucid.sqlite` in the data directory.",
    )


class TokenSettings(Section):
    """A customer: who may ask in their name, how much they may spend, and what else is theirs."""

    hosts: Names = Field(default=(), description="Host names of this server whose requests are this customer's.")
    key_hash: SecretStr = Field(
        default=SecretStr(""),
        description="SHA-256 of the customer's key, in hex; `pellucid tokens new` makes both.",
    )
    credits_per_month: int | None = Field(
        default=None, ge=0, description="Credits that may be spent in a month (UTC). Empty: any number."
    )
    origins: Hosts = Field(
        default=(),
        description="Hosts (with their subdomains) of this customer's pictures. With a limit, new removals by requests "
        "without the customer's key are made of these only; empty: of those in `origin.allow_hosts`.",
    )
    open: bool | None = Field(
        default=None,
        description="With a limit: anybody may spend it on pictures from anywhere. Unset: where `origins` is empty, as "
        "the server's `open` says.",
    )
    aliases: Aliases = Field(
        default={},
        description="Like `aliases`, for this customer alone; it sees those of all as well, unless one of its own has "
        "the name.",
    )
    quality: Tier | None = Field(
        default=None, description="Like `model.quality`: the tier of this customer's URLs that name no `bg_quality`."
    )
    browser_s: int | None = Field(default=None, ge=0, description="Like `cache.browser_s`.")
    cdn_s: int | None = Field(default=None, ge=0, description="Like `cache.cdn_s`.")
    pending_s: int | None = Field(default=None, ge=0, description="Like `cache.pending_s`.")
    failed_s: int | None = Field(default=None, ge=0, description="Like `cache.failed_s`.")
    stale_s: int | None = Field(default=None, ge=0, description="Like `cache.stale_s`.")
    origin_headers: HeadersByHost = Field(
        default={},
        description="Like `origin.headers`, for what is fetched for this customer; of these two, its own go first.",
    )
    notify_secret: SecretStr = Field(default=SecretStr(""), description="Signs what goes to `notify_urls`.")
    notify_urls: WebUrls = Field(
        default=(), max_length=4, description="Called for every cutout of this customer that becomes ready or fails."
    )

    @field_validator("notify_urls")
    @classmethod
    def _sign(cls, urls: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        secret: SecretStr | None = info.data.get("notify_secret")
        if urls and secret is not None and not secret.get_secret_value():
            raise ValueError("webhooks are signed, so notify_urls need a notify_secret; `openssl rand -base64 32`")
        return urls

    @field_validator("key_hash")
    @classmethod
    def _check_hash(cls, secret: SecretStr) -> SecretStr:
        # Hidden like a secret: it is where a key is pasted by mistake.
        if not _KEY_HASH.fullmatch(secret.get_secret_value()):
            raise ValueError("it must be the SHA-256 of the key, 64 digits and letters a to f")
        return secret

    @field_validator("notify_secret")
    @classmethod
    def _read(cls, secret: SecretStr) -> SecretStr:
        signing_keys(secret.get_secret_value())
        return secret

    @field_validator("hosts")
    @classmethod
    def _lower(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host.lower().rstrip(".") for host in hosts)
