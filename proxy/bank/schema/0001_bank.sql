-- Money is nano-USD, times are Unix milliseconds, days and minutes count from the Unix epoch.
-- The CHECKs are a net under proxy/bank/rules.py, not the rules.

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    posted INTEGER NOT NULL DEFAULT 0 CHECK (posted >= 0),
    held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'blocked', 'closed')),
    CHECK (posted - held >= 0)
) STRICT;

-- A hold is open as long as its row is here; ending it moves what is left to tell to hold_end.
CREATE TABLE hold (
    id TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account,
    key_id INTEGER NOT NULL,
    project INTEGER,
    amount INTEGER NOT NULL CHECK (amount >= 0),
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    day INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    slot INTEGER,
    opened_at INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    price_version TEXT NOT NULL,
    idempotency_key TEXT
) STRICT, WITHOUT ROWID;

-- An end without an account is the tombstone of a hold that was voided before it was admitted.
CREATE TABLE hold_end (
    hold_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('settle', 'void')),
    how TEXT NOT NULL,
    account INTEGER REFERENCES account,
    key_id INTEGER,
    project INTEGER,
    amount INTEGER NOT NULL CHECK (amount >= 0),
    cost INTEGER NOT NULL CHECK (cost >= 0),
    captured INTEGER NOT NULL CHECK (captured >= 0),
    released INTEGER NOT NULL CHECK (released >= 0),
    overrun INTEGER NOT NULL CHECK (overrun >= 0),
    written_off INTEGER NOT NULL CHECK (written_off >= 0),
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    opened_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    price_version TEXT NOT NULL,
    idempotency_key TEXT,
    CHECK (captured + released = amount),
    CHECK (captured + overrun + written_off = cost)
) STRICT, WITHOUT ROWID;

-- Accounts below zero are the system's own (proxy/bank/rows.py); they have no rows, only sums here.
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY,
    txn TEXT NOT NULL,
    account INTEGER NOT NULL,
    amount INTEGER NOT NULL CHECK (amount <> 0),
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    at INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- The journal's last row as of each batch that wrote to it.
CREATE TABLE journal_head (
    seq INTEGER PRIMARY KEY,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_head_no_update BEFORE UPDATE ON journal_head
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_head_no_delete BEFORE DELETE ON journal_head
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

-- The first result of every operation; `detail` is its fields as a JSON array.
CREATE TABLE op (
    op_id TEXT PRIMARY KEY,
    hold_id TEXT,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE request_window (
    minute INTEGER NOT NULL,
    key_id INTEGER NOT NULL,
    requests INTEGER NOT NULL CHECK (requests > 0),
    PRIMARY KEY (minute, key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE day_budget (
    key_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    used INTEGER NOT NULL CHECK (used >= 0),
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    PRIMARY KEY (key_id, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_record (
    generation_id TEXT PRIMARY KEY,
    request_id TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES account,
    key_id INTEGER NOT NULL,
    project INTEGER,
    model TEXT NOT NULL,
    provider TEXT,
    upstream_model TEXT,
    attempts INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    input_audio INTEGER NOT NULL,
    input_image INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    output_audio INTEGER NOT NULL,
    output_image INTEGER NOT NULL,
    estimated INTEGER NOT NULL CHECK (estimated IN (0, 1)),
    cost INTEGER NOT NULL,
    price_version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    first_token_ms INTEGER,
    duration_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    stream INTEGER NOT NULL CHECK (stream IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_record_by_account ON usage_record (account, started_at);

CREATE TABLE attempt (
    generation_id TEXT NOT NULL REFERENCES usage_record,
    n INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER,
    cost INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    first_token_ms INTEGER,
    duration_ms INTEGER NOT NULL,
    PRIMARY KEY (generation_id, n)
) STRICT, WITHOUT ROWID;
