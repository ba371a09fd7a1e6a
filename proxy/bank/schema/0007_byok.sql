-- Accounts' own provider keys, sealed, and what the master keys that seal are known by.
-- `created_at` and `retired_at` are Unix seconds.

-- A master key itself is never here. One that is retired seals nothing that must still be opened.
CREATE TABLE master_key (
    id INTEGER PRIMARY KEY CHECK (id > 0),
    mark BLOB NOT NULL CHECK (length(mark) = 16),
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT;

-- At most one of an account for each provider; a key that takes its place is another, with the next `version`.
CREATE TABLE provider_key (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account,
    provider TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    name TEXT NOT NULL,
    base_url TEXT,
    sealed BLOB NOT NULL,
    last4 TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (account, provider)
) STRICT;

-- Whether a request that the account's own key cannot serve may be paid for with credits.
ALTER TABLE profile ADD COLUMN byok_fallback INTEGER NOT NULL DEFAULT 0 CHECK (byok_fallback IN (0, 1));
