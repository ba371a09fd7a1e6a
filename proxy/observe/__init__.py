"""What operators see: metrics and logs, fed by receipts."""
