"""Who may do what: everything that is asked before a handler runs, in one place and one order."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from ipaddress import ip_address

from quart import Request

from proxy.words.addresses import Network

from .house import House, Visit, cookie_name
from .origin import is_foreign
from .refusal import ApiError
from .route import Route

CSRF_HEADER = "x-csrf-token"


async def admitted(house: House, route: Route, request: Request) -> Visit:
    """Return the visit that a request is.

    Raises:
        ApiError: it may not be made.
        StoreError: it is not known who asks.
    """
    _check_form(route, request)
    visit = visit_of(house, request)
    own = visit.own
    if route.role == "signed":
        return visit
    if not route.safe and is_foreign(
        request.headers.get("origin"), request.headers.get("sec-fetch-site"), own
    ):
        raise ApiError(
            "foreign_origin",
            f"This request does not say that it comes from {own}, so it is not taken."
            " Behind a proxy that speaks TLS, server.public_url says where browsers find the gateway.",
        )
    if route.role != "open":
        await _signed_in(visit, route, request)
    return visit


def visit_of(house: House, request: Request) -> Visit:
    """Return the visit that a request is, whoever makes it."""
    public = house.settings.server.public_url
    own = public if public is not None else f"{request.scheme}://{request.host}"
    return Visit(house, _address(house, request), own, request.cookies.get(cookie_name(own)))


def _address(house: House, request: Request) -> str:
    """Return where a request comes from, as the last of our own proxies saw it."""
    proxies = house.settings.dashboard.proxies
    # Some proxies add a field of their own below the client's (RFC 9110 section 5.3: one list).
    told = ",".join(request.headers.getlist("x-forwarded-for"))
    hops = [hop.strip() for hop in told.split(",") if hop.strip()]
    address = request.remote_addr or ""
    while hops and _is_in(address, proxies):
        address = hops.pop()
    return address


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    # A socket that listens for both families tells IPv4 addresses as IPv6 (RFC 4291 section 2.5.5.2).
    plain = getattr(found, "ipv4_mapped", None) or found
    return any(plain in network for network in networks)


async def _signed_in(visit: Visit, route: Route, request: Request) -> None:
    session = None if visit.token is None else await visit.house.sessions.find(visit.token)
    if session is None:
        raise ApiError("unauthorized", "Nobody is signed in, or the session is over.")
    visit.session = session
    offered = request.headers.get(CSRF_HEADER, "")
    if not route.safe and not hmac.compare_digest(offered.encode(), session.csrf.encode()):
        raise ApiError("csrf_token_invalid", "The token of the page is missing or of another session.")
    if session.once and not route.always:
        raise ApiError("password_change_required", "This password was made for one use: set your own first.")
    if route.role == "admin" and not session.admin:
        raise ApiError("permission_denied", "Only an administrator may do this.")
    if route.fresh and visit.house.now() >= session.fresh_until:
        raise ApiError("confirmation_required", "This needs your password again (POST /api/auth/confirm).")
    if route.paced:
        _check_pace(visit.house, session.account)


def _check_pace(house: House, account: int) -> None:
    most = house.settings.dashboard.max_changes
    if wait := house.pace.take(house.now(), account, most):
        raise ApiError(
            "rate_limit_exceeded",
            f"Your account has changed things {most} times within an hour.",
            retry_after=wait,
            field="changes",
        )


def _check_form(route: Route, request: Request) -> None:
    """Refuse what is compressed, for that is never undone, and what is no JSON where a body is read."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ApiError("unsupported_media_type", "The body must not be compressed.")
    if route.body is not None and request.mimetype != "application/json":
        raise ApiError("unsupported_media_type", "The request's content type must be application/json.")
