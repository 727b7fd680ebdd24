"""The settings tree. Defaults, limits and the sentence for the reference stand beside each setting.

An environment variable is `PELLUCID_` + the path in capitals joined by `_` (`origin.max_bytes` is
`PELLUCID_ORIGIN_MAX_BYTES`); in TOML it is the same path as tables.
"""

from __future__ import annotations

import ipaddress
import json
import math
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from pellucid.cutout.runtime import Precision
from pellucid.errors import SettingsError
from pellucid.folders import default_data_dir, default_models_dir
from pellucid.models.cards import DEFAULT_MODEL
from pellucid.notify.cdn import check_templates
from pellucid.notify.signature import signing_keys
from pellucid.source.weburl import normalise_hosts, parse_web_url
from pellucid.spec import Tier

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
DAY_S = 86_400

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

_KEY_HASH = re.compile(r"([0-9a-f]{64})?")

_ADDRESS_WITH_PORT = re.compile(r"(?:\[([^\]]+)\]|([^:]+)):[0-9]{1,5}")

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def _split(value: object) -> object:
    """A comma-separated text as a list; anything else is left to the validator."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _split_ports(value: object) -> object:
    return None if value == "*" else _split(value)


def _split_map(value: object) -> object:
    """`name=value,name=value` as a mapping."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(equals for _, equals, _ in pairs):
        # A name without a value would be shown by `doctor --settings`, and may be a value without its name.
        raise ValueError("it must read name=value,name=value")
    return {name.strip(): target.strip() for name, _, target in pairs}


def _check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Entries of an allow-list, as they were written."""
    try:
        normalise_hosts(hosts)
    except SettingsError as error:
        raise ValueError(str(error)) from error
    return hosts


def _check_web_url(value: str) -> str:
    """An absolute http or https URL, as it was written. A user name would not be sent."""
    parse_web_url(value)
    if "@" in re.split(r"[/?]", value.partition("://")[2], maxsplit=1)[0] or "#" in value:
        raise ValueError("a URL here has no user name and no '#'")
    return value


def _check_nameserver(value: str) -> None:
    """Raises ValueError for what is no address, with or without a port."""
    with_port = _ADDRESS_WITH_PORT.fullmatch(value)
    address = (with_port[1] or with_port[2]) if with_port else value
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise ValueError(f"{value!r} is no address of a name server") from error


def _read_json(value: object) -> object:
    """A text as the JSON it holds; anything else is left to the validator."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"it must be JSON ({error})") from error


def _expand(value: object) -> object:
    """`~` as a shell would read it: TOML files and container environments pass no shell."""
    return Path(value).expanduser() if isinstance(value, str) and value.startswith("~") else value


Folder = Annotated[Path, BeforeValidator(_expand)]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
TokenName = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,39}$")]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_split)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Ports = Annotated[frozenset[Annotated[int, Field(ge=1, le=65535)]] | None, BeforeValidator(_split_ports)]
Mapping = Annotated[dict[str, str], BeforeValidator(_split_map)]
SecretMapping = Annotated[dict[str, SecretStr], BeforeValidator(_split_map)]
WebUrls = Annotated[tuple[Annotated[str, AfterValidator(_check_web_url)], ...], BeforeValidator(_split)]


def available_cores() -> int:
    """The cores this process may run on: its affinity, and in a container no more than the quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(cores, _quota_cores(_CPU_MAX) or cores))


def _quota_cores(cpu_max: Path) -> int | None:
    """The whole cores of a cgroup v2 quota (`docker --cpus`, Kubernetes limits), rounded up; None without one."""
    try:
        quota, period = cpu_max.read_text().split()
        return None if quota == "max" else math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _half_the_cores() -> int:
    return max(1, available_cores() // 2)


class Section(BaseModel):
    """One table of the tree: frozen, and a name it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


class OriginSettings(Section):
    """Where pictures may come from, and how long what was fetched is believed."""

    allow_networks: Networks = Field(default=(), description="Networks that may be reached although they are private.")
    allow_ports: Ports = Field(default=frozenset({80, 443}), description="Ports that may be reached; `*` for any.")
    allow_hosts: Names = Field(
        default=(), description="Hosts (with their subdomains) that may be fetched from; empty: any."
    )
    nameservers: Names = Field(
        default=(),
        description="Name servers: `address`, `address:port` or, for IPv6, `[address]:port`; empty: resolv.conf's.",
    )
    max_bytes: int = Field(default=50 * MIB, gt=0, description="Largest origin, in bytes after decompression.")
    memory_bytes: int = Field(
        default=256 * MIB,
        gt=0,
        description="Memory for bodies while they are fetched, per web process; `origin.max_bytes` at least.",
    )
    connect_timeout_s: float = Field(default=5, gt=0, description="Seconds for name look-up, connection and TLS.")
    timeout_s: float = Field(default=30, gt=0, description="Seconds for the whole answer.")
    idle_timeout_s: float = Field(default=10, gt=0, description="Seconds of silence between two packets.")
    max_header_bytes: int = Field(default=16 * KIB, gt=0, description="Size of an answer's headers.")
    max_redirects: int = Field(default=5, ge=0, description="Redirects followed, each checked like a first address.")
    concurrency: int = Field(default=64, gt=0, description="Fetches at a time per web process.")
    per_host: int = Field(default=16, gt=0, description="Fetches at a time from one host.")
    fresh_min_s: float = Field(default=60, ge=0, description="An origin is believed at least this long.")
    fresh_max_s: float = Field(
        default=DAY_S, ge=0, description="An origin is asked again after this long at the latest."
    )
    fresh_default_s: float = Field(
        default=3600, ge=0, description="Belief in an origin that says nothing of freshness."
    )
    cache_control: Literal["respect", "ignore"] = Field(
        default="respect",
        description="Whether an origin's `private` and `no-store` hold for its pictures in browsers and CDNs.",
    )
    failure_s: float = Field(default=10, ge=0, description="A failing origin is left alone this long.")
    not_found_s: float = Field(default=30, ge=0, description="A missing origin is left alone this long.")

    @field_validator("memory_bytes")
    @classmethod
    def _hold_one(cls, size_bytes: int, info: ValidationInfo) -> int:
        largest: int = info.data.get("max_bytes", 0)
        if size_bytes < largest:
            raise ValueError(f"one origin may have {largest} bytes (origin.max_bytes), which must fit")
        return size_bytes

    @field_validator("nameservers")
    @classmethod
    def _check_nameservers(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for each in servers:
            _check_nameserver(each)
        return servers


class ImageSettings(Section):
    """Limits on pictures, checked on headers before anything is decoded."""

    max_pixels: int = Field(default=100_000_000, gt=0, description="Largest origin, in pixels.")
    max_output_pixels: int = Field(default=50_000_000, gt=0, description="Largest rendition, in pixels.")
    max_enlarged_pixels: int = Field(
        default=16_000_000,
        gt=0,
        description="Largest rendition that has more pixels than its origin.",
    )
    max_decode_bytes: int = Field(
        default=768 * MIB,
        ge=32 * MIB,
        description="Memory that decoding an origin may take, estimated from its header; beyond that: 422.",
    )


class WebSettings(Section):
    """The processes that speak HTTP."""

    processes: int = Field(default=1, gt=0, description="Web processes on the one port; each has a render pool.")
    wait_s: float = Field(
        default=10, gt=0, le=25, description="Seconds that `bg_pending=wait` holds an answer; `Prefer: wait` up to 25."
    )
    connections: int | None = Field(
        default=None,
        ge=1,
        description="Connections at a time per web process; beyond that those that wait are closed, oldest first.",
    )
    connections_per_client: int = Field(
        default=256,
        gt=0,
        description="Those of one client (an IPv4 address, an IPv6 /64); trusted proxies have no bound of their own.",
    )
    trusted_proxies: Networks = Field(
        default=(ipaddress.IPv4Network("127.0.0.1/32"), ipaddress.IPv6Network("::1/128")),
        description="Networks of proxies in front, whose `X-Forwarded-For` says who the client is.",
    )
    head_timeout_s: float = Field(
        default=10, gt=0, description="Seconds in which the head of a request must have come in full."
    )
    idle_timeout_s: float = Field(
        default=15, gt=0, description="Seconds that a connection is kept between an answer and the next request."
    )
    stall_timeout_s: float = Field(
        default=30, gt=0, description="An answer of which the client takes nothing for so many seconds is dropped."
    )
    unsent_bytes: int = Field(
        default=256 * MIB,
        gt=0,
        description="Answers in memory for slow clients, per web process; beyond that the slowest are dropped.",
    )
    unsent_bytes_per_client: int = Field(
        default=64 * MIB, gt=0, description="Of one client; a single answer may be larger."
    )
    event_streams: int = Field(
        default=500, ge=0, description="Streams of `/-/events` at a time per web process; more get a 503."
    )
    event_streams_per_client: int = Field(default=100, ge=0, description="Streams of one client among them.")
    event_pictures: int = Field(
        default=10_000, gt=0, description="Pictures watched by all streams of a web process; more get a 503."
    )
    event_pictures_per_client: int = Field(default=2_000, gt=0, description="Pictures watched by one client's streams.")
    admin_key: SecretStr = Field(
        default=SecretStr(""),
        description="Opens `/-/invalidate` and all of `/-/usage`, sent as `Authorization: Bearer KEY`; empty: nobody.",
    )
    demo: bool = Field(default=True, description="Serve the demo page at `/`.")
    swap_script: bool = Field(default=True, description="Serve the script that swaps pending pictures, `/-/swap.js`.")


class RenderSettings(Section):
    """The pool of processes that decode and render."""

    processes: int = Field(
        default_factory=_half_the_cores,
        gt=0,
        description="Render processes per web process; large renditions have one more, started when one is asked for.",
    )
    max_waiting: int = Field(
        default=256,
        gt=0,
        description="Renditions that may wait, and as many large ones; beyond that the answer is 503.",
    )
    wait_s: float = Field(default=30, gt=0, description="Seconds that a rendition may wait; then the answer is 503.")
    timeout_s: float = Field(
        default=20,
        gt=0,
        description="A rendition that is worked on for longer is given up, its process replaced.",
    )
    memory_bytes: int = Field(
        default=GIB,
        ge=256 * MIB,
        description="Resident memory of a render process; one that has more is ended, its picture answered with 422.",
    )


class ModelSettings(Section):
    """The model and where it runs."""

    name: str = Field(default=DEFAULT_MODEL, description="The model card to use; see `pellucid models list`.")
    cards: Folder | None = Field(default=None, description="A TOML file with model cards of your own.")
    device: str = Field(default="CPU", description="The device of the runtime.")
    precision: Literal["auto"] | Precision = Field(
        default="auto",
        description="`f32`, `bf16`, `int8`, or `auto`: int8 where the model is calibrated for it, else bf16 where the "
        "CPU computes it. Name one if a fleet's machines differ.",
    )
    quality: Tier = Field(
        default=Tier.STANDARD, description="`fast`, `standard` or `best`: the tier of a URL that names no `bg_quality`."
    )
    threads: int = Field(default=0, ge=0, description="Threads per matte worker; 0: its share of the cores.")
    memory_bytes: int = Field(
        default=GIB,
        ge=512 * MIB,
        description="Memory that a matte worker may take for a picture, beside the loaded model; a picture that takes "
        "more is not cut out (`failed;reason=too-large`).",
    )
    allow_noncommercial: bool = Field(
        default=False, description="Use weights whose licence forbids commercial use or does not clearly allow it."
    )


class QueueSettings(Section):
    """Work owed."""

    depth: int = Field(default=1000, gt=0, description="Jobs that may be owed; beyond that the answer is `busy`.")
    max_attempts: int = Field(default=3, gt=0, description="Attempts before a matte counts as failed.")
    job_timeout_s: float = Field(default=120, gt=0, description="A job that takes longer uses up an attempt.")
    lease_s: float = Field(default=30, gt=0, description="A silent worker loses its job after this long.")


class CacheSettings(Section):
    """Disk space of what can be had again, and the lifetimes told to browsers and CDNs."""

    max_bytes: int = Field(default=10 * GIB, gt=0, description="Origins and renditions on disk. Mattes are kept apart.")
    memory_bytes: int = Field(default=64 * MIB, ge=0, description="Renditions in memory, per web process.")
    min_free_bytes: int = Field(
        default=GIB,
        ge=0,
        description="Free space that the disk keeps. Below it origins and renditions are evicted and no more are "
        "stored, no new matte is owed (`busy`), and uploads get a 503.",
    )
    browser_s: int = Field(default=30 * DAY_S, ge=0, description="Life of a finished picture in browsers (max-age).")
    cdn_s: int = Field(default=365 * DAY_S, ge=0, description="Life of a finished picture in CDNs (s-maxage).")
    pending_s: int = Field(default=5, ge=0, description="Life of the interim while a matte is owed, in both.")
    failed_s: int = Field(
        default=300, ge=0, description="Life of the interim after a failure, or without credits, in both."
    )
    stale_s: int = Field(default=60, ge=0, description="Life of an older cutout while a new one is owed, in both.")
    show_stale: bool = Field(
        default=True,
        description="While a matte is made anew (another recipe, a changed origin), show the older cutout, not the "
        "background.",
    )


class NotifySettings(Section):
    """Webhooks: who is called when a cutout is ready or has failed. They go where origins may be fetched from:
    `origin.allow_networks` and `origin.allow_ports` hold for them, too.
    """

    urls: WebUrls = Field(
        default=(), max_length=8, description="Called for every cutout that becomes ready or fails; a comma is `%2C`."
    )
    allow_hosts: Names = Field(
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

    @field_validator("allow_hosts")
    @classmethod
    def _check_allowed(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return _check_hosts(hosts)

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
    purge_headers: SecretMapping = Field(
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
            _check_web_url(url.replace("{tag}", "t").replace("{url}", "/p"))
        elif body or info.data.get("purge_headers"):
            raise ValueError("purge_body and purge_headers need a purge_url")
        return url


class UploadSettings(Section):
    """Pictures that people send to `/-/uploads`, the demo page for one."""

    enabled: bool = Field(default=True, description="Take uploads.")
    max_bytes: int = Field(default=25 * MIB, gt=0, description="Largest upload.")
    timeout_s: float = Field(default=120, gt=0, description="Seconds that sending an upload may take.")
    keep_s: float = Field(default=DAY_S, gt=0, description="Uploads are deleted after this long.")
    per_client: int = Field(default=50, gt=0, description="Uploads kept of one client (an IPv4 address, an IPv6 /64).")
    per_client_bytes: int = Field(default=250 * MIB, gt=0, description="Bytes kept of one client.")
    total_bytes: int = Field(default=5 * GIB, gt=0, description="Bytes kept of all; beyond that uploads get a 503.")


class CreditSettings(Section):
    """What removals cost, and where that is written down."""

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
    url: SecretStr = Field(
        default=SecretStr(""),
        description="Database of charges and uploads, such as `postgresql://user:password@host/pellucid` (extra "
        "`[postgres]`). Empty: the queue's SQLite file.",
    )

    def price(self, tier: Tier) -> int:
        """Credits of one removal."""
        return {Tier.FAST: self.price_fast, Tier.STANDARD: self.price_standard, Tier.BEST: self.price_best}[tier]


class TokenSettings(Section):
    """A customer: who may ask in their name, and how much they may spend."""

    hosts: Names = Field(default=(), description="Host names of this server whose requests are this customer's.")
    key_hash: SecretStr = Field(
        default=SecretStr(""),
        description="SHA-256 of the customer's key, in hex; `pellucid tokens new` makes both.",
    )
    credits_per_month: int | None = Field(
        default=None, ge=0, description="Credits that may be spent in a month (UTC). Empty: any number."
    )
    origins: Names = Field(
        default=(),
        description="Hosts (with their subdomains) of this customer's pictures. With a limit, new removals by requests "
        "without the customer's key are made of these only; empty: of those in `origin.allow_hosts`.",
    )
    open: bool | None = Field(
        default=None,
        description="With a limit: anybody may spend it on pictures from anywhere. Unset: where `origins` is empty, as "
        "the server's `open` says.",
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

    @field_validator("origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return _check_hosts(origins)

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
    workers: int = Field(default_factory=_half_the_cores, ge=0, description="Matte workers started by `serve`.")
    aliases: Mapping = Field(
        default={}, description="`_name_=https://host/base/`, comma-separated: short names for origins."
    )
    origin: OriginSettings = Field(default_factory=OriginSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    image: ImageSettings = Field(default_factory=ImageSettings)
    render: RenderSettings = Field(default_factory=RenderSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    queue: QueueSettings = Field(default_factory=QueueSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    notify: NotifySettings = Field(default_factory=NotifySettings)
    cdn: CdnSettings = Field(default_factory=CdnSettings)
    uploads: UploadSettings = Field(default_factory=UploadSettings)
    credits: CreditSettings = Field(default_factory=CreditSettings)
    tokens: Annotated[dict[TokenName, TokenSettings], BeforeValidator(_read_json)] = Field(
        default={},
        description='Customers by name: in TOML a table `[tokens.NAME]` each, here as JSON, `{"shop": {"hosts": '
        '["img.shop.example"], "key_hash": "...", "credits_per_month": 100000}}`. Once there are any, requests that '
        "belong to none are those of the token `default`, or refused where there is no token of that name.",
    )
    log: LogSettings = Field(default_factory=LogSettings)

    @field_validator("tokens")
    @classmethod
    def _tell_apart(cls, tokens: dict[str, TokenSettings]) -> dict[str, TokenSettings]:
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
