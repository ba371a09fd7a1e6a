-- Plans of accounts, what projects enable and whom they tell, and what was done by operators.

-- NULL is the plan `default`.
ALTER TABLE profile ADD COLUMN plan TEXT;

ALTER TABLE project ADD COLUMN models TEXT CHECK (models IS NULL OR json_valid(models));
ALTER TABLE project ADD COLUMN webhook TEXT;
-- What the secret of its webhook is made of, with the pepper, which is not here.
ALTER TABLE project ADD COLUMN webhook_salt BLOB;
ALTER TABLE project ADD COLUMN deleted_at INTEGER;

-- Events whose project has not been told yet.
CREATE TABLE webhook_event (
    id TEXT PRIMARY KEY,
    project INTEGER NOT NULL REFERENCES project,
    body TEXT NOT NULL CHECK (json_valid(body)),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Two rows for each command: that it was asked for, before anything else, and what became of it. `at` is Unix
-- milliseconds, `asked` the first row's number in the second.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('asked', 'done', 'refused', 'failed')),
    asked INTEGER REFERENCES audit,
    detail TEXT NOT NULL CHECK (json_valid(detail)),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
