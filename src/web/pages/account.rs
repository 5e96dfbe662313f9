//! The account page and its forms.

use std::time::Duration;

use askama::Template;
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use super::{
    Frame, form_policy,
    html::{
        AccountHtml, AppPasswordHtml, AppPasswordMadeHtml, ErrorHtml, GroupHtml, HistoryHtml, OptionHtml,
        SessionHtml,
    },
    respond_with, retry, shown,
};
use crate::{
    issuer::{
        Account, AppPasswordError, AppPasswordFault, AppPasswordPage, AppPasswordRecord, ConnectedApp,
        LastUse, MadeAppPassword, News, PageError, Place, SignInShown,
    },
    model::{GrantId, Login, Network, Protocol, Scope, Secret, UnixTime},
    session::Live,
    web::messages::{self, Messages},
};

/// Where the account page is, and where its forms go.
pub(in crate::web) const ACCOUNT_PATH: &str = "/account";
pub(in crate::web) const END_PATH: &str = "/account/end";
pub(in crate::web) const SEEN_PATH: &str = "/account/seen";
pub(in crate::web) const LANGUAGE_PATH: &str = "/account/language";
pub(in crate::web) const SIGN_OUT_PATH: &str = "/account/sign-out";
pub(in crate::web) const APP_PASSWORD_PATH: &str = "/account/app-password";

/// After how many days an app password may end; zero is never.
pub(in crate::web) const DAYS: [&str; 4] = ["0", "30", "90", "365"];

/// What the account page shows.
pub(in crate::web) struct AccountView<'a> {
    pub(in crate::web) user: &'a Login,
    pub(in crate::web) state: &'a str,
    pub(in crate::web) account: &'a Account,
    /// The sessions of this process.
    pub(in crate::web) sessions: &'a [std::sync::Arc<Live>],
}

/// What was typed into the form for a new app password.
#[derive(Clone, Debug, Default)]
pub(in crate::web) struct Typed {
    pub(in crate::web) name: String,
    pub(in crate::web) protocols: Vec<Protocol>,
    pub(in crate::web) is_send_only: bool,
    pub(in crate::web) networks: String,
    pub(in crate::web) days: String,
}

impl Frame<'_> {
    /// The account page.
    pub(in crate::web) fn account(&self, view: &AccountView<'_>) -> Response {
        let m = self.messages;
        let sessions_of = |id: Option<GrantId>| -> Vec<SessionHtml> {
            let of = |live: &&std::sync::Arc<Live>| {
                live.bound().is_some_and(|bound| {
                    let grant = bound.right.grant().filter(|grant| view.lists(*grant));
                    grant == id
                })
            };
            view.sessions.iter().filter(of).map(|live| self.session(live)).collect()
        };
        let apps = view.account.apps.iter().map(|app| self.app(app, sessions_of(Some(app.id))));
        let passwords = view.account.app_passwords.iter();
        let passwords = passwords.map(|record| self.app_password_group(record, sessions_of(Some(record.id))));
        let history: Vec<_> = view.account.sign_ins.iter().map(|row| self.sign_in_row(row)).collect();
        let news = view.account.sign_ins.iter().filter(|row| row.is_news).map(|row| self.sign_in_row(row));
        let html = AccountHtml {
            m,
            a: &m.account,
            host: self.host,
            state: view.state,
            user: &shown(view.user.as_str()),
            news: news.collect(),
            groups: apps.chain(passwords).collect(),
            others: sessions_of(None),
            has_more: view.account.has_more_apps,
            history,
            languages: Messages::all().map(|messages| (messages.lang, messages.name)).collect(),
            sign_out_action: SIGN_OUT_PATH,
            seen_action: SEEN_PATH,
            end_action: END_PATH,
            make_action: APP_PASSWORD_PATH,
            language_action: LANGUAGE_PATH,
        };
        respond_with(&html, StatusCode::OK, &form_policy(None))
    }

    fn app(&self, app: &ConnectedApp, sessions: Vec<SessionHtml>) -> GroupHtml {
        let m = self.messages;
        let last_use = app.last_use.as_ref().map(|last| {
            self.used(
                last.at,
                &last.address.to_canonical().to_string(),
                place(last.place, m),
                last.program.as_deref(),
            )
        });
        GroupHtml {
            id: app.id.to_string(),
            name: shown(&app.name),
            kind: m.account.kind_app,
            is_unchecked: !app.is_vouched_for,
            scopes: app.scope.iter().map(|value| shown(m.scope(value))).collect(),
            facts: vec![
                (m.account.since, self.date(app.since)),
                (m.account.last_used, last_use.unwrap_or_else(|| m.account.never_used.to_owned())),
            ],
            sessions,
        }
    }

    fn app_password_group(&self, record: &AppPasswordRecord, sessions: Vec<SessionHtml>) -> GroupHtml {
        let m = self.messages;
        let used = |last: &LastUse| {
            let address = last.address.to_canonical().to_string();
            self.used(last.at, &address, protocol(last.protocol), last.client.as_deref())
        };
        let last_use = record.last_use.as_ref().map(used);
        let mut facts = self.app_password_facts(record);
        facts.push((m.account.since, self.date(record.created_at)));
        facts.push((m.account.last_used, last_use.unwrap_or_else(|| m.account.never_used.to_owned())));
        GroupHtml {
            id: record.id.to_string(),
            name: shown(&record.name),
            kind: m.account.kind_app_password,
            is_unchecked: false,
            scopes: Vec::new(),
            facts,
            sessions,
        }
    }

    fn app_password_facts(&self, record: &AppPasswordRecord) -> Vec<(&'static str, String)> {
        let a = &self.messages.account;
        let mut facts = vec![(a.protocols, names(&record.scope))];
        if !record.networks.is_empty() {
            facts.push((a.networks, list(&record.networks)));
        }
        let end = record.expires_at.map_or_else(|| a.ends_never.to_owned(), |end| self.date(end));
        facts.push((a.ends, end));
        facts
    }

    fn used(&self, at: UnixTime, address: &str, place: &str, program: Option<&str>) -> String {
        let program = program.map(|program| format!(", {}", shown(program))).unwrap_or_default();
        format!("{} – {place}{program}, {address}", self.moment(at))
    }

    fn session(&self, live: &Live) -> SessionHtml {
        let idle = live.switch.idle();
        let active = if idle < Duration::from_secs(1) { Duration::from_secs(1) } else { idle };
        let from = live.client_ip.to_canonical().to_string();
        let protocol = protocol(live.protocol);
        SessionHtml {
            id: live.id.to_string(),
            label: format!("{protocol} {from}"),
            protocol,
            program: live.program().map(shown),
            from,
            since: self.moment(live.since),
            active: self.messages.ago.with((self.messages.span)(active.as_secs())),
        }
    }

    fn sign_in_row(&self, row: &SignInShown) -> HistoryHtml {
        let m = self.messages;
        let record = &row.record;
        let with = [row.client.as_deref(), record.program.as_deref()];
        let with: Vec<String> = with.into_iter().flatten().map(shown).collect();
        HistoryHtml {
            when: self.moment(record.at),
            failed: record.failed,
            times: (record.count > 1).then(|| m.account.history_times.with(record.count)),
            is_new: record.news != News::None,
            place: place(record.place, m),
            with: if with.is_empty() { "–".to_owned() } else { with.join(", ") },
            from: record.address.map(|address| address.to_canonical().to_string()),
        }
    }

    /// The form for a new app password.
    pub(in crate::web) fn app_password(
        &self,
        user: &Login,
        page: &AppPasswordPage,
        typed: &Typed,
        error: Option<AppPasswordError>,
    ) -> Response {
        let m = self.messages;
        let a = &m.account;
        let (status, text, retry_after) = match error {
            None => (StatusCode::OK, None, None),
            Some(AppPasswordError::Password(refused)) => match self.refused(Some(refused), "") {
                (StatusCode::UNPROCESSABLE_ENTITY, _, wait) => {
                    (StatusCode::UNPROCESSABLE_ENTITY, Some(a.wrong_password.to_owned()), wait)
                }
                other => other,
            },
            Some(AppPasswordError::NoNetwork) => unprocessable(a.bad_networks),
            Some(AppPasswordError::Fault(fault)) => unprocessable(fault_text(fault, a)),
        };
        let is_chosen = |protocol: &Protocol| typed.protocols.contains(protocol);
        let option = |own: Protocol| OptionHtml {
            value: own.as_str(),
            label: protocol(own),
            is_chosen: is_chosen(&own),
        };
        let end = |days: &'static str| {
            (days, if days == "0" { a.ends_never.to_owned() } else { a.ends_days.with(days) })
        };
        let html = AppPasswordHtml {
            m,
            a,
            host: self.host,
            action: APP_PASSWORD_PATH,
            account: ACCOUNT_PATH,
            state: &page.state,
            user: user.as_str(),
            name: &typed.name,
            is_send_only: typed.is_send_only,
            protocols: Protocol::ALL.into_iter().map(option).collect(),
            ends: DAYS.into_iter().map(end).collect(),
            days: &typed.days,
            networks: &typed.networks,
            needs_password: page.needs_password,
            error: text.as_deref(),
        };
        retry(respond_with(&html, status, &form_policy(None)), retry_after)
    }

    /// An app password, once. The page is wiped when it is sent.
    pub(in crate::web) fn app_password_made(&self, made: &MadeAppPassword) -> Response {
        /// What `Bytes` needs to own a secret.
        struct Octets(Secret);
        impl AsRef<[u8]> for Octets {
            fn as_ref(&self) -> &[u8] {
                self.0.expose()
            }
        }
        let m = self.messages;
        let html = AppPasswordMadeHtml {
            m,
            a: &m.account,
            host: self.host,
            account: ACCOUNT_PATH,
            password: made.password.expose_str().unwrap_or_default(),
            name: &shown(&made.record.name),
            user: &shown(made.record.user.as_str()),
            facts: self.app_password_facts(&made.record),
        };
        let (Ok(html), Ok(policy)) = (html.render(), HeaderValue::from_str(&super::policy("'none'", None)))
        else {
            tracing::error!("a page cannot be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (header::CONTENT_SECURITY_POLICY, policy),
        ];
        (headers, Body::from(Bytes::from_owner(Octets(Secret::from(html))))).into_response()
    }

    /// What went wrong on the account page, in its own words, with the way back to it.
    pub(in crate::web) fn account_error(&self, error: &PageError, status: StatusCode) -> Response {
        let a = &self.messages.account;
        let text = match error {
            PageError::Answered => a.answered,
            PageError::BadRequest(_) => a.bad_request,
            PageError::Dead => a.dead,
            PageError::Stale => a.stale,
            PageError::TooMany { .. } | PageError::Unavailable => {
                return super::refuse(error, status, self);
            }
        };
        let account = Some(ACCOUNT_PATH);
        let html = ErrorHtml { m: self.messages, host: self.host, text, description: None, account };
        respond_with(&html, status, &super::policy("'none'", None))
    }

    /// How long ago, within two days; else the day.
    fn moment(&self, moment: UnixTime) -> String {
        let ago = moment.until(self.now);
        if ago < Duration::from_secs(48 * 60 * 60) {
            return self.messages.ago.with((self.messages.span)(ago.as_secs().max(1)));
        }
        self.date(moment)
    }

    /// The day in UTC, as ISO 8601 writes it, which is the same in every language.
    fn date(&self, moment: UnixTime) -> String {
        let (year, month, day) = civil(moment.0.div_euclid(24 * 60 * 60));
        format!("{year:04}-{month:02}-{day:02}")
    }
}

impl AccountView<'_> {
    /// Whether a grant stands in the list.
    fn lists(&self, grant: GrantId) -> bool {
        self.account.apps.iter().any(|app| app.id == grant)
            || self.account.app_passwords.iter().any(|record| record.id == grant)
    }
}

fn unprocessable(text: &str) -> (StatusCode, Option<String>, Option<u64>) {
    (StatusCode::UNPROCESSABLE_ENTITY, Some(text.to_owned()), None)
}

const fn fault_text(fault: AppPasswordFault, a: &messages::Account) -> &'static str {
    match fault {
        AppPasswordFault::Ended | AppPasswordFault::User => a.bad_request.body,
        AppPasswordFault::Name => a.bad_name,
        AppPasswordFault::Networks => a.bad_networks,
        AppPasswordFault::Protocols => a.bad_protocols,
        AppPasswordFault::TooMany => a.too_many,
    }
}

const fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Imap => "IMAP",
        Protocol::Pop3 => "POP3",
        Protocol::Sieve => "ManageSieve",
        Protocol::Smtp => "SMTP",
    }
}

const fn place(place: Place, m: &Messages) -> &'static str {
    match place {
        Place::Page => m.account.history_page,
        Place::Mail(own) => protocol(own),
    }
}

fn names(scope: &Scope) -> String {
    let names = Protocol::ALL.into_iter().filter(|own| scope.iter().any(|value| value == own.as_str()));
    names.map(protocol).collect::<Vec<_>>().join(", ")
}

fn list(networks: &[Network]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. A year that begins in March ends
/// with its leap day, so that months before it have a fixed length.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_its_date() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_782, (2026, 11, 25)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), date, "{days}");
        }
    }
}
