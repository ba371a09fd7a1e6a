"""What administrators do: accounts, credits, codes, plans, and how the gateway is."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import trio
from msgspec import Meta

from proxy.control.clerk import DEFAULT_PLAN
from proxy.settings import Allowance, SettingsError
from proxy.words.money import usd_text

from .house import Visit
from .ledger import Amount, Available, Balance
from .refusal import ApiError
from .route import Answer, Body, Credits, Done, Id, Query, Route, Word

_TAG: Final = "Administration"


class AfterAccount(Query, frozen=True, kw_only=True):
    """A page of accounts, by number; of those whose address has `search` in it."""

    search: Word = ""
    after: Id = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class NewAccount(Body, frozen=True, kw_only=True):
    """An account to be made. Without a password an administrator gets one, to be replaced at once."""

    email: Word
    credits: Amount = "0"
    plan: Word | None = None
    admin: bool = False
    password: Word | None = None


class Grant(Body, frozen=True, kw_only=True):
    """Credits to be given."""

    credits: Amount


class Adjustment(Body, frozen=True, kw_only=True):
    """A correction, either way."""

    credits: Amount
    reason: Word = ""


class PlanOf(Body, frozen=True, kw_only=True):
    """A plan of the configuration."""

    plan: Word


class RoleOf(Body, frozen=True, kw_only=True):
    """Whether somebody is an administrator."""

    admin: bool


class StatusOf(Body, frozen=True, kw_only=True):
    """Whether an account may spend; one that is closed stays closed."""

    status: Literal["active", "blocked", "closed"]


class NewCodes(Body, frozen=True, kw_only=True):
    """Codes to be made, good through a UTC day."""

    credits: Amount
    count: Annotated[int, Meta(ge=1, le=1000)] = 1
    expires: Word | None = None
    note: Word = ""


class BeforeCode(Query, frozen=True, kw_only=True):
    """A page of codes, newest first; `before` is the `next` of the one before it."""

    before: Word | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class Before(Query, frozen=True, kw_only=True):
    """A page of the audit log, newest first, below a number."""

    before: Id = 2**53
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class Account(Answer, frozen=True, kw_only=True):
    """An account."""

    account: int
    email: str
    status: str
    plan: str
    plan_applied: str
    admin: bool
    created_at: int
    posted: Credits
    held: Credits
    available: Credits
    keys: int
    projects: int


class AccountPage(Answer, frozen=True, kw_only=True):
    """Accounts; where `next` is null there are no more after these."""

    accounts: list[Account]
    next: int | None


class MadeAccount(Answer, frozen=True, kw_only=True):
    """An account that was made; a password is shown this once."""

    account: int
    email: str
    password: str | None


class OncePassword(Answer, frozen=True, kw_only=True):
    """A password to be replaced at the first sign-in, shown this once."""

    password: str


class Plan(Answer, frozen=True, kw_only=True):
    """What all keys of an account may use together; null is unlimited, money in US dollars."""

    name: str
    rpm: int | None
    tokens_per_day: int | None
    concurrency: int | None
    max_request: str | None
    max_output: int | None
    max_input: int | None
    cost_per_day: str | None
    strategy: str | None
    allow_race: bool


class Plans(Answer, frozen=True, kw_only=True):
    """The plans of the configuration."""

    plans: list[Plan]


class AdminCode(Answer, frozen=True, kw_only=True):
    """A code, by the first digits of what is kept of it."""

    id: str
    credits: Credits
    created_at: int
    expires_at: int | None
    note: str
    redeemed_by: str | None
    redeemed_at: int | None


class AdminCodes(Answer, frozen=True, kw_only=True):
    """Codes, newest first; where `next` is null there are no more."""

    codes: list[AdminCode]
    next: str | None


class MadeCodes(Answer, frozen=True, kw_only=True):
    """Codes that were made, shown this once."""

    codes: list[str]
    credits: Credits


class AuditEntry(Answer, frozen=True, kw_only=True):
    """A row of the audit log. `asked` is the row whose outcome this is; `at` is Unix milliseconds."""

    seq: int
    at: int
    actor: str
    action: str
    outcome: str
    asked: int | None
    detail: dict[str, Any]


class AuditPage(Answer, frozen=True, kw_only=True):
    """The audit log, newest first; where `next` is null there is no more."""

    entries: list[AuditEntry]
    next: int | None


class Intact(Answer, frozen=True, kw_only=True):
    """Whether something is as it was written, and where it is not."""

    ok: bool
    detail: str | None


class Verdict(Answer, frozen=True, kw_only=True):
    """Whether the ledger and the audit log are as they should be."""

    ok: bool
    open_holds: int
    drift_nanousd: int
    invariants: dict[str, dict[str, Any]]
    audit: Intact
    file: Intact


class Remarks(Answer, frozen=True, kw_only=True):
    """What is wrong with the settings, and what is odd about them."""

    ok: bool
    problems: list[str]
    remarks: list[str]


async def list_accounts(visit: Visit, query: AfterAccount) -> object:
    """List accounts by number."""
    found = (await visit.do("accounts.list", **query.given()))["accounts"]
    return {"accounts": found, "next": found[-1]["account"] if len(found) == query.limit else None}


async def create_account(visit: Visit, body: NewAccount) -> object:
    """Make an account."""
    return await visit.do("accounts.create", **body.given())


async def show_account(visit: Visit, account: int) -> object:
    """Tell all there is to say of an account."""
    return await visit.do("accounts.show", email=await visit.email_of(account))


async def account_balance(visit: Visit, account: int) -> object:
    """Tell an account's credits."""
    found = await visit.do("credits.balance", email=await visit.email_of(account))
    return {**found, "balance": found["posted"]}


async def grant(visit: Visit, account: int, body: Grant) -> object:
    """Give an account credits."""
    return await visit.do("credits.grant", email=await visit.email_of(account), credits=body.credits)


async def adjust(visit: Visit, account: int, body: Adjustment) -> object:
    """Correct an account's credits, either way; no more can be taken than is available."""
    email = await visit.email_of(account)
    return await visit.do("credits.adjust", email=email, credits=body.credits, reason=body.reason)


async def set_plan(visit: Visit, account: int, body: PlanOf) -> object:
    """Give an account a plan; it counts for all its keys at once."""
    await visit.do("accounts.plan", email=await visit.email_of(account), plan=body.plan)
    return Done()


async def set_role(visit: Visit, account: int, body: RoleOf) -> object:
    """Make somebody an administrator, or no longer one. Their sessions end."""
    await visit.do("accounts.role", email=await visit.email_of(account), admin=body.admin)
    return Done()


async def set_status(visit: Visit, account: int, body: StatusOf) -> object:
    """Block an account, which ends what it runs, unblock it, or close it for good; never one's own."""
    _check_not_own(visit, account)
    commands = {"active": "accounts.unblock", "blocked": "accounts.block", "closed": "accounts.close"}
    await visit.do(commands[body.status], email=await visit.email_of(account))
    return Done()


async def reset_password(visit: Visit, account: int) -> object:
    """Make a password for an account, to be replaced at the first sign-in.

    Its sessions end, and the keys that its pages have.
    """
    return await visit.do("accounts.password", email=await visit.email_of(account))


async def delete_account(visit: Visit, account: int) -> object:
    """Close an account and delete all of it but the money; never one's own."""
    _check_not_own(visit, account)
    await visit.do("accounts.delete", email=await visit.email_of(account))
    return Done()


async def list_plans(visit: Visit) -> object:
    """List the plans of the configuration."""
    plans = []
    for name, plan in {DEFAULT_PLAN: Allowance(), **visit.house.settings.plans}.items():
        limits = {each: getattr(plan.limits, each) for each in plan.limits.__slots__}
        for each in ("max_request", "cost_per_day"):
            limits[each] = None if limits[each] is None else usd_text(limits[each])
        plans.append({**limits, "name": name, "strategy": plan.strategy, "allow_race": plan.allow_race})
    return {"plans": sorted(plans, key=lambda each: (each["name"] != DEFAULT_PLAN, each["name"]))}


async def list_codes(visit: Visit, query: BeforeCode) -> object:
    """List codes by the first digits of what is kept of them."""
    return await visit.do("codes.list", **query.given())


async def create_codes(visit: Visit, body: NewCodes) -> object:
    """Make codes; they are shown this once."""
    return await visit.do("codes.create", **body.given())


async def audit_log(visit: Visit, query: Before) -> object:
    """List the audit log, newest first."""
    found = (await visit.do("audit.list", before=query.before, limit=query.limit))["entries"]
    return {"entries": found, "next": found[-1]["seq"] if len(found) == query.limit else None}


async def verify_books(visit: Visit) -> object:
    """Check the ledger's invariants, and the chain of the audit log."""
    return await visit.do("verify")


async def check_settings(visit: Visit) -> object:
    """Read the settings as a start would, and say what is wrong and what is odd; nothing changes."""
    try:
        found = await trio.to_thread.run_sync(visit.house.outside.check)
        return {"ok": True, "problems": [], "remarks": list(found)}
    except SettingsError as error:
        return {"ok": False, "problems": list(error.problems), "remarks": []}


async def reload_settings(visit: Visit) -> object:
    """Go by the settings as they are in the file now; no connection is lost."""
    found = await check_settings(visit)
    if found["ok"]:  # type: ignore[index]
        await visit.do("settings.reload")
    return found


def _check_not_own(visit: Visit, account: int) -> None:
    """Raise ApiError where administrators would shut themselves out, and perhaps everybody."""
    if account == visit.caller.account:
        raise ApiError(
            "invalid_request",
            "This is your own account: another administrator may do this to it, or `headrace accounts`.",
        )


_ALL: Final = "/api/admin/accounts"
_ONE: Final = f"{_ALL}/<int:account>"
_CODES: Final = "/api/admin/codes"


def _admin(method: Any, path: str, handler: Any, answer: type[Answer], **more: Any) -> Route:
    return Route(method, path, handler, answer, _TAG, "admin", fresh=method != "GET", **more)


ROUTES: Final = (
    _admin("GET", _ALL, list_accounts, AccountPage, query=AfterAccount),
    _admin("POST", _ALL, create_account, MadeAccount, body=NewAccount, status=201, errors=("conflict",)),
    _admin("GET", _ONE, show_account, Account),
    _admin("DELETE", _ONE, delete_account, Done, errors=("holds_open",)),
    _admin("GET", f"{_ONE}/balance", account_balance, Balance),
    _admin("POST", f"{_ONE}/grant", grant, Available, body=Grant),
    _admin("POST", f"{_ONE}/adjust", adjust, Available, body=Adjustment),
    _admin("PUT", f"{_ONE}/plan", set_plan, Done, body=PlanOf),
    _admin("PUT", f"{_ONE}/role", set_role, Done, body=RoleOf),
    _admin("PUT", f"{_ONE}/status", set_status, Done, body=StatusOf, errors=("holds_open",)),
    _admin("POST", f"{_ONE}/password", reset_password, OncePassword),
    _admin("GET", "/api/admin/plans", list_plans, Plans),
    _admin("GET", _CODES, list_codes, AdminCodes, query=BeforeCode),
    _admin("POST", _CODES, create_codes, MadeCodes, body=NewCodes, status=201),
    _admin("GET", "/api/admin/audit", audit_log, AuditPage, query=Before),
    _admin("GET", "/api/admin/verify", verify_books, Verdict),
    _admin("POST", "/api/admin/config/check", check_settings, Remarks),
    _admin("POST", "/api/admin/config/reload", reload_settings, Remarks),
)
