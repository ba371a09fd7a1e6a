-- Codes that are worth credits once. Of the code itself only a keyed hash is kept.
CREATE TABLE code (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
    amount INTEGER NOT NULL CHECK (amount > 0),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    note TEXT NOT NULL,
    redeemed_by INTEGER REFERENCES account,
    redeemed_at INTEGER,
    CHECK ((redeemed_by IS NULL) = (redeemed_at IS NULL))
) STRICT, WITHOUT ROWID;
