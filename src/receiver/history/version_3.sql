
-- Readings whose label no other reading had yet; a second one makes it a series. id: in the order of arrival.
-- arrived_us: by the receiver's clock. Other columns: as in readings and series.
CREATE TABLE unconfirmed(
    id INTEGER PRIMARY KEY,
    arrived_us INTEGER NOT NULL,
    agent TEXT NOT NULL,
    port TEXT NOT NULL,
    quantity TEXT NOT NULL,
    unit TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    start INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    value REAL NOT NULL,
    dated INTEGER NOT NULL,
    UNIQUE (agent, port, quantity, unit));
-- Series of removed agents whose rows are not all deleted.
CREATE TABLE removed_series(
    series INTEGER PRIMARY KEY);
-- Changes that viewers requested and that are not complete, as JSON.
CREATE TABLE jobs(
    id INTEGER PRIMARY KEY,
    job TEXT NOT NULL);
