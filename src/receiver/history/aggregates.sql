-- Values per minute and hour, from at_us on, including expired readings.
CREATE TABLE minutes(
    series INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sum REAL NOT NULL,
    min REAL NOT NULL,
    max REAL NOT NULL,
    PRIMARY KEY (series, at_us)) WITHOUT ROWID;
CREATE TABLE hours(
    series INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sum REAL NOT NULL,
    min REAL NOT NULL,
    max REAL NOT NULL,
    PRIMARY KEY (series, at_us)) WITHOUT ROWID;
-- Tables are incomplete before this moment.
CREATE TABLE expired(
    name TEXT PRIMARY KEY,
    before_us INTEGER NOT NULL) WITHOUT ROWID;
