"""An endpoint's examples in curl, Python and Node, made from the one body that its operation gives.

They take the gateway's address and a key from `HEADRACE_URL` and `HEADRACE_KEY`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pprint import pformat
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from .operation import Operation

RECORDING: Final = "speech.wav"
"""The file that examples of forms send."""


class Sample(NamedTuple):
    """One example: `label` says what it shows."""

    lang: str
    label: str
    source: str


class _Call(NamedTuple):
    """What an example does."""

    method: str
    path: str
    body: Mapping[str, Any]
    form: bool = False
    stream: bool = False
    binary: bool = False


def samples(operation: Operation, path: str) -> list[Sample]:
    """Return the examples of an operation at one of its paths; none for what is reserved."""
    if not operation.example and operation.method == "POST":
        return []
    call = _Call(
        operation.method,
        _filled(operation, path),
        operation.example,
        form=operation.form,
        binary=operation.answer is None,
    )
    found = [Sample(lang, f"{lang}", write(call)) for lang, write in _WRITERS.items()]
    if operation.events is not None:
        stream = call._replace(body={**call.body, **operation.streamed}, stream=True)
        found += [Sample(lang, f"{lang}, streamed", write(stream)) for lang, write in _WRITERS.items()]
    return found


def _filled(operation: Operation, path: str) -> str:
    """Put the known values of parameters in their places."""
    query = []
    for name, value in operation.known.items():
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", quote(value))
        else:
            query.append(f"{name}={value}")
    return f"{path}?{'&'.join(query)}" if query else path


def _curl(call: _Call) -> str:
    lines = [
        f'curl{" -N" if call.stream else ""} "$HEADRACE_URL{call.path}"',
        '-H "Authorization: Bearer $HEADRACE_KEY"',
    ]
    if call.form:
        lines += [f'-F "file=@{RECORDING}"', *(f'-F "{name}={value}"' for name, value in call.body.items())]
    elif call.body:
        lines += ['-H "Content-Type: application/json"', f"-d '{json.dumps(call.body)}'"]
    if call.binary and not call.stream:
        lines.append("-o speech.mp3")
    return " \\\n  ".join(lines)


def _python(call: _Call) -> str:
    place = '"' + call.path + '"'
    if "$" in call.path:
        place = 'f"' + call.path.replace("$GENERATION_ID", "{os.environ['GENERATION_ID']}") + '"'
    given = [
        f'os.environ["HEADRACE_URL"] + {place}',
        'headers={"Authorization": "Bearer " + os.environ["HEADRACE_KEY"]}',
    ]
    if call.form:
        given += [f"data={pformat(dict(call.body))}", f'files={{"file": open("{RECORDING}", "rb")}}']
    elif call.body:
        given.append(f"json={_indented(pformat(dict(call.body), width=88, sort_dicts=False), 4)}")
    arguments = "".join(f"    {each},\n" for each in given)
    if call.stream:
        return (
            "import os\n\nimport httpx\n\n"
            f'with httpx.stream(\n    "{call.method}",\n{arguments}) as answer:\n'
            "    for line in answer.iter_lines():\n        print(line)\n    answer.raise_for_status()"
        )
    shown = "len(answer.content)" if call.binary else "answer.json()"
    verb = call.method.lower()
    return (
        f"import os\n\nimport httpx\n\nanswer = httpx.{verb}(\n{arguments})\n"
        f"answer.raise_for_status()\nprint({shown})"
    )


def _node(call: _Call) -> str:
    path = call.path.replace("$GENERATION_ID", "${process.env.GENERATION_ID}")
    lines = []
    if call.form:
        lines += ['import { openAsBlob } from "node:fs";', "", "const form = new FormData();"]
        lines += [f"form.set({json.dumps(name)}, {json.dumps(value)});" for name, value in call.body.items()]
        lines.append(f'form.set("file", await openAsBlob("{RECORDING}"), "{RECORDING}");')
    lines.append(f"const answer = await fetch(`${{process.env.HEADRACE_URL}}{path}`, {{")
    lines.append(f'  method: "{call.method}",')
    kind = ' "Content-Type": "application/json",' if call.body and not call.form else ""
    lines.append(f"  headers: {{ Authorization: `Bearer ${{process.env.HEADRACE_KEY}}`,{kind} }},")
    if call.form:
        lines.append("  body: form,")
    elif call.body:
        lines.append(f"  body: JSON.stringify({json.dumps(call.body)}),")
    lines += ["});", "if (!answer.ok) throw new Error(await answer.text());"]
    if call.stream:
        lines += ["const decoder = new TextDecoder();"]
        lines += ["for await (const bytes of answer.body) {"]
        lines += ["  process.stdout.write(decoder.decode(bytes, { stream: true }));", "}"]
    else:
        shown = "(await answer.arrayBuffer()).byteLength" if call.binary else "await answer.json()"
        lines.append(f"console.log({shown});")
    return "\n".join(lines)


_WRITERS: Final = {"curl": _curl, "Python": _python, "Node": _node}


def _indented(text: str, by: int) -> str:
    return text.replace("\n", "\n" + " " * (by + 5))
