-- What was ended at another issuer: a person's sign-in there, or all of a person's. The key is a hash that names the
-- issuer too. Tokens that were issued before the end are not taken any more.
CREATE TABLE outside_ends (
    key BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX outside_ends_by_time ON outside_ends (at);
