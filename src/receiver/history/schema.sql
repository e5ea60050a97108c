-- Starts of agents; the numbers of readings start over with each. ahead_us: how far this machine's clock was ahead of the
-- agent's, if that was needed.
CREATE TABLE starts(
    id INTEGER PRIMARY KEY,
    agent TEXT NOT NULL,
    boot TEXT NOT NULL,
    ahead_us INTEGER,
    UNIQUE (agent, boot));
CREATE TABLE series(
    id INTEGER PRIMARY KEY,
    agent TEXT NOT NULL,
    port TEXT NOT NULL,
    quantity TEXT NOT NULL,
    unit TEXT NOT NULL,
    UNIQUE (agent, port, quantity, unit));
-- at_us: when it was captured, in microseconds since 1970. dated: the clock of at_us: 0 the agent's, synchronised; 1 the
-- receiver's; 2 the agent's, unsynchronised.
CREATE TABLE readings(
    series INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    start INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    value REAL NOT NULL,
    dated INTEGER NOT NULL,
    PRIMARY KEY (series, at_us, start, seq)) WITHOUT ROWID;
-- The numbers of a start that are stored. Earlier versions added those that they refused.
CREATE TABLE kept(
    start INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (start, first)) WITHOUT ROWID;
