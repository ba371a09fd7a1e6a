"""S10, S11, S12, S48: what the source may not hold, read as a tree. Exceptions are listed, and why."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

PROXY: Final = Path(__file__).parents[2] / "proxy"
FILES: Final = sorted(PROXY.rglob("*.py"))

CALLS: Final = frozenset(
    {
        *("eval", "exec", "compile", "__import__", "input", "breakpoint"),
        *("os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.posix_spawn", "os.spawnv"),
        *("trio.run_process", "trio.lowlevel.open_process", "orjson.loads_unsafe", "sys.settrace"),
    }
)
MODULES: Final = frozenset(
    {
        *("pickle", "cPickle", "marshal", "shelve", "dill", "yaml", "jsonpickle", "xml", "lxml"),
        *("subprocess", "pty", "multiprocessing", "ctypes", "code", "codeop", "runpy"),
        *("jinja2", "mako", "tempita", "imp", "telnetlib", "ftplib"),
    }
)
FORGIVING: Final = (
    "CERT_NONE",
    "_create_unverified_context",
    "CERT_OPTIONAL",
    "PROTOCOL_TLSv1",
    "PROTOCOL_SSLv",
)
_ALLOWED: Final = {("process/child.py", "ctypes"): "prctl: a part of the gateway ends with its supervisor"}
_SQL: Final = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|ALTER TABLE|DROP|CREATE|PRAGMA)\s")
_NAMES: Final = {
    ("bank/book.py", "table"): "the module's own tables, at import",
    ("bank/book.py", "', '.join(columns)"): "their columns, at import",
    ("bank/alike.py", "marks"): "as many question marks as there are parameters",
    **dict.fromkeys(
        [
            *(("control/sums.py", each) for each in ("DAY_MS", "FINE", "WHEN_BEGUN", "KEY_NAME")),
            ("control/usage.py", "KEY_NAME"),
        ],
        "expressions written beside them, in `filters` and `usage`",
    ),
    **dict.fromkeys(
        [
            ("control/erasure.py", "table"),
            ("control/erasure.py", "', '.join(columns)"),
            ("control/erasure.py", "owner"),
            ("control/erasure.py", "whose"),
        ],
        "tables and columns of our own schema",
    ),
    **dict.fromkeys(
        [
            ("control/issue.py", "', '.join(names)"),
            ("control/issue.py", "_WHERE[where]"),
            ("control/projects.py", "_ENDED[table]"),
            ("control/issue.py", "marks"),
            ("control/projects.py", "', '.join(own)"),
            ("control/projects.py", "marks"),
            ("control/projects.py", "table"),
            ("control/projects.py", "sets"),
        ],
        "columns that may be set, by a list of ours: see `test_s10_names_of_columns_are_never_a_clients`",
    ),
    ("control/vault.py", "where"): "conditions written where it is called, with their parameters bound",
    ("control/retention.py", "table"): "three names beside it",
    ("bank/sqlite.py", "synchronous"): "FULL or NORMAL: the settings allow nothing else",
    **dict.fromkeys(
        [
            ("bank/postgres/book.py", "', '.join(Claim._fields)"),
            *(
                ("bank/postgres/book.py", each)
                for each in ("what", "', '.join([*columns, *nothing])", "where")
            ),
            *(
                ("bank/postgres/move.py", each)
                for each in ("keys", "bytewise", "where", "table", "table.name")
            ),
            ("bank/postgres/move.py", "', '.join(table.columns)"),
            *(("bank/postgres/store.py", each) for each in ("NOW", "', '.join(Hold._fields)")),
            *(("bank/postgres/writes.py", each) for each in ("table", "', '.join(columns)", "then")),
            ("bank/postgres/writes.py", "', '.join(Posting._fields)"),
            ("bank/postgres/writes.py", "', '.join(parts)"),
            ("bank/snapshot.py", "', '.join(Hold._fields)"),
        ],
        "tables, columns and expressions of our own schema",
    ),
    ("bank/postgres/move.py", "largest + 1"): "an integer, formatted as one",
    ("bank/postgres/book.py", "own"): "two numbers of this process's own, formatted as integers",
    ("bank/migrate.py", "step.version"): "an integer, formatted as one",
    ("bank/migrate.py", "step.name"): "the name of a file shipped with us, held to a pattern",
}
"""What may stand in a text of SQL beside constants of its own module, and why it is no client's."""


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


def name_of(node: ast.expr) -> str:
    """Return a dotted name as it is written."""
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def forbidden(tree: ast.AST) -> Iterator[str]:
    """Yield what runs text as code, starts a program, or makes objects of bytes from outside (S12)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node.func) in CALLS:
            yield f"line {node.lineno}: {ast.unparse(node)[:60]}"
        elif isinstance(node, ast.Import):
            yield from (
                f"line {node.lineno}: {each.name}" for each in node.names if root(each.name) in MODULES
            )
        elif (
            isinstance(node, ast.ImportFrom)
            and node.module
            and not node.level
            and root(node.module) in MODULES
        ):
            yield f"line {node.lineno}: {node.module}"


def root(module: str) -> str:
    return module.partition(".")[0]


def composed(tree: ast.AST) -> Iterator[tuple[int, ast.expr]]:
    """Yield each part of a text of SQL that is not written there: by f-string, `+`, `%` or `format` (S10)."""
    for node in ast.walk(tree):
        parts = [each for each in parts_of(node) if not is_text(each)]
        if parts and any(is_text(each) and _SQL.search(ast.unparse(each)) for each in ast.walk(node)):
            yield from ((node.lineno, each) for each in parts)  # type: ignore[attr-defined]


def parts_of(node: ast.AST) -> list[ast.expr]:
    """Return what a text is put together of, where it is."""
    if isinstance(node, ast.JoinedStr):
        return [each.value for each in node.values if isinstance(each, ast.FormattedValue)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return [node.left, node.right]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return [*node.args, *(word.value for word in node.keywords)]
    return []


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and type(node.value) is str)


@cache
def constants(file: Path) -> frozenset[str]:
    """Return the names that a module gives once, at its top, in capitals."""
    names: list[str] = []
    for node in tree_of(file).body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else ()
        )
        names += [each.id for each in targets if isinstance(each, ast.Name)]
    return frozenset(
        name for name in names if re.fullmatch(r"_?[A-Z][A-Z0-9_]*", name) and names.count(name) == 1
    )


def is_ours(file: Path, node: ast.expr) -> bool:
    """Tell whether all that goes into a part of SQL are constants of the module, or listed."""
    if (str(file.relative_to(PROXY)), ast.unparse(node)) in _NAMES:
        return True
    free = {
        each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
    }
    bound = {
        each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }
    return bool(free) and free - bound <= constants(file) | {"len", "dict", "str", "range"}


def violations(check: Callable[[ast.AST], Iterator[str]]) -> list[str]:
    return [f"{file.relative_to(PROXY)} {found}" for file in FILES for found in check(tree_of(file))]


def test_s12_nothing_runs_text_starts_programs_or_revives_objects() -> None:
    allowed = [f"{file} line \\d+: {module}" for file, module in _ALLOWED]
    found = violations(forbidden)
    assert [each for each in found if not any(re.fullmatch(one, each) for one in allowed)] == []
    assert len(found) == len(allowed), "an exception that is not needed any more"


def test_s10_sql_is_written_down_and_what_clients_say_is_bound() -> None:
    found = [
        f"{file.relative_to(PROXY)}:{line}: {ast.unparse(part)}"
        for file in FILES
        for line, part in composed(tree_of(file))
        if not is_ours(file, part)
    ]
    assert found == []


def test_s10_every_exception_is_still_needed() -> None:
    used = {
        (str(file.relative_to(PROXY)), ast.unparse(part))
        for file in FILES
        for _, part in composed(tree_of(file))
    }
    assert _NAMES.keys() <= used


def unescaped(tree: ast.AST) -> Iterator[str]:
    """Yield patterns of SQL whose wildcards a client could write (S11)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and type(node.value) is str and _SQL.search(node.value):
            for found in re.finditer(
                r"\b(LIKE|GLOB|REGEXP|MATCH)\b(?!.{0,40}\bESCAPE\b)", node.value, re.DOTALL
            ):
                yield f"line {node.lineno}: {found[0]}"


def test_s11_no_pattern_of_sql_takes_a_clients_wildcards() -> None:
    assert violations(unescaped) == []


def unverified(tree: ast.AST) -> Iterator[str]:
    """Yield ways not to ask a peer who it is (S48)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).rpartition(".")[2].startswith(
            FORGIVING
        ):
            yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.keyword) and node.arg in {"verify", "check_hostname", "verify_mode"}:
            if isinstance(node.value, ast.Constant) and not node.value.value:
                yield f"line {node.value.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Assign) and re.search(r"\.check_hostname = (?!True$)", ast.unparse(node)):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def test_s48_no_way_to_switch_verification_off() -> None:
    assert violations(unverified) == []


@pytest.mark.parametrize(
    ("check", "source"),
    [
        *((forbidden, f"{name}('1')") for name in ("eval", "exec", "os.system", "trio.run_process")),
        *(
            (forbidden, source)
            for source in ("import pickle", "from yaml import load", "import subprocess as s")
        ),
        (unescaped, "'SELECT a FROM b WHERE c LIKE ?'"),
        *(
            (unverified, source)
            for source in ("f(verify=False)", "c.check_hostname = False", "ssl.CERT_NONE")
        ),
    ],
)
def test_the_checks_find_what_they_look_for(check: Callable[[ast.AST], Iterator[str]], source: str) -> None:
    assert [*check(ast.parse(source))]


@pytest.mark.parametrize(
    "source",
    [
        "f'SELECT {name} FROM a'",
        "'SELECT a FROM b WHERE c = ' + name",
        "'SELECT a FROM b WHERE c = %s' % name",
        "'DELETE FROM {}'.format(name)",
        "x = f'UPDATE a SET b = {name!r}'",
    ],
)
def test_s10_the_check_finds_each_way_to_compose(source: str) -> None:
    parts = [part for _, part in composed(ast.parse(source))]
    assert [ast.unparse(part) for part in parts] == ["name"]
    assert not is_ours(PROXY / "app.py", parts[0])
