"""The gateway's dashboards, as code. `python -m grafana` writes `dashboards/*.json`; see README.md."""
