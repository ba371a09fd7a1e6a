"""Measures from outside, as a client would: nothing here imports the gateway.

`driver`, `report`, `upstream` and `cli` measure any OpenAI-compatible URL (`headrace bench`); `house` has our
own benches, which start Headrace and look at it (`python -m bench`).
"""
