-- Who is signed in to the dashboard. Of a session's id only a keyed hash is kept; times are Unix seconds.
CREATE TABLE session (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
    account INTEGER NOT NULL REFERENCES account,
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    -- When the password was last given.
    proven_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_by_account ON session (account);

-- Whether the password was made by us, to be replaced at the first sign-in.
ALTER TABLE profile ADD COLUMN password_once INTEGER NOT NULL DEFAULT 0 CHECK (password_once IN (0, 1));
