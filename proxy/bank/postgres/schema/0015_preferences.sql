-- What an account prefers; see the step of the same number for SQLite.
CREATE TABLE preference (
    account BIGINT PRIMARY KEY REFERENCES account,
    simple TEXT,
    capable TEXT,
    complex TEXT,
    research TEXT NOT NULL
);

ALTER TABLE api_key ADD COLUMN playground BIGINT NOT NULL DEFAULT 0 CHECK (playground IN (0, 1));

CREATE INDEX journal_by_account ON journal (account, seq) WHERE account > 0;
