use std::net::IpAddr;

use askama::Template;

use super::guides::{Guide, Step};
use crate::{
    setup::OAuth,
    web::messages::{Messages, Text},
};

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignInHtml<'a> {
    pub(super) m: &'static Messages,
    pub(super) host: &'a str,
    pub(super) action: &'a str,
    pub(super) state: &'a str,
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
}

/// How a mail client can be set up.
pub(super) struct Row<'a> {
    pub(super) protocol: &'static str,
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) security: &'static str,
    pub(super) mechanisms: String,
}
