-- The numbers of an agent's readings begin anew with each of its starts. ahead_us: by so much this machine's clock was ahead
-- of the agent's, where that was needed.
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
-- at_us: when it was captured, microseconds since 1970. dated: 0 by the agent's clock, which was set by another one; 1 by the
-- receiver's; 2 by a clock that nobody had set.
CREATE TABLE readings(
    series INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    start INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    value REAL NOT NULL,
    dated INTEGER NOT NULL,
    PRIMARY KEY (series, at_us, start, seq)) WITHOUT ROWID;
-- Which numbers of a start are there.
CREATE TABLE kept(
    start INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (start, first)) WITHOUT ROWID;
