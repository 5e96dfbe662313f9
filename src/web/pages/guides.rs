//! How each client is set up, with the names and ports of this server.

use crate::{
    model::Protocol,
    setup::{OAuth, Offer, Security, Service},
    web::{
        messages::{Guides, Messages, Sentence},
        setup::{ADD_ON, APPLE, PREFERENCES},
    },
};

/// What the page says of one client.
pub(super) struct Guide {
    pub(super) name: &'static str,
    pub(super) steps: Vec<Step>,
}

/// A step, or an example of what to write.
#[derive(Clone)]
pub(super) enum Step {
    Text(&'static str),
    /// A sentence whose gap is a link.
    Link {
        sentence: Sentence,
        text: &'static str,
        href: &'static str,
    },
    /// Lines for a file or a terminal.
    Code(String),
    /// A form that asks for an address and leads to a file.
    Address {
        label: &'static str,
        button: &'static str,
        action: &'static str,
    },
}

/// Every client, or none where nothing is known of a way in.
pub(super) fn guides(offer: &Offer, m: &Messages) -> Vec<Guide> {
    if offer.oauth.is_none() && !offer.takes_passwords() {
        return Vec::new();
    }
    let guide = |name, steps| Guide { name, steps };
    let mut guides = vec![
        guide("Thunderbird", thunderbird(offer, &m.guides)),
        guide("Thunderbird for Android", by_password(offer, &m.guides, &[Step::Text(m.guides.finds)])),
        guide("Apple Mail", by_password(offer, &m.guides, &apple(&m.guides))),
        guide("Outlook", by_password(offer, &m.guides, &[Step::Text(m.guides.outlook)])),
        guide("Gmail app", by_password(offer, &m.guides, &[Step::Text(m.guides.gmail)])),
        guide("Evolution", by_password(offer, &m.guides, &[Step::Text(m.guides.finds)])),
        guide("KMail", by_password(offer, &m.guides, &[Step::Text(m.guides.finds)])),
    ];
    if let Some(oauth) = &offer.oauth {
        guides.extend(by_token(offer, oauth, &m.guides));
    }
    guides.retain(|guide| !guide.steps.is_empty());
    guides
}

fn thunderbird(offer: &Offer, m: &Guides) -> Vec<Step> {
    if offer.oauth.is_none() {
        return by_password(offer, m, &[Step::Text(m.finds)]);
    }
    vec![
        Step::Link { sentence: m.add_on, text: m.add_on_link, href: ADD_ON },
        Step::Text(m.add_on_then),
        Step::Link { sentence: m.preferences, text: m.preferences_link, href: PREFERENCES },
    ]
}

fn apple(m: &Guides) -> [Step; 2] {
    [Step::Text(m.apple), Step::Address { label: m.apple_label, button: m.apple_button, action: APPLE }]
}

/// The steps where passwords are taken, or that they are not.
fn by_password(offer: &Offer, m: &Guides, steps: &[Step]) -> Vec<Step> {
    if !offer.takes_passwords() {
        return vec![Step::Text(m.no_password)];
    }
    std::iter::once(Step::Text(m.password)).chain(steps.iter().cloned()).collect()
}

/// Clients that take tokens from whoever issues them. Only those with services here have steps.
fn by_token(offer: &Offer, oauth: &OAuth, m: &Guides) -> Vec<Guide> {
    let best = |protocol| offer.of(protocol).find(|service| service.takes_tokens());
    let (imap, smtp) = (best(Protocol::Imap), best(Protocol::Smtp));
    let user = format!("you@{}", offer.domains.first().map_or("example.org", |domain| domain));
    let with_command = |code: Option<String>| -> Vec<Step> {
        code.into_iter().flat_map(|code| [Step::Text(m.command), Step::Code(code)]).collect()
    };
    let guide = |name, steps| Guide { name, steps };
    vec![
        guide("mutt", with_command(imap.zip(smtp).map(|(imap, smtp)| mutt(imap, smtp, &user)))),
        guide("aerc", with_command(imap.zip(smtp).map(|(imap, smtp)| aerc(imap, smtp, &user)))),
        guide("himalaya", vec![Step::Text(m.himalaya)]),
        guide("mbsync", with_command(imap.map(|imap| mbsync(imap, &user)))),
        guide("msmtp", with_command(smtp.map(|smtp| msmtp(smtp, &user)))),
        guide("fetchmail", with_command(imap.map(|imap| fetchmail(imap, &user)))),
        guide(
            "Roundcube",
            imap.zip(smtp)
                .map(|(imap, smtp)| roundcube(imap, smtp, oauth))
                .into_iter()
                .flat_map(|code| [Step::Text(m.roundcube), Step::Code(code)])
                .collect(),
        ),
    ]
}

/// The scheme and the address of a service, as many programs write it.
fn url(service: &Service, tls: &str, clear: &str) -> String {
    let scheme = match service.security {
        Security::StartTls => clear,
        Security::Tls => tls,
    };
    format!("{scheme}://{}:{}", service.host, service.port)
}

fn mutt(imap: &Service, smtp: &Service, user: &str) -> String {
    let smtp = url(smtp, "smtps", "smtp").replacen("://", &format!("://{user}@"), 1);
    format!(
        "set from = {user}\n\
         set imap_user = {user}\n\
         set folder = {}/\n\
         set spoolfile = +INBOX\n\
         set ssl_force_tls = yes\n\
         set imap_authenticators = oauthbearer\n\
         set imap_oauth_refresh_command = \"TOKEN-COMMAND\"\n\
         set smtp_url = {smtp}\n\
         set smtp_authenticators = oauthbearer\n\
         set smtp_oauth_refresh_command = \"TOKEN-COMMAND\"\n",
        url(imap, "imaps", "imap")
    )
}

fn aerc(imap: &Service, smtp: &Service, user: &str) -> String {
    let name = user.replace('@', "%40");
    let with_user = |url: String| url.replacen("://", &format!("://{name}@"), 1);
    format!(
        "[work]\n\
         from = {user}\n\
         source = {}\n\
         source-cred-cmd = TOKEN-COMMAND\n\
         outgoing = {}\n\
         outgoing-cred-cmd = TOKEN-COMMAND\n",
        with_user(url(imap, "imaps+oauthbearer", "imap+oauthbearer")),
        with_user(url(smtp, "smtps+oauthbearer", "smtp+oauthbearer")),
    )
}

fn mbsync(imap: &Service, user: &str) -> String {
    let tls = match imap.security {
        Security::StartTls => "STARTTLS",
        Security::Tls => "IMAPS",
    };
    format!(
        "IMAPAccount work\n\
         Host {}\n\
         Port {}\n\
         SSLType {tls}\n\
         AuthMechs XOAUTH2\n\
         User {user}\n\
         PassCmd \"TOKEN-COMMAND\"\n",
        imap.host, imap.port
    )
}

fn msmtp(smtp: &Service, user: &str) -> String {
    let starttls = match smtp.security {
        Security::StartTls => "on",
        Security::Tls => "off",
    };
    format!(
        "account default\n\
         host {}\n\
         port {}\n\
         tls on\n\
         tls_starttls {starttls}\n\
         auth oauthbearer\n\
         user {user}\n\
         from {user}\n\
         passwordeval \"TOKEN-COMMAND\"\n",
        smtp.host, smtp.port
    )
}

fn fetchmail(imap: &Service, user: &str) -> String {
    let tls = match imap.security {
        Security::StartTls => "sslproto tls1.2+",
        Security::Tls => "ssl",
    };
    format!(
        "# fetchmail 7\n\
         poll {} protocol imap port {} auth oauthbearer\n    \
         username \"{user}\" passwordfile \"TOKEN-FILE\" {tls} sslcertck\n",
        imap.host, imap.port
    )
}

fn roundcube(imap: &Service, smtp: &Service, oauth: &OAuth) -> String {
    format!(
        "$config['imap_host'] = '{}';\n\
         $config['smtp_host'] = '{}';\n\
         $config['oauth_provider'] = 'generic';\n\
         $config['oauth_client_id'] = 'CLIENT-ID';\n\
         $config['oauth_client_secret'] = 'CLIENT-SECRET';\n\
         $config['oauth_auth_uri'] = '{}';\n\
         $config['oauth_token_uri'] = '{}';\n\
         $config['oauth_scope'] = '{} openid email';\n",
        url(imap, "ssl", "tls"),
        url(smtp, "ssl", "tls"),
        oauth.authorization_endpoint,
        oauth.token_endpoint,
        oauth.scope,
    )
}
