-- What a key has spent, read from the index alone.

CREATE INDEX usage_record_by_key ON usage_record (key_id, started_at, cost);
