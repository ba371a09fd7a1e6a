-- What accounts buy: an order is made before anybody pays, and says what has to be paid. Times are Unix seconds.
CREATE TABLE payment (
    id TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account,
    -- Credits, in nano-USD, and the price in the currency's smallest unit.
    amount INTEGER NOT NULL CHECK (amount > 0),
    price INTEGER NOT NULL CHECK (price > 0),
    currency TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- Where it is paid, by the payment service's own name; NULL until it has given one.
    session TEXT UNIQUE,
    paid_at INTEGER,
    -- The event that told of it.
    event TEXT UNIQUE
) STRICT, WITHOUT ROWID;

CREATE INDEX payment_by_account ON payment (account);
