-- What a person's account page shows and needs. Times are seconds since 1970.

-- Sign-ins: one row for what is alike on one day, counted. What a sign-in does not have is empty. A failed one has
-- neither address nor client nor browser, so that guessing makes a row a day and place at most. news: 1 for a browser that
-- was not known before, 2 once the person was told of it.
CREATE TABLE sign_ins (
    login     TEXT    NOT NULL,
    day       BIGINT  NOT NULL,
    place     TEXT    NOT NULL,
    address   TEXT    NOT NULL,
    client_id TEXT    NOT NULL,
    program   TEXT    NOT NULL,
    failed    BOOLEAN NOT NULL,
    browser   BYTEA   NOT NULL,
    at        BIGINT  NOT NULL,
    count     BIGINT  NOT NULL,
    news      BIGINT  NOT NULL,
    PRIMARY KEY (login, day, place, address, client_id, program, failed, browser)
);

CREATE INDEX sign_ins_by_time ON sign_ins (at);

-- Browsers from which somebody has signed in before. browser is a hash of a cookie and the login name.
CREATE TABLE browsers (
    login   TEXT    NOT NULL,
    browser BYTEA   NOT NULL CHECK (octet_length(browser) = 32),
    seen_at BIGINT  NOT NULL,
    PRIMARY KEY (login, browser)
);

CREATE INDEX browsers_by_time ON browsers (seen_at);

-- When a mail session last hung on a grant.
CREATE TABLE grant_uses (
    grant_id BYTEA   NOT NULL PRIMARY KEY REFERENCES grants (id) ON DELETE CASCADE,
    at       BIGINT  NOT NULL,
    place    TEXT    NOT NULL,
    address  TEXT    NOT NULL,
    program  TEXT    NOT NULL
);

-- Who is signed in to the account page. lookup is a hash of a cookie.
CREATE TABLE account_sessions (
    lookup     BYTEA   NOT NULL PRIMARY KEY CHECK (octet_length(lookup) = 32),
    login      TEXT    NOT NULL,
    auth_time  BIGINT  NOT NULL,
    created_at BIGINT  NOT NULL,
    expires_at BIGINT  NOT NULL
);

CREATE INDEX account_sessions_by_login ON account_sessions (login);
CREATE INDEX account_sessions_by_expiry ON account_sessions (expires_at);
