-- Who the accounts are and what keys they have: the control room's tables, in the same file as the money.
-- `created_at`, `expires_at` and `revoked_at` are Unix seconds.

CREATE TABLE profile (
    account INTEGER PRIMARY KEY REFERENCES account,
    email TEXT NOT NULL UNIQUE COLLATE NOCASE,
    admin INTEGER NOT NULL DEFAULT 0 CHECK (admin IN (0, 1)),
    created_at INTEGER NOT NULL,
    password_hash TEXT
) STRICT;

CREATE TABLE project (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account,
    name TEXT NOT NULL,
    rpm INTEGER CHECK (rpm >= 0),
    tokens_per_day INTEGER CHECK (tokens_per_day >= 0),
    concurrency INTEGER CHECK (concurrency >= 0),
    max_request INTEGER CHECK (max_request >= 0),
    max_output INTEGER CHECK (max_output >= 0),
    created_at INTEGER NOT NULL,
    UNIQUE (account, name)
) STRICT;

CREATE TABLE api_key (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('account', 'gateway', 'project', 'mcp')),
    account INTEGER NOT NULL REFERENCES account,
    project INTEGER REFERENCES project,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    last4 TEXT NOT NULL,
    rpm INTEGER CHECK (rpm >= 0),
    tokens_per_day INTEGER CHECK (tokens_per_day >= 0),
    concurrency INTEGER CHECK (concurrency >= 0),
    max_request INTEGER CHECK (max_request >= 0),
    max_output INTEGER CHECK (max_output >= 0),
    models TEXT CHECK (models IS NULL OR json_valid(models)),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE INDEX api_key_by_account ON api_key (account);
