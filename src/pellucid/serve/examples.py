"""Pure: the example requests that a server prints at its start. They work as printed."""

from __future__ import annotations

from pellucid.customers.customer import Customers

_QUERIES = ("?w=400", "?w=400&bg_remove=1", "?w=400&bg_remove=1&bg_color=456")


def example_lines(base: str, image: str, customers: Customers) -> list[str]:
    """Example requests for `image`, a path on the server at `base` (`http://127.0.0.1:8400`): URLs, or, if requests
    to that address belong to no customer, curl commands with a customer's key or host name.
    """
    urls = [f"{base}{image}{query}" for query in _QUERIES]
    if customers.of_host(base.partition("://")[2]) is not None:
        return ["Try, and reload after a second:", *(f"  {url}" for url in urls)]
    if any(each.key_hash for each in customers):
        header = '"Authorization: Bearer $KEY"'
        opening = "Try in a customer's name, and ask again after a second ($KEY: what `pellucid tokens new` printed):"
    else:
        hosts = sorted(host for each in customers for host in each.hosts)
        if not hosts:
            return [
                "No request is answered: give a token `hosts` or a key (`pellucid tokens new`), or name one `default`."
            ]
        header = f'"Host: {hosts[0]}"'
        opening = f"Try as a visitor of {hosts[0]}, and ask again after a second:"
    return [opening, *(f"  curl -o picture -H {header} '{url}'" for url in urls)]
