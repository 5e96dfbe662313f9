-- Everything that the issuer's exchanges need. Nothing here is a key or a secret in clear. Times are seconds since
-- 1970.

ALTER TABLE grants ADD COLUMN audience TEXT NOT NULL DEFAULT '';
-- When the person proved who they are; NULL where nobody signed in.
ALTER TABLE grants ADD COLUMN auth_time INTEGER;
-- Of a service client: login names and *@domain, parted by spaces.
ALTER TABLE grants ADD COLUMN mailboxes TEXT NOT NULL DEFAULT '';

-- A client identifier may be long, and it differs in its last octets: those are enough to find it.
CREATE INDEX grants_by_client ON grants (substr(client_id, -24), revoked_at);
DROP INDEX grants_by_user;
CREATE INDEX grants_by_user ON grants (user, revoked_at);

ALTER TABLE tokens ADD COLUMN audience TEXT NOT NULL DEFAULT '';
-- SHA-256 of the client certificate that the token is bound to.
ALTER TABLE tokens ADD COLUMN certificate BLOB;
-- Of a refresh token: when it was replaced, by what answer, and until when the answer is kept.
ALTER TABLE tokens ADD COLUMN used_at INTEGER;
ALTER TABLE tokens ADD COLUMN answer BLOB;
ALTER TABLE tokens ADD COLUMN answer_until INTEGER;
-- Of a refresh token: the one that it replaced.
ALTER TABLE tokens ADD COLUMN predecessor BLOB;

CREATE INDEX tokens_by_use ON tokens (used_at) WHERE used_at IS NOT NULL;
CREATE INDEX tokens_with_answer ON tokens (answer_until) WHERE answer IS NOT NULL;

-- lookup is derived from the code; wrapped_key is the grant's private key under a key that is derived from the code
-- and the server key. It is removed when the code is used or has expired, or when its grant ends.
CREATE TABLE codes (
    lookup      BLOB    NOT NULL PRIMARY KEY CHECK (length(lookup) = 32),
    grant_id    BLOB    NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    details     TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER,
    wrapped_key BLOB,
    CHECK (used_at IS NULL OR wrapped_key IS NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX codes_by_grant ON codes (grant_id);
CREATE INDEX codes_by_expiry ON codes (expires_at);
CREATE INDEX codes_with_key_by_expiry ON codes (expires_at) WHERE wrapped_key IS NOT NULL;

-- lookup is derived from the device code, user_code is a keyed hash of what the person types. polled_at is when the
-- device asked last, and grant_id what it was given.
CREATE TABLE devices (
    lookup     BLOB    NOT NULL PRIMARY KEY CHECK (length(lookup) = 32),
    user_code  BLOB    NOT NULL UNIQUE CHECK (length(user_code) = 32),
    client_id  TEXT    NOT NULL,
    scope      TEXT    NOT NULL,
    audience   TEXT    NOT NULL,
    public_key BLOB    NOT NULL CHECK (length(public_key) = 32),
    details    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    interval   INTEGER NOT NULL,
    polled_at  INTEGER,
    state      TEXT    NOT NULL,
    grant_id   BLOB REFERENCES grants (id) ON DELETE CASCADE,
    CHECK ((grant_id IS NULL) = (state IN ('pending', 'denied')))
) STRICT, WITHOUT ROWID;

CREATE INDEX devices_by_grant ON devices (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX devices_with_grant_by_expiry ON devices (expires_at) WHERE grant_id IS NOT NULL;
CREATE INDEX devices_without_grant_by_expiry ON devices (expires_at) WHERE grant_id IS NULL;

-- secret and management are look-up hashes; metadata is JSON.
CREATE TABLE clients (
    id         TEXT    NOT NULL PRIMARY KEY,
    secret     BLOB CHECK (length(secret) = 32),
    management BLOB CHECK (length(management) = 32),
    metadata   TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE denied_clients (
    client_id TEXT    NOT NULL PRIMARY KEY,
    at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a person allowed a client once and for all.
CREATE TABLE consents (
    user      TEXT    NOT NULL,
    client_id TEXT    NOT NULL,
    scope     TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (user, client_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX consents_by_client ON consents (client_id);

-- password is a hash as a PHC string.
CREATE TABLE users (
    login      TEXT    NOT NULL PRIMARY KEY,
    password   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Claims, counts and values that vanish by themselves.
CREATE TABLE ephemeral (
    kind       TEXT    NOT NULL,
    key        BLOB    NOT NULL CHECK (length(key) = 32),
    count      INTEGER NOT NULL DEFAULT 0,
    value      BLOB,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX ephemeral_by_expiry ON ephemeral (expires_at);

ALTER TABLE signing_keys ADD COLUMN signs_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signing_keys ADD COLUMN retires_at INTEGER;

CREATE INDEX signing_keys_by_end ON signing_keys (retires_at) WHERE retires_at IS NOT NULL;
