-- Passwords of users at mail servers that neither a token nor a service account opens. sealed is the password under a
-- key that is derived from the server key, bound to user and backend: the store alone opens none.
CREATE TABLE upstream_secrets (
    login      TEXT   COLLATE "C" NOT NULL,
    backend    TEXT   COLLATE "C" NOT NULL,
    sealed     BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (login, backend)
);
