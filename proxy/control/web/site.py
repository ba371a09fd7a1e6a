"""The pages: who may see which, and their files. What they show they ask the API for, as anybody could."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

from quart import Response, g, render_template, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from proxy.bank.store import StoreError
from proxy.control.api.guard import visit_of
from proxy.control.api.house import House
from proxy.control.passwords import SHORTEST
from proxy.control.sessions import Session

from .assets import assets

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FOR_GOOD: Final = "public, max-age=31536000, immutable"


class Page(NamedTuple):
    """A page. Its template and its module have its name."""

    path: str
    name: str
    title: str
    who: Literal["open", "once", "user", "admin"] = "user"
    """`open`: who is not signed in; `once`: whoever is, also with a password that has to be replaced."""


MENU: Final = (
    Page("/", "overview", "Overview"),
    Page("/models", "models", "Models"),
    Page("/playground", "playground", "Playground"),
    Page("/keys", "keys", "API keys"),
    Page("/projects", "projects", "Projects"),
    Page("/usage", "usage", "Usage"),
    Page("/credits", "credits", "Credits"),
    Page("/admin", "admin", "Administration", "admin"),
)
PAGES: Final = (
    *MENU,
    Page("/login", "login", "Sign in", "open"),
    Page("/register", "register", "Make an account", "open"),
    Page("/password", "password", "Choose a password", "once"),
)
_MODULES: Final = {"register": "login"}
"""Pages whose module is another's."""
_FAILURES: Final = {
    404: ("The address is mistyped, or what was there is gone.", 404),
    500: ("The gateway failed. Try again; if it goes on, tell the operator the number below.", 500),
}
_OF_PROGRAMS: Final = ("/api/", "/v1/", "/static/")
"""What addresses begin with at which no person looks."""


def serve_site(app: QuartTrio, house: House, refuse: Callable[[HTTPException], Awaitable[Any]]) -> None:
    """Serve the pages and their files; to be called once for an application.

    `refuse` answers for what is not there or fails where no person reads it.
    """

    async def failed(error: HTTPException) -> Any:
        return await (_failed(*_FAILURES[error.code or 500]) if _is_read() else refuse(error))

    for status in _FAILURES:
        app.register_error_handler(status, failed)
    for page in PAGES:
        app.add_url_rule(page.path, f"page {page.name}", _view(house, page), provide_automatic_options=False)

    @app.get("/static/<digest>/<path:name>")
    async def static(digest: str, name: str) -> Response:
        asset = assets().files.get(name)
        if asset is None:
            return Response("There is no such file.\n", 404, content_type="text/plain; charset=utf-8")
        packed = "gzip" in request.headers.get("accept-encoding", "")
        response = Response(asset.packed if packed else asset.content, content_type=asset.media_type)
        if packed:
            response.headers["content-encoding"] = "gzip"
        response.headers["vary"] = "accept-encoding"
        # A page of an older version still finds its files, but nobody keeps them under its name.
        response.headers["cache-control"] = _FOR_GOOD if digest == assets().digest else "no-store"
        return response


def _is_read() -> bool:
    """Tell whether a browser wants a page for its reader; programs that ask for HTML everywhere get none."""
    wanted = "text/html" in request.headers.get("accept", "")
    return wanted and not request.path.startswith(_OF_PROGRAMS)


def _view(house: House, page: Page) -> Callable[[], Awaitable[Response]]:
    async def view() -> Response:
        visit = visit_of(house, request)
        try:
            session = None if visit.token is None else await house.sessions.find(visit.token)
        except StoreError:
            return await _failed("The gateway's store is not available. Try again in a moment.", 503)
        elsewhere = _elsewhere(page, session)
        if elsewhere is not None:
            return Response("", 303, headers={"location": elsewhere})
        if page.who == "admin" and not (session and session.admin):
            return await _failed("Only an administrator may see this page.", 403)
        if page.name == "register" and not house.settings.dashboard.registration:
            return await _failed("Accounts are made by the administrator here.", 403)
        return await _shown(house, page, session, visit.own)

    return view


def _elsewhere(page: Page, session: Session | None) -> str | None:
    """Return where a visitor is sent instead, if anywhere."""
    if session is None:
        here = quote(request.full_path.removesuffix("?"), safe="")
        return None if page.who == "open" else "/login" if here == "%2F" else f"/login?next={here}"
    if page.who == "open":
        return "/"
    return "/password" if session.once and page.who != "once" else None


async def _shown(house: House, page: Page, session: Session | None, own: str) -> Response:
    module = _MODULES.get(page.name, page.name)
    needed = {*assets().needed(f"pages/{module}.js"), *(assets().needed("shell.js") if session else ())}
    return _as_page(
        await render_template(
            f"{page.name}.html",
            **_frame(page.title),
            path=page.path,
            module=module,
            preload=sorted(needed),
            session=session,
            nav=[each for each in MENU if each.who == "user" or (session and session.admin)],
            base=f"{own}/v1",
            credits_per_usd=house.settings.money.credits_per_usd,
            registration=house.settings.dashboard.registration,
            selling=house.settings.payments.possible,
            shortest=SHORTEST,
        )
    )


async def _failed(message: str, status: int) -> Response:
    frame = _frame("There is no such page" if status == 404 else "This did not work")
    return _as_page(
        await render_template("failed.html", **frame, message=message, request_id=g.request_id), status
    )


def _frame(title: str) -> dict[str, str]:
    return {"title": title, "static": f"/static/{assets().digest}"}


def _as_page(text: str, status: int = 200) -> Response:
    response = Response(text, status, content_type="text/html; charset=utf-8")
    response.headers["content-security-policy"] = _POLICY
    response.headers["cache-control"] = "no-store"
    return response
