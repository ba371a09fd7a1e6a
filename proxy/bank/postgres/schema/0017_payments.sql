-- What accounts buy; see the step of the same number for SQLite.
CREATE TABLE payment (
    id TEXT COLLATE "C" PRIMARY KEY,
    account BIGINT NOT NULL REFERENCES account,
    amount BIGINT NOT NULL CHECK (amount > 0),
    price BIGINT NOT NULL CHECK (price > 0),
    currency TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    session TEXT UNIQUE,
    paid_at BIGINT,
    event TEXT UNIQUE
);

CREATE INDEX payment_by_account ON payment (account);
