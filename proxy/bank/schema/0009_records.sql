-- What is kept of finished requests, for how long, and what is left when it is gone.

ALTER TABLE usage_record ADD COLUMN model_asked TEXT NOT NULL DEFAULT '';
ALTER TABLE usage_record ADD COLUMN funding TEXT NOT NULL DEFAULT 'credits'
    CHECK (funding IN ('credits', 'byok'));

CREATE INDEX usage_record_by_request ON usage_record (request_id);

-- The sums of records that are gone: a request is in a row of usage_record or in these, never in both.
CREATE TABLE usage_day (
    key_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    model TEXT NOT NULL,
    funding TEXT NOT NULL CHECK (funding IN ('credits', 'byok')),
    account INTEGER NOT NULL REFERENCES account,
    requests INTEGER NOT NULL CHECK (requests > 0),
    prompt_tokens INTEGER NOT NULL CHECK (prompt_tokens >= 0),
    completion_tokens INTEGER NOT NULL CHECK (completion_tokens >= 0),
    cost INTEGER NOT NULL CHECK (cost >= 0),
    PRIMARY KEY (key_id, day, model, funding)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_day_by_account ON usage_day (account, day);

-- Prompt and answer of a request whose account opted in, sealed; how long is the account's to say.
ALTER TABLE profile ADD COLUMN text_days INTEGER CHECK (text_days > 0);

CREATE TABLE usage_text (
    generation_id TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account,
    kept_at INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_text_by_account ON usage_text (account, kept_at);

-- What finished requests tell of each model (proxy/policy/learned.py): samples as a JSON object.
CREATE TABLE learned (
    model TEXT PRIMARY KEY,
    samples TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
