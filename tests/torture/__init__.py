"""Real processes, really killed, and a ledger that has to agree with everybody's own notes afterwards."""
