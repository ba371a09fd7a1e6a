"""The document as one page of HTML that needs nothing from anywhere: no script, no font, no image."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--dim:light-dark(#666,#aaa);--code:#8881;--link:light-dark(#2563eb,#8ab4ff)}
*{box-sizing:border-box}html{background:Canvas;color:CanvasText}
body{margin:0;font:15px/1.55 system-ui,sans-serif;display:flex}
nav{position:sticky;top:0;height:100vh;overflow:auto;flex:0 0 17rem;padding:1.2rem;border-right:1px solid var(--line)}
nav a{display:block;color:inherit;text-decoration:none;padding:.1rem 0;font-size:.9rem}nav a:hover{color:var(--link)}
nav h3{margin:1.1rem 0 .2rem;font-size:.75rem;text-transform:uppercase;color:var(--dim)}
main{flex:1;min-width:0;max-width:62rem;padding:1.2rem 2.2rem 6rem}
section{border-top:1px solid var(--line);margin-top:2.2rem;padding-top:.4rem}
code,pre{font:13px/1.5 ui-monospace,monospace}code{background:var(--code);padding:.05rem .25rem;border-radius:3px}
pre{background:var(--code);padding:.8rem;border-radius:6px;white-space:pre-wrap;overflow-wrap:anywhere}
pre code{background:none;padding:0}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;
border-bottom:1px solid var(--line)}th{color:var(--dim);font-weight:500}summary{cursor:pointer;color:var(--link)}
.path{font:600 1rem ui-monospace,monospace;word-break:break-all}.dim{color:var(--dim)}details{margin:.5rem 0}
@media(max-width:50rem){body{display:block}nav{position:static;height:auto;border:0}main{padding:1rem}}
@media print{nav{display:none}pre{border:1px solid var(--line)}section{break-inside:avoid}}
"""


def page(document: Mapping[str, Any]) -> str:
    """Write the page of a document."""
    info = document["info"]
    groups = _grouped(document)
    links = "".join(
        f"<h3>{escape(tag)}</h3>" + "".join(_link(method, paths, told) for method, paths, told in found)
        for tag, found in groups.items()
    )
    body = "".join(
        _section(document, method, paths, told) for found in groups.values() for method, paths, told in found
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f'<nav><a href="/">← Dashboard</a><b>{escape(info["title"])} {escape(info["version"])}</b>{links}</nav><main>'
        f"<h1>{escape(info['title'])} API</h1><p>{_prose(info['description'])}</p>{_keys(document)}{body}"
        "</main></body></html>"
    )


_Told = tuple[str, list[str], Mapping[str, Any]]


def _grouped(document: Mapping[str, Any]) -> dict[str, list[_Told]]:
    """Return the operations by tag; those served at both bases stand once, with both their paths."""
    found: dict[str, dict[str, _Told]] = {tag["name"]: {} for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            name = told["operationId"].rpartition("_")[0]
            group = found.setdefault(told["tags"][0], {})
            group.setdefault(name, (method.upper(), [], told))[1].append(path)
    return {tag: list(group.values()) for tag, group in found.items() if group}


def _link(method: str, paths: list[str], told: Mapping[str, Any]) -> str:
    return f'<a href="#{_anchor(told)}" title="{escape(method)} {escape(paths[0])}">{escape(told["summary"])}</a>'


def _anchor(told: Mapping[str, Any]) -> str:
    return escape(told["operationId"])


def _keys(document: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{_prose(told['description'])}</td></tr>"
        for name, told in document["components"]["headers"].items()
    )
    return (
        "<h2>Keys</h2><p>Every request carries an API key, as <code>Authorization: Bearer KEY</code> or"
        " <code>x-api-key: KEY</code>. The examples take the gateway's address and the key from the environment:"
        "</p><pre><code>export HEADRACE_URL=http://127.0.0.1:8000\nexport HEADRACE_KEY=…</code></pre>"
        f"<h2>Header fields of answers</h2><table>{rows}</table>"
    )


def _section(document: Mapping[str, Any], method: str, paths: list[str], told: Mapping[str, Any]) -> str:
    shown = "".join(f'<div class="path">{escape(method)} {escape(path)}</div>' for path in paths)
    parts = [
        f'<section id="{_anchor(told)}"><h2>{escape(told["summary"])}</h2>{shown}<p>{_prose(told["description"])}</p>',
        *_parameters(told),
        *_request(document, told),
        *_samples(told),
        *_answers(document, told),
        "</section>",
    ]
    return "".join(parts)


def _parameters(told: Mapping[str, Any]) -> Iterator[str]:
    for each in told.get("parameters", ()):
        yield f"<p><code>{escape(each['name'])}</code> ({escape(each['in'])}): {_prose(each['description'])}</p>"


def _request(document: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[str]:
    for media_type, content in told.get("requestBody", {}).get("content", {}).items():
        yield f'<h3>Request <span class="dim">{escape(media_type)}</span></h3>'
        yield _table(document, content["schema"])


def _answers(document: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[str]:
    for status, answer in told["responses"].items():
        for media_type, content in answer["content"].items():
            title = f'{escape(status)} <span class="dim">{escape(media_type)}</span>'
            about = _prose(answer["description"])
            schema = content.get("x-event", content["schema"])
            note = _prose(content["schema"].get("description", ""))
            examples = "".join(
                f"<pre><code>{escape(json.dumps(each['value'], indent=2))}</code></pre>"
                for each in content.get("examples", {}).values()
            )
            yield f"<details><summary>{title}</summary><p>{about} {note}</p>{_table(document, schema)}{examples}</details>"


def _samples(told: Mapping[str, Any]) -> Iterator[str]:
    for place, each in enumerate(told["x-codeSamples"]):
        shown = " open" if place == 0 else ""
        yield f"<details{shown}><summary>{escape(each['label'])}</summary>"
        yield f"<pre><code>{escape(each['source'])}</code></pre></details>"


def _table(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Show an object's members; nothing of what has none."""
    found = _resolved(document, schema)
    required = set(found.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(document, member))}"
        f"{' <b>required</b>' if name in required else ''}</td>"
        f"<td>{_prose(_resolved(document, member).get('description', ''))}</td></tr>"
        for name, member in found.get("properties", {}).items()
    )
    about = f"<p>{_prose(found['description'])}</p>" if "description" in found else ""
    return f"{about}<table>{rows}</table>" if rows else about


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Mapping[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(document, each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_kind(document, schema['items'])}"
    kind = schema.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _prose(text: str) -> str:
    """Escape a text, and show what is between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
