-- Limits are counted for keys, projects and accounts alike, and days in nano-USD as well as in tokens.

CREATE TABLE scope_window (
    kind TEXT NOT NULL CHECK (kind IN ('key', 'project', 'account')),
    id INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    requests INTEGER NOT NULL CHECK (requests > 0),
    PRIMARY KEY (minute, kind, id)
) STRICT, WITHOUT ROWID;

INSERT INTO scope_window SELECT 'key', key_id, minute, requests FROM request_window;
DROP TABLE request_window;
ALTER TABLE scope_window RENAME TO request_window;

CREATE TABLE scope_budget (
    kind TEXT NOT NULL CHECK (kind IN ('key', 'project', 'account')),
    id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    used INTEGER NOT NULL CHECK (used >= 0),
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    spent INTEGER NOT NULL CHECK (spent >= 0),
    held INTEGER NOT NULL CHECK (held >= 0),
    PRIMARY KEY (kind, id, day)
) STRICT, WITHOUT ROWID;

-- What was used before there were such counters is in the holds, each on the day it was opened.
CREATE TEMP TABLE request_of AS
SELECT account, key_id, project, opened_at / 86400000 AS day,
    tokens AS used, 0 AS reserved, captured + overrun AS spent, 0 AS held
FROM hold_end WHERE account IS NOT NULL
UNION ALL
SELECT account, key_id, project, day, 0, tokens, 0, amount FROM hold;

INSERT INTO scope_budget
SELECT 'key', key_id, day, sum(used), sum(reserved), sum(spent), sum(held) FROM request_of GROUP BY key_id, day;
INSERT INTO scope_budget
SELECT 'account', account, day, sum(used), sum(reserved), sum(spent), sum(held) FROM request_of
GROUP BY account, day;
INSERT INTO scope_budget
SELECT 'project', project, day, sum(used), sum(reserved), sum(spent), sum(held) FROM request_of
WHERE project IS NOT NULL GROUP BY project, day;

DROP TABLE request_of;
DROP TABLE day_budget;
ALTER TABLE scope_budget RENAME TO day_budget;

ALTER TABLE api_key ADD COLUMN cost_per_day INTEGER CHECK (cost_per_day >= 0);
ALTER TABLE project ADD COLUMN cost_per_day INTEGER CHECK (cost_per_day >= 0);
