-- What an account prefers where a request leaves the choice: a model for each tier, and how research is done.
CREATE TABLE preference (
    account INTEGER PRIMARY KEY REFERENCES account,
    simple TEXT,
    capable TEXT,
    complex TEXT,
    research TEXT NOT NULL CHECK (json_valid(research))
) STRICT;

-- Keys that a page of the dashboard has for ten minutes: they are in no list, and end with their session.
ALTER TABLE api_key ADD COLUMN playground INTEGER NOT NULL DEFAULT 0 CHECK (playground IN (0, 1));

-- An account's ledger is read page by page; system accounts have sums alone.
CREATE INDEX journal_by_account ON journal (account, seq) WHERE account > 0;
