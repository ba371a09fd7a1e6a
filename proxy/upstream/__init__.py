"""The providers: a transport, opening an attempt, and a simulated provider."""
