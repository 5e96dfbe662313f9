use super::{Sentence, Text};

/// The texts of the account page and its forms in one language.
pub(in crate::web) struct Account {
    pub(in crate::web) title: &'static str,
    /// Why a person signs in there.
    pub(in crate::web) sign_in_why: &'static str,
    pub(in crate::web) password_help: &'static str,
    pub(in crate::web) sign_out: &'static str,
    pub(in crate::web) back: &'static str,

    pub(in crate::web) news_title: &'static str,
    pub(in crate::web) news_text: &'static str,
    pub(in crate::web) news_button: &'static str,

    pub(in crate::web) access_title: &'static str,
    pub(in crate::web) access_none: &'static str,
    pub(in crate::web) access_more: &'static str,
    pub(in crate::web) access_here: &'static str,
    pub(in crate::web) kind_app: &'static str,
    pub(in crate::web) kind_app_password: &'static str,
    /// Sessions that hang on nothing that stands in the list.
    pub(in crate::web) kind_other: &'static str,
    pub(in crate::web) name_unchecked: &'static str,
    pub(in crate::web) since: &'static str,
    pub(in crate::web) last_used: &'static str,
    pub(in crate::web) never_used: &'static str,
    pub(in crate::web) protocols: &'static str,
    pub(in crate::web) networks: &'static str,
    pub(in crate::web) ends: &'static str,
    pub(in crate::web) disconnect: &'static str,
    /// The gap is the name of what is ended, for who hears the page.
    pub(in crate::web) disconnect_what: Sentence,
    pub(in crate::web) sessions: &'static str,
    pub(in crate::web) active: &'static str,
    pub(in crate::web) close: &'static str,
    /// The gap names a session.
    pub(in crate::web) close_what: Sentence,

    pub(in crate::web) make_title: &'static str,
    pub(in crate::web) make_why: &'static str,
    pub(in crate::web) make_link: &'static str,
    pub(in crate::web) name_label: &'static str,
    pub(in crate::web) name_help: &'static str,
    pub(in crate::web) use_label: &'static str,
    pub(in crate::web) use_send: &'static str,
    pub(in crate::web) use_some: &'static str,
    pub(in crate::web) networks_label: &'static str,
    pub(in crate::web) networks_help: &'static str,
    pub(in crate::web) ends_label: &'static str,
    pub(in crate::web) ends_never: &'static str,
    /// The gap is a number.
    pub(in crate::web) ends_days: Sentence,
    pub(in crate::web) mailbox_help: &'static str,
    pub(in crate::web) make_button: &'static str,
    pub(in crate::web) wrong_password: &'static str,
    pub(in crate::web) bad_name: &'static str,
    pub(in crate::web) bad_networks: &'static str,
    pub(in crate::web) bad_protocols: &'static str,
    pub(in crate::web) too_many: &'static str,

    pub(in crate::web) made_title: &'static str,
    pub(in crate::web) made_text: &'static str,
    pub(in crate::web) made_user: &'static str,

    pub(in crate::web) history_title: &'static str,
    pub(in crate::web) history_help: &'static str,
    pub(in crate::web) history_none: &'static str,
    pub(in crate::web) history_when: &'static str,
    pub(in crate::web) history_where: &'static str,
    pub(in crate::web) history_from: &'static str,
    pub(in crate::web) history_with: &'static str,
    pub(in crate::web) history_page: &'static str,
    pub(in crate::web) history_failed: &'static str,
    pub(in crate::web) history_ok: &'static str,
    pub(in crate::web) history_result: &'static str,
    pub(in crate::web) history_new: &'static str,
    /// The gap is a number.
    pub(in crate::web) history_times: Sentence,

    pub(in crate::web) language: &'static str,
    pub(in crate::web) language_button: &'static str,

    pub(in crate::web) stale: Text,
    pub(in crate::web) answered: Text,
    pub(in crate::web) dead: Text,
    pub(in crate::web) bad_request: Text,
}
