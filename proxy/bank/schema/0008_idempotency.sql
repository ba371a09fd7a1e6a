-- Requests that may be sent again: what a key stands for, and the answers given under it.

ALTER TABLE hold ADD COLUMN idempotent_until INTEGER;
ALTER TABLE hold_end ADD COLUMN idempotent_until INTEGER;

-- A key of an account, from its first request on; what that one came to is in `state`.
CREATE TABLE claim (
    account INTEGER NOT NULL REFERENCES account,
    idempotency_key TEXT NOT NULL,
    body_hash BLOB NOT NULL CHECK (length(body_hash) = 32),
    hold_id TEXT NOT NULL,
    until INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'kept', 'whole', 'partial')),
    cost INTEGER NOT NULL CHECK (cost >= 0),
    PRIMARY KEY (account, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX claim_by_until ON claim (until);

-- What the client was sent, sealed (proxy/control/replies.py).
CREATE TABLE reply (
    hold_id TEXT PRIMARY KEY,
    until INTEGER NOT NULL,
    size INTEGER NOT NULL CHECK (size = length(sealed)),
    sealed BLOB NOT NULL
) STRICT;

CREATE INDEX reply_by_until ON reply (until, size);
