-- Everything that the issuer's exchanges need. Times are seconds since 1970.

ALTER TABLE grants ADD COLUMN audience TEXT NOT NULL DEFAULT '';
-- When the person proved who they are; NULL where nobody signed in.
ALTER TABLE grants ADD COLUMN auth_time INTEGER;
-- Of a service client: login names and *@domain, parted by spaces.
ALTER TABLE grants ADD COLUMN mailboxes TEXT NOT NULL DEFAULT '';

ALTER TABLE tokens ADD COLUMN audience TEXT NOT NULL DEFAULT '';
-- SHA-256 of the client certificate that the token is bound to.
ALTER TABLE tokens ADD COLUMN certificate BLOB;
-- Of a refresh token: when it was replaced, by what answer, and until when the answer is kept.
ALTER TABLE tokens ADD COLUMN used_at INTEGER;
ALTER TABLE tokens ADD COLUMN answer BLOB;
ALTER TABLE tokens ADD COLUMN answer_until INTEGER;
-- Of a refresh token: the one that it replaced.
ALTER TABLE tokens ADD COLUMN predecessor BLOB;

ALTER TABLE signing_keys ADD COLUMN signs_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signing_keys ADD COLUMN retires_at INTEGER;
