use super::{D, E, S, Section, example, section};

pub(super) const SECTION: Section = section(
    "[directory]",
    "Directory",
    &[("source", D), ("default_domain", E("\"example.org\"")), ("lowercase", D)],
);

pub(super) const LDAP: Section = example(
    "[directory.ldap]",
    "LdapDirectory",
    &[
        ("url", S("\"ldaps://ldap.example.org\"")),
        ("starttls", E("true")),
        ("allow_cleartext", D),
        ("ca", E("\"certs/ldap-ca.pem\"")),
        ("bind_dn", S("\"cn=bearward,dc=example,dc=org\"")),
        ("bind_password", E("\"…\"")),
        ("bind_password_file", S("\"ldap.password\"")),
        ("base", S("\"ou=people,dc=example,dc=org\"")),
        ("scope", D),
        ("filter", S("\"(&(objectClass=person)(|(mail={user})(uid={local})))\"")),
        ("dn_template", E("\"uid={local},ou=people,dc=example,dc=org\"")),
        ("login_attribute", E("\"mail\"")),
        ("groups_attribute", E("\"memberOf\"")),
        ("require_group", E("\"cn=mail,ou=groups,dc=example,dc=org\"")),
        ("group_filter", E("\"(&(cn=mail)(member={dn}))\"")),
        ("group_base", E("\"ou=groups,dc=example,dc=org\"")),
        ("timeout", D),
        ("domains", E("[\"example.org\"]")),
    ],
);

pub(super) const SQL: Section = example(
    "[directory.sql]",
    "SqlDirectory",
    &[
        ("url", E("\"sqlite:users.db\"")),
        ("url_file", S("\"users.url\"")),
        ("query", S("\"SELECT login, password, active FROM users WHERE login = $1\"")),
        ("allow_plain", D),
        ("timeout", D),
        ("domains", E("[\"example.org\"]")),
    ],
);

pub(super) const DOVECOT_AUTH: Section = example(
    "[directory.dovecot_auth]",
    "DovecotAuth",
    &[("path", D), ("service", D), ("timeout", D), ("domains", E("[\"example.org\"]"))],
);

pub(super) const SASLAUTHD: Section = example(
    "[directory.saslauthd]",
    "Saslauthd",
    &[("path", D), ("service", D), ("split_realm", D), ("timeout", D), ("domains", E("[\"example.org\"]"))],
);

pub(super) const OIDC: Section = example(
    "[directory.oidc]",
    "Oidc",
    &[
        ("issuer", S("\"https://login.example.net/realms/main\"")),
        ("client_id", S("\"bearward\"")),
        ("client_secret", S("\"…\"")),
        ("client_secret_file", E("\"client.secret\"")),
        ("client_auth", E("\"basic\"")),
        ("client_key", E("\"client.key\"")),
        ("client_key_id", E("\"bearward-1\"")),
        ("client_key_algorithm", D),
        ("client_certificate", E("\"client.pem\"")),
        ("label", E("\"Example Login\"")),
        ("scopes", D),
        ("login_claim", E("\"email\"")),
        ("login_template", E("\"{preferred_username}@example.net\"")),
        ("trust_email", D),
        ("domains", S("[\"example.net\"]")),
        ("algorithms", D),
        ("ca", E("\"certs/issuer-ca.pem\"")),
        ("timeout", D),
        ("leeway", D),
    ],
);
