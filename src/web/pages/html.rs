use std::net::IpAddr;

use askama::Template;

use super::guides::{Guide, Step};
use crate::{
    setup::OAuth,
    web::messages::{Account, Messages, Text},
};

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignInHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) host: &'a str,
    pub(super) action: &'a str,
    pub(super) state: &'a str,
    pub(super) is_account: bool,
    pub(super) client_name: &'a str,
    pub(super) is_vouched_for: bool,
    pub(super) has_password: bool,
    /// How the outside provider is called.
    pub(super) outside: Option<&'a str>,
    pub(super) outside_action: &'a str,
    pub(super) login: &'a str,
    pub(super) error: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "mailbox.html")]
pub(super) struct MailboxHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) host: &'a str,
    pub(super) action: &'a str,
    pub(super) state: &'a str,
    pub(super) user: &'a str,
    pub(super) client_name: &'a str,
    pub(super) is_vouched_for: bool,
    pub(super) error: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "consent.html")]
pub(super) struct ConsentHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) host: &'a str,
    pub(super) action: &'a str,
    pub(super) state: &'a str,
    pub(super) user: &'a str,
    pub(super) client_name: &'a str,
    pub(super) is_vouched_for: bool,
    pub(super) is_local: bool,
    pub(super) target: Option<&'a str>,
    pub(super) scopes: Vec<&'a str>,
    pub(super) device: Option<&'a DeviceHtml<'a>>,
}

/// Where a device is.
pub(super) struct DeviceHtml<'a> {
    pub(super) user_code: &'a str,
    pub(super) address: IpAddr,
    pub(super) started: String,
}

#[derive(Template)]
#[template(path = "leave.html")]
pub(super) struct LeaveHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) host: &'a str,
    pub(super) description: &'a str,
    pub(super) target: &'a str,
    pub(super) way: Way<'a>,
}

/// The way back to a client.
pub(super) enum Way<'a> {
    Link(&'a str),
    Form { uri: &'a str, fields: &'a [(String, String)] },
}

#[derive(Template)]
#[template(path = "device_code.html")]
pub(super) struct DeviceCodeHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) host: &'a str,
    pub(super) action: &'a str,
    pub(super) user_code: &'a str,
    pub(super) error: Option<&'a str>,
    /// An image that this server has drawn.
    pub(super) qr: Option<String>,
}

#[derive(Template)]
#[template(path = "done.html")]
pub(super) struct DoneHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) host: &'a str,
    pub(super) text: Text,
}

#[derive(Template)]
#[template(path = "error.html")]
pub(super) struct ErrorHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) host: &'a str,
    pub(super) text: Text,
    pub(super) description: Option<&'a str>,
    /// The way back to the account page, where that is where it happened.
    pub(super) account: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "form_post.html")]
pub(super) struct FormPostHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) host: &'a str,
    pub(super) uri: &'a str,
    pub(super) fields: &'a [(String, String)],
    /// Text of this server, which the page's policy knows by its hash.
    pub(super) script: &'static str,
}

#[derive(Template)]
#[template(path = "home.html")]
pub(super) struct HomeHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) host: &'a str,
    pub(super) rows: Vec<Row<'a>>,
    pub(super) guides: Vec<Guide>,
    pub(super) oauth: Option<&'a OAuth>,
    pub(super) has_issuer: bool,
    pub(super) device_path: &'a str,
    pub(super) account_path: &'static str,
}

/// How a mail client can be set up.
pub(super) struct Row<'a> {
    pub(super) protocol: &'static str,
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) security: &'static str,
    pub(super) mechanisms: String,
}

#[derive(Template)]
#[template(path = "account.html")]
pub(super) struct AccountHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) a: &'static Account,
    pub(super) host: &'a str,
    pub(super) state: &'a str,
    pub(super) user: &'a str,
    pub(super) news: Vec<HistoryHtml>,
    pub(super) groups: Vec<GroupHtml>,
    pub(super) others: Vec<SessionHtml>,
    pub(super) has_more: bool,
    pub(super) history: Vec<HistoryHtml>,
    /// Tags, and what their speakers call them.
    pub(super) languages: Vec<(&'static str, &'static str)>,
    pub(super) sign_out_action: &'a str,
    pub(super) seen_action: &'a str,
    pub(super) end_action: &'a str,
    pub(super) make_action: &'a str,
    pub(super) language_action: &'a str,
}

/// What can be ended at once, with what hangs on it.
pub(super) struct GroupHtml {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) is_unchecked: bool,
    pub(super) scopes: Vec<String>,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) sessions: Vec<SessionHtml>,
}

/// A mail session.
pub(super) struct SessionHtml {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) protocol: &'static str,
    pub(super) program: Option<String>,
    pub(super) from: String,
    pub(super) since: String,
    pub(super) active: String,
}

/// Sign-ins that are alike.
pub(super) struct HistoryHtml {
    pub(super) when: String,
    pub(super) failed: bool,
    pub(super) times: Option<String>,
    pub(super) is_new: bool,
    pub(super) place: &'static str,
    pub(super) with: String,
    pub(super) from: Option<String>,
}

#[derive(Template)]
#[template(path = "app_password.html")]
pub(super) struct AppPasswordHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) a: &'static Account,
    pub(super) host: &'a str,
    pub(super) action: &'a str,
    pub(super) account: &'a str,
    pub(super) state: &'a str,
    pub(super) user: &'a str,
    pub(super) name: &'a str,
    pub(super) is_send_only: bool,
    pub(super) protocols: Vec<OptionHtml>,
    pub(super) ends: Vec<(&'static str, String)>,
    pub(super) days: &'a str,
    pub(super) networks: &'a str,
    pub(super) needs_password: bool,
    pub(super) error: Option<&'a str>,
}

/// Something to choose.
pub(super) struct OptionHtml {
    pub(super) value: &'static str,
    pub(super) label: &'static str,
    pub(super) is_chosen: bool,
}

#[derive(Template)]
#[template(path = "app_password_made.html")]
pub(super) struct AppPasswordMadeHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) a: &'static Account,
    pub(super) host: &'a str,
    pub(super) account: &'a str,
    pub(super) password: &'a str,
    pub(super) name: &'a str,
    pub(super) user: &'a str,
    pub(super) facts: Vec<(&'static str, String)>,
}
