-- What is told of an app password. Its secret is the one token of its grant. networks are parted by blanks; without
-- any, it may be used from everywhere.
CREATE TABLE app_passwords (
    grant_id      BYTEA NOT NULL PRIMARY KEY REFERENCES grants (id) ON DELETE CASCADE,
    name          TEXT  NOT NULL,
    networks      TEXT  NOT NULL,
    last_used_at  BIGINT,
    last_address  TEXT,
    last_protocol TEXT,
    last_client   TEXT,
    CHECK ((last_used_at IS NULL) = (last_address IS NULL) AND (last_used_at IS NULL) = (last_protocol IS NULL))
);
