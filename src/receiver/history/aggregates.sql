-- What was measured in each minute, from at_us on, and in each hour: of what is not in `readings` any more, too. sum: of the
-- values.
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
-- What of a table is from before that moment need not be there any more.
CREATE TABLE expired(
    name TEXT PRIMARY KEY,
    before_us INTEGER NOT NULL) WITHOUT ROWID;
