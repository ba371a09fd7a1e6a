"""The dashboard: pages over the management API, and over nothing else."""
