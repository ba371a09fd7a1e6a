"""Makes reports of saved measurements: figures, tables for a terminal, a page with charts."""
