use super::{D, E, S, Section, example};

pub(super) const SECTION: Section = example(
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
