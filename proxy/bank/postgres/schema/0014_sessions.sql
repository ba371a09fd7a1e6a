-- Who is signed in to the dashboard; see the step of the same number for SQLite.
CREATE TABLE session (
    digest BYTEA PRIMARY KEY CHECK (length(digest) = 32),
    account BIGINT NOT NULL REFERENCES account,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    proven_at BIGINT NOT NULL
);

CREATE INDEX session_by_account ON session (account);

ALTER TABLE profile ADD COLUMN password_once BIGINT NOT NULL DEFAULT 0 CHECK (password_once IN (0, 1));
