//! Whom a token speaks for.

use bearward::validator::{Rejection, trusted::Template};
use serde_json::json;

use super::{House, NOW, but, claims, later, settings};
use crate::support::HostileIssuer;

#[tokio::test]
async fn only_a_verified_address_of_its_domains_names_a_user() {
    let issuer = HostileIssuer::start().await;
    let house = House::trusting(vec![settings(&issuer, "example.net")]).await;
    for changes in [
        json!({ "email_verified": false }),
        json!({ "email_verified": null }),
        json!({ "email_verified": "true" }),
        json!({ "email_verified": 1 }),
        json!({ "email": null }),
        json!({ "email": ["alice@example.net"] }),
        json!({ "email": { "x": "alice@example.net" } }),
        json!({ "email": "" }),
        json!({ "email": "alice" }),
        json!({ "email": "@example.net" }),
        json!({ "email": "alice@example.org" }),
        json!({ "email": "alice@example.net.evil.example" }),
        json!({ "email": "alice@evil.example@example.net" }),
        json!({ "email": "alice@sub.example.net" }),
        json!({ "email": "alice@example.net." }),
        json!({ "email": "alice@ex\u{430}mple.net" }),
        json!({ "email": "alice@example\u{ff0e}net" }),
        json!({ "email": "alice\r\n@example.net" }),
        json!({ "email": "alice\u{0}@example.net" }),
        json!({ "email": "al ice@example.net" }),
    ] {
        let result = house.ask(&issuer.sign(&but(&issuer, &changes))).await;
        assert_eq!(result.err(), Some(Rejection::NotAuthorized), "{changes}");
    }
    let upper = but(&issuer, &json!({ "email": "Alice@EXAMPLE.net" }));
    let principal = house.ask(&issuer.sign(&upper)).await.unwrap();
    assert_eq!(principal.login.as_str(), "Alice@example.net");
}

#[tokio::test]
async fn a_template_takes_claims_as_they_are_and_cannot_be_led_elsewhere() {
    let issuer = HostileIssuer::start().await;
    let mut config = settings(&issuer, "example.net");
    config.mapping.login = Template::parse("{preferred_username}@example.net").unwrap();
    config.mapping.addresses_claim = Some("aliases".to_owned());
    let house = House::trusting(vec![config]).await;
    let named = |name: &str| {
        let aliases = ["a.b@example.net", "x@elsewhere.example"];
        but(&issuer, &json!({ "preferred_username": name, "aliases": aliases }))
    };
    let principal = house.ask(&issuer.sign(&named("alice"))).await.unwrap();
    assert_eq!(principal.login.as_str(), "alice@example.net");
    assert_eq!(principal.addresses, ["a.b@example.net"]);
    for bad in ["alice@evil.example", "", "a b", "x\r\ny"] {
        let result = house.ask(&issuer.sign(&named(bad))).await;
        assert_eq!(result.err(), Some(Rejection::NotAuthorized), "{bad:?}");
    }
    let literal = house.ask(&issuer.sign(&named("{sub}"))).await.unwrap();
    assert_eq!(literal.login.as_str(), "{sub}@example.net");
}

#[tokio::test]
async fn another_mailbox_opens_only_where_the_token_says_so_and_only_in_its_domains() {
    let issuer = HostileIssuer::start().await;
    let mut config = settings(&issuer, "example.net");
    config.mapping.mailboxes_claim = Some("mail.boxes".to_owned());
    config.mapping.mailbox_group = Some(Template::parse("mailbox:{mailbox}").unwrap());
    let house = House::trusting(vec![config]).await;
    let token = issuer.sign(&but(
        &issuer,
        &json!({
            "mail": { "boxes": ["info@example.net", "ceo@example.org", "*@example.org"] },
            "groups": ["mailbox:sales@example.net", "mailbox:root@example.org"],
        }),
    ));
    for open in ["info@example.net", "sales@example.net"] {
        let principal = house.ask_as(&token, open).await.unwrap();
        assert_eq!((principal.login.as_str(), principal.mailbox.as_str()), ("alice@example.net", open));
    }
    for closed in ["ceo@example.org", "root@example.org", "bob@example.net", "a*b@example.org", "x\ry", ""] {
        assert_eq!(house.ask_as(&token, closed).await.err(), Some(Rejection::NotAuthorized), "{closed:?}");
    }
}

#[tokio::test]
async fn userinfo_must_speak_of_the_tokens_person() {
    let issuer = HostileIssuer::start().await;
    let mut config = settings(&issuer, "example.net");
    config.fetch_userinfo = true;
    let house = House::trusting(vec![config]).await;
    let bare =
        |sub: &str| issuer.sign(&but(&issuer, &json!({ "email": null, "email_verified": null, "sub": sub })));
    let told = |sub: &str| json!({ "sub": sub, "email": "alice@example.net", "email_verified": true, "exp": 1, "aud": "x" });
    issuer.say("/userinfo", &told("1"));
    assert_eq!(house.ask(&bare("1")).await.unwrap().login.as_str(), "alice@example.net");
    assert_eq!(house.ask(&bare("2")).await.unwrap_err(), Rejection::Malformed);
    issuer.say("/userinfo", &json!({ "email": "alice@example.net", "email_verified": true }));
    assert_eq!(house.ask(&bare("3")).await.unwrap_err(), Rejection::Malformed);
    // What the token says of the address is not proved by what userinfo says.
    issuer.say("/userinfo", &told("4"));
    let unverified =
        but(&issuer, &json!({ "sub": "4", "email": "bob@example.net", "email_verified": false }));
    assert_eq!(house.ask(&issuer.sign(&unverified)).await.unwrap_err(), Rejection::NotAuthorized);
}

#[tokio::test]
async fn nothing_is_remembered_past_the_end_of_the_token() {
    let issuer = HostileIssuer::start().await;
    let mut config = settings(&issuer, "example.net");
    config.leeway = std::time::Duration::ZERO;
    let house = House::trusting(vec![config]).await;
    let token = issuer.sign(&but(&issuer, &json!({ "exp": NOW.0 + 10 })));
    house.validator.validate(&token, &super::IMAP, later(9)).await.unwrap();
    let result = house.validator.validate(&token, &super::IMAP, later(10)).await;
    assert_eq!(result.err(), Some(Rejection::Expired));
    house.ask(&issuer.sign(&claims(&issuer))).await.unwrap();
}
