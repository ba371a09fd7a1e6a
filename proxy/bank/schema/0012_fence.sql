-- Lives of processes that were shut out, before what they had open was ended in their place.
CREATE TABLE fence (
    epoch INTEGER PRIMARY KEY CHECK (epoch > 0),
    at INTEGER NOT NULL
) STRICT;
