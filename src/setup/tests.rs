use std::sync::Arc;

use super::*;
use crate::model::Secret;

const BEARER: [Mechanism; 2] = [Mechanism::OAuthBearer, Mechanism::XOAuth2];
const ALL: [Mechanism; 4] = Mechanism::ALL;

fn service(protocol: Protocol, port: u16, security: Security, mechanisms: &[Mechanism]) -> Service {
    Service { protocol, host: "mail.example.org".into(), port, security, mechanisms: mechanisms.to_vec() }
}

fn offer(mechanisms: &[Mechanism]) -> Offer {
    let url = |path: &str| -> Arc<str> { format!("https://mail.example.org{path}").into() };
    Offer {
        hostname: "mail.example.org".into(),
        site: Some(Site { host: "mail.example.org".into(), port: 443 }),
        provider: Provider { name: "Tom & Jerry's <Mail>".into(), short_name: "T&J".into() },
        domains: vec!["example.org".into(), "example.net".into()],
        services: vec![
            service(Protocol::Imap, 993, Security::Tls, mechanisms),
            service(Protocol::Imap, 143, Security::StartTls, mechanisms),
            service(Protocol::Pop3, 995, Security::Tls, mechanisms),
            service(Protocol::Smtp, 465, Security::Tls, mechanisms),
            service(Protocol::Sieve, 4190, Security::StartTls, mechanisms),
        ],
        oauth: Some(OAuth {
            issuer: url(""),
            authorization_endpoint: url("/oauth/authorize"),
            token_endpoint: url("/oauth/token"),
            device_authorization_endpoint: Some(url("/oauth/device_authorization")),
            scope: "urn:ietf:params:oauth:scope:mail".into(),
            client_id: "open".into(),
            is_public: true,
        }),
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn what_is_no_address_is_not_read() {
    for good in ["a@example.org", "o'brien&co@example.org", "A+b.c@EXAMPLE.org", "jörg@example.org", "a@b"] {
        assert!(Address::parse(good).is_some(), "{good}");
    }
    assert_eq!(address("A@Example.ORG").as_str(), "A@example.org");
    let long = format!("{}@example.org", "a".repeat(65));
    let endless = format!("a@{}example.org", "b.".repeat(5000));
    for bad in [
        "",
        "@",
        "example.org",
        "@example.org",
        "a@",
        "a@b@example.org",
        "a b@example.org",
        "a\r\nX: y@example.org",
        "a\u{202E}@example.org",
        "a\u{0}@example.org",
        "<b>@example.org",
        "\"a\"@example.org",
        "a@exa mple.org",
        "a@example.org\r\n",
        "a@<script>",
        "a@-example.org",
        "a@example..org",
        "a@bücher.example",
        &long,
        &endless,
    ] {
        assert_eq!(Address::parse(bad), None, "{bad}");
    }
}

#[test]
fn the_domain_is_that_of_the_address_then_of_the_host_then_the_first() {
    let offer = offer(&BEARER);
    let domain =
        |text: Option<&str>, host: &str| offer.domain(text.map(address).as_ref(), host).map(|d| &**d);
    assert_eq!(domain(Some("a@EXAMPLE.net"), "autoconfig.example.org"), Some("example.net"));
    assert_eq!(domain(Some("a@elsewhere.example"), "autoconfig.example.org"), None);
    assert_eq!(domain(None, "AutoConfig.Example.NET:443"), Some("example.net"));
    assert_eq!(domain(None, "example.net"), Some("example.net"));
    assert_eq!(domain(None, "mail.example.org"), Some("example.org"));
    assert_eq!(domain(None, ""), Some("example.org"));
}

#[test]
fn autoconfig_is_as_the_draft_writes_it() {
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="example.net">
    <domain>example.net</domain>
    <displayName>Tom &amp; Jerry&#39;s &lt;Mail&gt;</displayName>
    <displayShortName>T&amp;J</displayShortName>
    <incomingServer type="imap">
      <hostname>mail.example.org</hostname>
      <port>993</port>
      <socketType>SSL</socketType>
      <authentication>OAuth2</authentication>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>mail.example.org</hostname>
      <port>587</port>
      <socketType>STARTTLS</socketType>
      <authentication>OAuth2</authentication>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </outgoingServer>
    <documentation url="https://mail.example.org:8443/">
      <descr lang="en">How to set up a mail client</descr>
      <descr lang="de">Ein Mailprogramm einrichten</descr>
    </documentation>
  </emailProvider>
  <setupServer type="managesieve">
    <hostname>mail.example.org</hostname>
    <port>4190</port>
    <socketType>STARTTLS</socketType>
    <authentication>OAuth2</authentication>
    <username>%EMAILADDRESS%</username>
  </setupServer>
  <oAuth2>
    <authURL>https://mail.example.org/oauth/authorize</authURL>
    <tokenURL>https://mail.example.org/oauth/token</tokenURL>
    <issuer>https://mail.example.org</issuer>
    <scope>urn:ietf:params:oauth:scope:mail</scope>
    <clientID>open</clientID>
  </oAuth2>
</clientConfig>
"#;
    let mut offer = offer(&BEARER);
    offer.site = Some(Site { host: "mail.example.org".into(), port: 8443 });
    offer.services = vec![
        service(Protocol::Imap, 993, Security::Tls, &BEARER),
        service(Protocol::Smtp, 587, Security::StartTls, &ALL),
        service(Protocol::Sieve, 4190, Security::StartTls, &BEARER),
    ];
    assert_eq!(autoconfig(&offer, "example.net", Version::V1_1).as_deref(), Some(expected));
    let newer = expected.replace("version=\"1.1\"", "version=\"1.2\"");
    assert_eq!(autoconfig(&offer, "example.net", Version::V1_2), Some(newer));
}

#[test]
fn nothing_is_promised_that_a_client_could_not_use() {
    let mut no_tokens = offer(&BEARER);
    no_tokens.oauth = None;
    assert_eq!(autoconfig(&no_tokens, "example.org", Version::V1_1), None);
    assert_eq!(pacc(&no_tokens), None);
    assert_eq!(add_on(&no_tokens), None);
    assert_eq!(preferences(&no_tokens), None);

    let mut passwords_only = offer(&ALL);
    passwords_only.oauth = None;
    let document = autoconfig(&passwords_only, "example.org", Version::V1_1).unwrap();
    assert!(document.contains("<authentication>password-cleartext</authentication>"));
    assert!(!document.contains("OAuth2") && !document.contains("oAuth2"), "{document}");

    let mut no_sending = offer(&ALL);
    no_sending.services.retain(|service| service.protocol != Protocol::Smtp);
    assert_eq!(autoconfig(&no_sending, "example.org", Version::V1_1), None);
    assert_eq!(autodiscover(&no_sending, &address("a@example.org")), None);
    assert!(mobile_profile(&no_sending, &address("a@example.org"), None).is_none());
}

#[test]
fn pacc_holds_implicit_tls_on_standard_ports_alone() {
    let expected = r#"{
  "protocols": {
    "imap": {
      "host": "mail.example.org"
    },
    "smtp": {
      "host": "mail.example.org"
    }
  },
  "authentication": {
    "oauth-public": {
      "issuer": "https://mail.example.org"
    },
    "password": false
  },
  "info": {
    "provider": {
      "name": "Tom & Jerry's <Mail>",
      "shortName": "T&J"
    },
    "help": {
      "documentation": "https://mail.example.org/"
    }
  }
}
"#;
    let mut offer = offer(&BEARER);
    offer.services.iter_mut().filter(|service| service.port == 995).for_each(|service| service.port = 9995);
    assert_eq!(pacc(&offer).as_deref(), Some(expected));
    offer.services.iter_mut().for_each(|service| service.security = Security::StartTls);
    assert_eq!(pacc(&offer), None);
}

#[test]
fn the_digest_is_sha256_in_base64() {
    // The digest of the empty text, which every implementation of SHA-256 is tested with.
    assert_eq!(digest_record(""), "v=UAAC1; a=sha256; d=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

#[test]
fn a_zone_names_what_there_is_and_says_what_there_is_not() {
    let offer = offer(&ALL);
    let records = records(&offer, "example.org");
    let of = |name: &str| {
        let record = records.iter().find(|record| record.name == format!("{name}.example.org."));
        record.map(|record| (record.kind, record.data.as_str()))
    };
    assert_eq!(of("_imaps._tcp"), Some(("SRV", "0 1 993 mail.example.org.")));
    assert_eq!(of("_imap._tcp"), Some(("SRV", "10 1 143 mail.example.org.")));
    assert_eq!(of("_pop3s._tcp"), Some(("SRV", "20 1 995 mail.example.org.")));
    assert_eq!(of("_pop3._tcp"), Some(("SRV", "0 0 0 .")));
    assert_eq!(of("_submissions._tcp"), Some(("SRV", "0 1 465 mail.example.org.")));
    assert_eq!(of("_submission._tcp"), Some(("SRV", "0 0 0 .")));
    assert_eq!(of("_sieve._tcp"), Some(("SRV", "0 1 4190 mail.example.org.")));
    assert_eq!(of("_autodiscover._tcp"), Some(("SRV", "0 1 443 mail.example.org.")));
    assert_eq!(of("autoconfig"), Some(("CNAME", "mail.example.org.")));
    assert_eq!(of("ua-auto-config"), Some(("CNAME", "mail.example.org.")));
    let digest = digest_record(&pacc(&offer).unwrap());
    assert_eq!(of("_ua-auto-config"), Some(("TXT", digest.as_str())));
    let zone = zone(&records);
    let last = zone.lines().last().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let expected = format!("_ua-auto-config.example.org. 3600 IN TXT \"{digest}\"");
    assert_eq!(last, Some(expected), "{zone}");
}

#[test]
fn a_zone_names_no_site_that_clients_would_not_find() {
    let mut elsewhere = offer(&BEARER);
    elsewhere.site = Some(Site { host: "mail.example.org".into(), port: 8443 });
    assert!(records(&elsewhere, "example.org").iter().all(|record| record.kind == "SRV"));
    elsewhere.site = None;
    assert_eq!(records(&elsewhere, "example.org").len(), 7);
}

fn request(address: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006\">\
         <Request><EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>\
         http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a\
         </AcceptableResponseSchema></Request></Autodiscover>"
    )
}

#[test]
fn the_address_of_an_autodiscover_request_is_read_and_nothing_is_expanded() {
    let of = |text: &str| requested_address(text.as_bytes()).map(|address| address.as_str().to_owned());
    assert_eq!(of(&request("a@example.org")).as_deref(), Some("a@example.org"));
    assert_eq!(of(&request(" o&apos;b&amp;c@example.org\r\n")).as_deref(), Some("o'b&c@example.org"));
    for hostile in [
        "&lt;b&gt;@example.org",
        "&e;@example.org",
        "&#97;@example.org",
        "&amp@example.org",
        "<x/>a@example.org",
        "a@example.org</EMailAddress><EMailAddress>b@example.org",
        "",
        &"&amp;".repeat(2000),
    ] {
        assert_eq!(of(&request(hostile)), None, "{hostile}");
    }
    let declared = format!("<!DOCTYPE x [<!ENTITY e \"a\">]>{}", request("a@example.org"));
    assert_eq!(of(&declared), None);
    assert_eq!(of(&request("a@example.org").replace("</EMailAddress>", "")), None);
    assert_eq!(requested_address(b"<EMailAddress>\xFF@example.org</EMailAddress>"), None);
}

#[test]
fn outlook_is_told_what_takes_its_password() {
    let mut offer = offer(&ALL);
    offer.services.iter_mut().filter(|service| service.port == 993).for_each(|service| {
        service.mechanisms = BEARER.to_vec();
    });
    let document = autodiscover(&offer, &address("o'b&c@example.org")).unwrap();
    let imap = "<Protocol>\n        <Type>IMAP</Type>\n        <Server>mail.example.org</Server>\n        \
                <Port>143</Port>\n        <LoginName>o&#39;b&amp;c@example.org</LoginName>\n        \
                <DomainRequired>off</DomainRequired>\n        <SPA>off</SPA>\n        <SSL>on</SSL>\n        \
                <Encryption>TLS</Encryption>\n        <AuthRequired>on</AuthRequired>\n      </Protocol>\n";
    assert!(document.contains(imap), "{document}");
    assert_eq!(document.matches("<Protocol>").count(), 3, "one of each: {document}");
    assert_eq!(autodiscover(&offer, &address("a@elsewhere.example")), None);
    assert_eq!(autodiscover(&self::offer(&BEARER), &address("a@example.org")), None);
}

#[test]
fn a_profile_for_an_address_is_always_the_same_and_holds_no_password_of_itself() {
    let offer = offer(&ALL);
    let alice = mobile_profile(&offer, &address("alice@example.org"), None).unwrap();
    let again = mobile_profile(&offer, &address("alice@example.org"), None).unwrap();
    assert_eq!(alice.expose(), again.expose());
    let text = alice.expose_str().unwrap();
    assert!(!text.contains("<key>IncomingPassword</key>"), "{text}");
    assert!(text.contains("<string>org.example.mail.bearward</string>"), "{text}");

    let password = Secret::copy_of(b"a&b<c");
    let with = mobile_profile(&offer, &address("alice@example.org"), Some(&password)).unwrap();
    assert!(with.expose_str().unwrap().contains("<string>a&amp;b&lt;c</string>"));
    let bob = mobile_profile(&offer, &address("bob@example.org"), None).unwrap();
    let uuids = |profile: &Secret| -> Vec<String> {
        let text = profile.expose_str().unwrap();
        let behind = text.split("<key>PayloadUUID</key>").skip(1);
        behind.map(|text| text.split("</string>").next().unwrap().trim().to_owned()).collect()
    };
    assert_eq!(uuids(&alice), uuids(&with));
    assert_eq!(uuids(&alice).len(), 2);
    assert_ne!(uuids(&alice).first(), uuids(&alice).get(1));
    assert!(uuids(&bob).iter().all(|uuid| !uuids(&alice).contains(uuid)));

    assert!(mobile_profile(&offer, &address("a@elsewhere.example"), None).is_none());
    assert!(mobile_profile(&self::offer(&BEARER), &address("a@example.org"), None).is_none());
}

#[test]
fn the_add_on_is_the_same_each_time_and_names_every_mail_host_once() {
    let mut offer = offer(&BEARER);
    let first = offer.services.first().unwrap().clone();
    offer.services.push(Service { host: "smtp.example.org".into(), protocol: Protocol::Smtp, ..first });
    let archive = add_on(&offer).unwrap();
    assert_eq!(archive, add_on(&offer).unwrap());
    let text = String::from_utf8_lossy(&archive);
    let hosts = "\"hostnames\": [\n      \"mail.example.org\",\n      \"smtp.example.org\"\n    ]";
    assert!(text.contains(hosts), "{text}");
    assert!(text.contains("\"issuer\": \"mail.example.org\""), "{text}");
}
