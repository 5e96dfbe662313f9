-- Everything that the issuer's exchanges need. Times are seconds since 1970.

ALTER TABLE grants ADD COLUMN audience TEXT NOT NULL DEFAULT '';
-- When the person proved who they are; NULL where nobody signed in.
ALTER TABLE grants ADD COLUMN auth_time BIGINT;
-- Of a service client: login names and *@domain, parted by spaces.
ALTER TABLE grants ADD COLUMN mailboxes TEXT NOT NULL DEFAULT '';

-- A client identifier may be long, and it differs in its last octets: those are enough to find it.
CREATE INDEX grants_by_client ON grants (right(client_id, 24), revoked_at);
DROP INDEX grants_by_login;
CREATE INDEX grants_by_login ON grants (login, revoked_at);

ALTER TABLE tokens ADD COLUMN audience TEXT NOT NULL DEFAULT '';
-- SHA-256 of the client certificate that the token is bound to.
ALTER TABLE tokens ADD COLUMN certificate BYTEA;
-- Of a refresh token: when it was replaced, by what answer, and until when the answer is kept.
ALTER TABLE tokens ADD COLUMN used_at BIGINT;
ALTER TABLE tokens ADD COLUMN answer BYTEA;
ALTER TABLE tokens ADD COLUMN answer_until BIGINT;
-- Of a refresh token: the one that it replaced.
ALTER TABLE tokens ADD COLUMN predecessor BYTEA;

CREATE INDEX tokens_by_use ON tokens (used_at) WHERE used_at IS NOT NULL;
CREATE INDEX tokens_with_answer ON tokens (answer_until) WHERE answer IS NOT NULL;

ALTER TABLE signing_keys ADD COLUMN signs_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE signing_keys ADD COLUMN retires_at BIGINT;

-- Authorization codes. details is what the code is bound to, as the issuer writes it.
CREATE TABLE codes (
    lookup      BYTEA  NOT NULL PRIMARY KEY CHECK (length(lookup) = 32),
    grant_id    BYTEA  NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    details     TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT,
    wrapped_key BYTEA,
    CHECK (used_at IS NULL OR wrapped_key IS NULL)
);

CREATE INDEX codes_by_grant ON codes (grant_id);
CREATE INDEX codes_by_expiry ON codes (expires_at);
CREATE INDEX codes_with_key_by_expiry ON codes (expires_at) WHERE wrapped_key IS NOT NULL;

-- Device codes. grant_id is there once a person has approved. polled_at is when the device asked last.
CREATE TABLE devices (
    lookup        BYTEA   NOT NULL PRIMARY KEY CHECK (length(lookup) = 32),
    user_code     BYTEA   NOT NULL UNIQUE CHECK (length(user_code) = 32),
    client_id     TEXT    COLLATE "C" NOT NULL,
    scope         TEXT    NOT NULL,
    audience      TEXT    NOT NULL,
    public_key    BYTEA   NOT NULL CHECK (length(public_key) = 32),
    details       TEXT    NOT NULL,
    created_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL,
    poll_interval BIGINT  NOT NULL,
    polled_at     BIGINT,
    state         TEXT    NOT NULL DEFAULT 'pending',
    grant_id      BYTEA   REFERENCES grants (id) ON DELETE CASCADE,
    CHECK ((grant_id IS NULL) = (state IN ('pending', 'denied')))
);

CREATE INDEX devices_by_grant ON devices (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX devices_with_grant_by_expiry ON devices (expires_at) WHERE grant_id IS NOT NULL;
CREATE INDEX devices_without_grant_by_expiry ON devices (expires_at) WHERE grant_id IS NULL;

-- secret and management are look-up hashes; metadata is the issuer's JSON.
CREATE TABLE clients (
    client_id  TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    secret     BYTEA  CHECK (length(secret) = 32),
    management BYTEA  CHECK (length(management) = 32),
    metadata   TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

-- Client identifiers that get nothing any more, with a row or without.
CREATE TABLE denied_clients (
    client_id TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    at        BIGINT NOT NULL
);

-- What a person allowed a client once and for all.
CREATE TABLE consents (
    login     TEXT   COLLATE "C" NOT NULL,
    client_id TEXT   COLLATE "C" NOT NULL,
    scope     TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (login, client_id)
);

CREATE INDEX consents_by_client ON consents (client_id);

-- The built-in directory. password is a PHC string.
CREATE TABLE users (
    login      TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    password   TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

-- Small facts that vanish by themselves.
CREATE TABLE ephemeral (
    kind       TEXT   COLLATE "C" NOT NULL,
    key        BYTEA  NOT NULL CHECK (length(key) = 32),
    value      BYTEA,
    count      BIGINT NOT NULL DEFAULT 0,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
);

CREATE INDEX ephemeral_by_expiry ON ephemeral (expires_at);

CREATE INDEX signing_keys_by_end ON signing_keys (retires_at) WHERE retires_at IS NOT NULL;
