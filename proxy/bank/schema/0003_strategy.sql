-- How a key's requests are routed that say nothing of it.
ALTER TABLE api_key ADD COLUMN strategy TEXT;
