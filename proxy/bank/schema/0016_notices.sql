-- What accounts want to be told, how, and what they were told. Times are Unix seconds, amounts nano-USD.
CREATE TABLE notification (
    account INTEGER PRIMARY KEY REFERENCES account,
    low_balance INTEGER CHECK (low_balance > 0),
    budgets INTEGER NOT NULL CHECK (budgets IN (0, 1)),
    email INTEGER NOT NULL CHECK (email IN (0, 1)),
    webhook TEXT,
    webhook_salt BLOB,
    -- It was told that its balance is low, and that has not risen since.
    low INTEGER NOT NULL DEFAULT 0 CHECK (low IN (0, 1))
) STRICT;

-- `about` is what is told once; `…_due` is when it is tried next, NULL where there is nothing to be sent.
CREATE TABLE notice (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account,
    about TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('low_balance', 'budget_reached')),
    detail TEXT NOT NULL CHECK (json_valid(detail)),
    created_at INTEGER NOT NULL,
    read_at INTEGER,
    email_due INTEGER,
    webhook_due INTEGER,
    tries INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, about)
) STRICT;

CREATE INDEX notice_due ON notice (id) WHERE email_due IS NOT NULL OR webhook_due IS NOT NULL;
