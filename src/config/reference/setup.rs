use super::{E, S, Section, example, section};

pub(super) const SECTION: Section = section(
    "[setup]",
    "Setup",
    &[
        ("domains", E("[\"example.org\"]")),
        ("provider_name", E("\"Example Mail\"")),
        ("provider_short_name", E("\"Example\"")),
        ("imap", E("[\"imaps://imap.example.org\", \"imap+starttls://imap.example.org\"]")),
        ("smtp", E("[\"smtps://smtp.example.org\"]")),
        ("pop3", E("[]")),
        ("sieve", E("[\"sieve+starttls://sieve.example.org\"]")),
    ],
);

pub(super) const OAUTH: Section = example(
    "[setup.oauth]",
    "SetupOAuth",
    &[
        ("issuer", S("\"https://login.example.net/realms/main\"")),
        ("client_id", S("\"mail\"")),
        ("authorization_endpoint", S("\"https://login.example.net/realms/main/auth\"")),
        ("token_endpoint", S("\"https://login.example.net/realms/main/token\"")),
        ("device_authorization_endpoint", E("\"https://login.example.net/realms/main/device\"")),
        ("scope", S("\"mail offline_access\"")),
    ],
);
