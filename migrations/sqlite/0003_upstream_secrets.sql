-- Passwords of users at mail servers that neither a token nor a service account opens. sealed is the password under a
-- key that is derived from the server key, bound to user and backend: the store alone opens none.
CREATE TABLE upstream_secrets (
    user       TEXT    NOT NULL,
    backend    TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user, backend)
) STRICT, WITHOUT ROWID;
