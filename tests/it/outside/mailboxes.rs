//! Another's mailbox by what a token says: by a claim, and by a group.

use serde_json::{Value, json};

use super::{House, PROTOCOLS, TEAM, token_of, trust};
use crate::support::{ALICE, HostileIssuer};

const SHARED: &str =
    "mailboxes_claim = \"shared\"\nmailbox_group = \"mailbox:{mailbox}\"\ngroups_claim = \"realm.groups\"\n";
const OWN_NAME: &str = "shared_login_name = '{domain}\\{local}\\{mailbox_local}'\n";

/// Claims of Alice, and these.
fn alice(more: &Value) -> Value {
    let mut claims = json!({ "email": ALICE, "email_verified": true });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_or_a_group_opens_a_shared_mailbox_on_every_protocol_and_nothing_else_does() {
    let house = House::start("", SHARED, "").await;
    let by_claim = house.token(&alice(&json!({ "shared": ["other@example.org", TEAM] })));
    let by_group =
        house.token(&alice(&json!({ "realm": { "groups": ["staff", "mailbox:team@example.org"] } })));
    let without = house.token(&alice(&json!({ "realm": { "groups": ["staff"] } })));
    for protocol in PROTOCOLS {
        for token in [&by_claim, &by_group] {
            house.opens(protocol, TEAM, token, TEAM);
            house.opens(protocol, ALICE, token, ALICE);
        }
        house.opens(protocol, ALICE, &without, ALICE);
        house.is_not_for(protocol, TEAM, &without);
        house.is_not_for(protocol, "third@example.org", &by_claim);
        house.is_not_for(protocol, "other@example.org", &by_group);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_mailbox_is_opened_under_the_name_that_holds_both() {
    let house = House::start(OWN_NAME, SHARED, "").await;
    let token = house.token(&alice(&json!({ "shared": "*@example.org" })));
    for protocol in PROTOCOLS {
        house.opens(protocol, TEAM, &token, r"example.org\alice\team");
        house.opens(protocol, ALICE, &token, ALICE);
        // A value is never read as a template.
        house.opens(protocol, "{user}@example.org", &token, r"example.org\alice\{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_chooses_a_mailbox_by_writing_the_separator_into_a_name() {
    let house = House::start(OWN_NAME, SHARED, "").await;
    let entitled = house.token(&alice(&json!({ "shared": "*@example.org" })));
    let clever = house.token(&json!({
        "email": r"bob\ceo@example.org", "email_verified": true, "shared": "*@example.org",
    }));
    for protocol in PROTOCOLS {
        for (user, token) in [(r"ceo\team@example.org", &entitled), (TEAM, &clever)] {
            let logins = house.logins(protocol);
            let answer = house.sign_in(protocol, user, token);
            assert!(!answer.line.starts_with(super::taken(protocol)), "{protocol}: {}", answer.line);
            assert_eq!(house.logins(protocol), logins, "{protocol}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_like_the_claim_or_the_group_opens_nothing() {
    let house = House::start("", SHARED, "").await;
    let groups = |groups: Value| json!({ "realm": { "groups": groups } });
    let claims = [
        json!({ "shared": "team@example.or" }),
        json!({ "shared": "team@example.org.evil.example" }),
        json!({ "shared": "eam@example.org" }),
        json!({ "shared": "TEAM@example.org" }),
        json!({ "shared": "team" }),
        json!({ "shared": "other@example.org team@example.org" }),
        json!({ "shared": "other@example.org,team@example.org" }),
        json!({ "shared": "team@example.org\r\n" }),
        json!({ "shared": "*" }),
        json!({ "shared": "*@*" }),
        json!({ "shared": "*@org" }),
        json!({ "shared": "*team@example.org" }),
        json!({ "shared": { "team@example.org": true } }),
        json!({ "shared": { "mailbox": "team@example.org" } }),
        json!({ "shared": [["team@example.org"]] }),
        json!({ "shared": [{ "mailbox": "team@example.org" }, 1, null, true] }),
        json!({ "shared": null }),
        json!({ "Shared": ["team@example.org"] }),
        json!({ "mailboxes": ["team@example.org"] }),
        groups(json!(["mailbox:team@example.or"])),
        groups(json!(["mailbox:team@example.org2"])),
        groups(json!(["mailbox:team"])),
        groups(json!(["mailbox:"])),
        groups(json!(["Mailbox:team@example.org"])),
        groups(json!(["mailbox:Team@example.org"])),
        groups(json!(["mailbox:team@EXAMPLE.ORG"])),
        groups(json!(["/mailbox:team@example.org"])),
        groups(json!(["mailbox:{mailbox}"])),
        groups(json!(["mailbox:*@example.org"])),
        groups(json!("staff mailbox:team@example.org")),
        groups(json!({ "mailbox:team@example.org": {} })),
        groups(json!([["mailbox:team@example.org"]])),
        groups(json!([{ "name": "mailbox:team@example.org" }])),
        json!({ "groups": ["mailbox:team@example.org"] }),
        json!({ "realm": ["mailbox:team@example.org"] }),
        json!({ "realm": [{ "groups": ["mailbox:team@example.org"] }] }),
        json!({ "realm": { "groups": { "groups": ["mailbox:team@example.org"] } } }),
        json!({ "realm": { "Groups": ["mailbox:team@example.org"] } }),
    ];
    for (index, claims) in claims.iter().enumerate() {
        eprintln!("{claims}");
        house.is_not_for(PROTOCOLS[index % PROTOCOLS.len()], TEAM, &house.token(&alice(claims)));
    }
    let entitled = house.token(&alice(&json!({ "shared": ["team@example.org", "*@example.org"] })));
    for user in ["*@example.org", "@example.org", "a*b@example.org", "x@example.org.evil.example", "team"] {
        house.is_not_for("imap", user, &entitled);
    }
    house.opens("imap", "team@Example.ORG", &entitled, TEAM);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_opens_no_mailbox_of_anothers_domain_and_none_by_anothers_mapping() {
    let other = HostileIssuer::start().await;
    let further = trust(&other, "example.net");
    let house = House::start("", SHARED, &further).await;
    let claims = json!({
        "shared": [TEAM, "team@example.net", "*@example.net", "*@example.org"],
        "realm": { "groups": ["mailbox:team@example.org", "mailbox:team@example.net"] },
    });
    let of_first = house.token(&alice(&claims));
    let mut bob = claims;
    (bob["email"], bob["email_verified"]) = (json!("bob@example.net"), json!(true));
    let of_other = token_of(&other, &bob);
    for protocol in PROTOCOLS {
        house.opens(protocol, TEAM, &of_first, TEAM);
        house.is_not_for(protocol, "team@example.net", &of_first);
        house.opens(protocol, "bob@example.net", &of_other, "bob@example.net");
        // Its table names no claim and no group, in either domain.
        house.is_not_for(protocol, "team@example.net", &of_other);
        house.is_not_for(protocol, TEAM, &of_other);
    }
}
