//! `login_lookup`: who a token's user is, by a look-up.

use serde_json::json;

use super::{House, PROTOCOLS};
use crate::support::{ALICE, Ports};

const BY_NUMBER: &str = "login_claim = \"employee\"\nlogin_lookup = \"people\"\n";

const PEOPLE: &str = r#"
["4711"]
login_name = "alice@example.org"
["of-another"]
login_name = "carol@elsewhere.example"
["of-a-domain-below"]
login_name = "carol@sub.example.org"
["of-two"]
login_name = "carol@elsewhere.example@example.org"
["of-none"]
login_name = "alice"
["of-a-client"]
login_name = "open@client.invalid"
["without-a-name"]
mailboxes = ["alice@example.org"]
"#;

struct Company {
    house: House,
    folder: tempfile::TempDir,
}

impl Company {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let people = folder.path().join("people.toml");
        std::fs::write(&people, PEOPLE).unwrap();
        let tables = format!("[lookup.people]\nkind = \"file\"\npath = \"{}\"\n", people.display());
        Self { house: House::start("", BY_NUMBER, &tables).await, folder }
    }

    fn token(&self, employee: &str) -> String {
        self.house.token(&json!({ "employee": employee }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_look_up_names_is_signed_in_on_every_protocol() {
    let company = Company::start().await;
    let token = company.token("4711");
    for protocol in PROTOCOLS {
        company.house.opens(protocol, ALICE, &token, ALICE);
        // What the token itself says is nobody's login name.
        company.house.is_not_for(protocol, "4711", &token);
    }
    company.house.serve.wait_for_log(&["outcome=\"ok\"", "protocol=\"sieve\"", "user=\"alice@example.org\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_look_up_does_not_know_is_not_allowed_and_the_token_is_not_to_blame() {
    let company = Company::start().await;
    let unknown = company.token("4712");
    for protocol in PROTOCOLS {
        company.house.is_not_for(protocol, ALICE, &unknown);
        let protocol = format!("protocol=\"{protocol}\"");
        company.house.serve.wait_for_log(&["outcome=\"policy\"", &protocol]);
    }
    // Another case is another user; what can be no name is not looked up; an entry need not name anybody.
    for employee in ["4711 ", "47\r\n11", "4711\0", "", "without-a-name", ALICE] {
        company.house.is_not_for("imap", ALICE, &company.token(employee));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_gives_an_issuer_nobody_outside_of_its_domains() {
    let company = Company::start().await;
    let others = [
        ("of-another", "carol@elsewhere.example"),
        ("of-a-domain-below", "carol@sub.example.org"),
        ("of-two", "carol@elsewhere.example@example.org"),
        ("of-none", "alice"),
        ("of-a-client", "open@client.invalid"),
    ];
    for (employee, named) in others {
        let token = company.token(employee);
        for user in [named, ALICE] {
            company.house.is_not_for("imap", user, &token);
        }
    }
    for protocol in PROTOCOLS {
        company.house.is_not_for(protocol, "carol@elsewhere.example", &company.token("of-another"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_from_a_look_up_that_would_be_a_line_of_its_own_reaches_no_mail_server() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("people.db");
    std::fs::File::create(&database).unwrap();
    let tables = format!(
        "[lookup.people]\nkind = \"sql\"\nurl = \"sqlite:{}\"\nquery = \"SELECT 'alice@example.org' || CASE $1 \
         WHEN 'cr' THEN char(13) WHEN 'lf' THEN char(10) WHEN 'crlf' THEN char(13, 10) WHEN 'nul' THEN char(0) \
         WHEN 'blank' THEN ' ' ELSE '' END || CASE $1 WHEN 'good' THEN '' ELSE 'x' END AS login_name\"\n",
        database.display()
    );
    let house = House::start("", BY_NUMBER, &tables).await;
    house.opens("imap", ALICE, &house.token(&json!({ "employee": "good" })), ALICE);
    for employee in ["cr", "lf", "crlf", "nul", "blank"] {
        let token = house.token(&json!({ "employee": employee }));
        for protocol in PROTOCOLS {
            house.is_put_off(protocol, ALICE, &token);
        }
    }
    house.serve.wait_for_log(&["ERROR", "people", "login_name cannot be one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_such_a_name_replaces_none_that_was_good() {
    let company = Company::start().await;
    let token = company.token("4711");
    for evil in ["\\r", "\\n", "\\u0000"] {
        let people = company.folder.path().join("people.toml");
        std::fs::write(people, format!("[\"4711\"]\nlogin_name = \"bob@example.org{evil}x\"\n")).unwrap();
        company.house.opens("imap", ALICE, &token, ALICE);
    }
    company.house.serve.wait_for_log(&["ERROR", "4711", "login_name cannot be one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_that_is_down_puts_everybody_off_and_spoils_no_token() {
    let nobody_listens = Ports::reserve().take();
    let tables =
        format!("[lookup.people]\nkind = \"http\"\nurl = \"http://127.0.0.1:{nobody_listens}/auth\"\n");
    let house = House::start("", BY_NUMBER, &tables).await;
    let token = house.token(&json!({ "employee": "4711" }));
    for protocol in PROTOCOLS {
        house.is_put_off(protocol, ALICE, &token);
        let protocol = format!("protocol=\"{protocol}\"");
        house.serve.wait_for_log(&["outcome=\"issuer_unreachable\"", &protocol]);
    }
}
