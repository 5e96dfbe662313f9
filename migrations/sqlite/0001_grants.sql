-- Grants, their tokens and sealed credentials. Nothing here is a key or a secret in clear.
-- Times are seconds since 1970.

CREATE TABLE grants (
    id             BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user           TEXT    NOT NULL,
    client_id      TEXT    NOT NULL,
    scope          TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    revoked_at     INTEGER,
    revoked_reason TEXT,
    public_key     BLOB    NOT NULL CHECK (length(public_key) = 32),
    CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX grants_by_user ON grants (user);

-- lookup is derived from the token; wrapped_key is the grant's private key under a key that is derived from the
-- token and the server key. It is removed when the token or its grant ends.
CREATE TABLE tokens (
    lookup      BLOB    NOT NULL PRIMARY KEY CHECK (length(lookup) = 32),
    grant_id    BLOB    NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    kind        TEXT    NOT NULL,
    scope       TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    revoked_at  INTEGER,
    wrapped_key BLOB
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_grant ON tokens (grant_id);
CREATE INDEX tokens_by_expiry ON tokens (expires_at);
CREATE INDEX tokens_with_key_by_expiry ON tokens (expires_at) WHERE wrapped_key IS NOT NULL;

-- sealed opens with the grant's private key alone.
CREATE TABLE credentials (
    grant_id BLOB NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    backend  TEXT NOT NULL,
    kind     TEXT NOT NULL,
    sealed   BLOB NOT NULL,
    PRIMARY KEY (grant_id, backend, kind)
) STRICT, WITHOUT ROWID;

-- What was ended early, in order, for whoever keeps copies in memory. Either a grant or a token.
CREATE TABLE revocations (
    sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    grant_id BLOB,
    lookup   BLOB,
    at       INTEGER NOT NULL,
    CHECK ((grant_id IS NULL) <> (lookup IS NULL))
) STRICT;

CREATE INDEX revocations_by_time ON revocations (at);

-- sealed is the private key, encrypted under the server key.
CREATE TABLE signing_keys (
    kid        TEXT    NOT NULL PRIMARY KEY,
    algorithm  TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
