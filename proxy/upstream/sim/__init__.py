"""A simulated provider, for demos, tests and benches: OpenAI's, Anthropic's and Gemini's protocols.

What it does is in the model's name (`words.script`). Inside the process it is a line (`line.SimLine`); over
HTTP it is an application (`app`), which `headrace sim` serves. It knows the three protocols by their
documentation, and by nothing of `wires`: each of the two is evidence for the other.

A request is read into a `prompt.Prompt` by its protocol (`openai`, `anthropic`, `gemini`); `answer` makes of
script and prompt what is said, piece by piece; the protocol writes the pieces down; `reply` paces them.
"""

from __future__ import annotations

from .line import SimLine

__all__ = ("SimLine",)
