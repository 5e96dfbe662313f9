use super::{Account, Messages, Scopes, Sentence, Text, guides};

pub(super) const ENGLISH: Messages = Messages {
    lang: "en",
    name: "English",

    sign_in_title: "Sign in",
    client_asks: Sentence("{} asks for access to your mailbox."),
    name_unchecked: "The app chose this name itself; nobody has checked it.",
    login_label: "Mail address or user name",
    password_label: "Password",
    password_help: "The password of your mailbox. The app does not get to see it.",
    sign_in_button: "Sign in",
    wrong: "The user name or the password is wrong.",
    too_many: Sentence("Too many tries. Wait {}, then try again."),
    unavailable: "Your password cannot be checked right now. It is not to blame; try again in a minute.",

    outside_button: Sentence("Continue with {}"),
    outside_unavailable: Sentence("{} cannot be reached right now. Try again in a minute."),
    outside_refused: Sentence("{} did not sign you in. You can try again."),
    outside_nobody: Sentence(
        "The account that you used at {} has no mailbox here. Try again with another account.",
    ),
    outside_or: "or",
    mailbox_title: "One more step",
    mailbox_why: "Your mail server also asks for the password of your mailbox. It is needed this once; the app does \
                  not get to see it.",
    mailbox_button: "Continue",

    consent_title: "Allow access?",
    signed_in_as: Sentence("You are signed in as {}."),
    client_wants: Sentence("{} wants to:"),
    goes_to: Sentence("After that you go to {}."),
    goes_to_app: "After that you go back to an app on this device.",
    allow: "Allow",
    deny: "Deny",
    device_warning: "Allow this only if you started it yourself, just now, on a device of your own. If somebody \
                     sent you here or gave you a code, choose Deny.",
    device_compare: "The device must show this code:",
    device_place: "Asked from",
    device_time: "Started",
    ago: Sentence("{} ago"),
    span,

    leave_title: "Go back to the app?",
    leave_text: "The app asked for something that this server does not do:",
    leave_warning: Sentence("The way back leads to {}. Nobody has checked who that is."),
    leave_button: "Go there",
    leave_stay: "If you did not expect this, close the page.",

    device_title: "Connect a device",
    device_label: "Code",
    device_help: "The code that your device shows. Upper and lower case do not matter.",
    device_button: "Continue",
    device_unknown: "This code is unknown or has expired. Compare it with the device, or start again there.",
    device_phone: "Continue on a phone instead",
    device_qr: "QR code with the address of this page",

    device_allowed: Text {
        title: "The device is connected",
        body: "You can close this page and go on at the device.",
    },
    device_denied: Text {
        title: "Access denied",
        body: "The device gets no access. You can close this page.",
    },
    logged_out: Text { title: "Signed out", body: "You can close this page." },

    bad_request: Text {
        title: "This does not work",
        body: "The app sent a request that this server does not take. Whoever makes the app needs to know:",
    },
    stale: Text {
        title: "This page is out of date",
        body: "It was open for too long, belongs to another browser, or the browser refuses cookies. Go back to \
               the app and start again there.",
    },
    answered: Text {
        title: "Answered already",
        body: "This request was answered before. Go back to the app; if it still asks, start again there.",
    },
    dead: Text {
        title: "Too many wrong passwords",
        body: "This request has ended. Go back to the app and start again there.",
    },
    too_many_failures: Text {
        title: "Too many tries",
        body: "Too many sign-ins failed. Wait a few minutes, then start again in the app.",
    },
    not_now: Text { title: "Not possible right now", body: "Try again in a minute." },

    form_post_title: "Back to the app",
    form_post_button: "Continue",

    home_intro: "This server lets mail clients sign in with OAuth bearer tokens. It passes signed-in sessions on to \
                 the mail server behind it.",
    home_caption: "Settings for a mail client",
    home_protocol: "Protocol",
    home_server: "Server",
    home_port: "Port",
    home_security: "Security",
    home_sign_in: "Sign-in",
    home_metadata: Sentence("OAuth clients find every address in the {}."),
    home_metadata_link: "server metadata",
    guides: guides::ENGLISH,

    account: Account {
        title: "Your account",
        sign_in_why: "See what is connected to your mailbox, and disconnect what should not be.",
        password_help: "The password of your mailbox.",
        sign_out: "Sign out",
        back: "Back to your account",

        news_title: "Sign-in from a new browser",
        news_text: "Somebody signed in as you with a browser that was not seen before. If that was not you, change \
                    your password and disconnect everything that you do not know.",
        news_button: "I have read this",

        access_title: "Who can use your mailbox",
        access_none: "Nothing is connected.",
        access_more: "More apps are connected than are shown here; these are the newest.",
        access_here: "Live connections are those of this server. Where several servers work together, disconnecting an \
                      app or an app password ends its connections on all of them.",
        kind_app: "App",
        kind_app_password: "App password",
        kind_other: "Other connections",
        name_unchecked: "Nobody has checked this name.",
        since: "Since",
        last_used: "Last used",
        never_used: "never",
        protocols: "For",
        networks: "Only from",
        ends: "Ends",
        disconnect: "Disconnect now",
        disconnect_what: Sentence("Disconnect now: {}"),
        sessions: "Connected now",
        active: "Last active",
        close: "Close",
        close_what: Sentence("Close: {}"),

        make_title: "New app password",
        make_why: "For a mail program, a printer or a scanner that cannot sign in on a page like this. It works for this \
                   one program and can be ended alone.",
        make_link: "Make an app password",
        name_label: "Name",
        name_help: "So that you know it again, such as “Printer in the hall”.",
        use_label: "What is it for?",
        use_send: "Sending only (printer, scanner)",
        use_some: "These:",
        networks_label: "Only from these networks (optional)",
        networks_help: "Such as 192.0.2.0/24 or 2001:db8::/32. Leave it empty to let it be used from everywhere.",
        ends_label: "Ends",
        ends_never: "never",
        ends_days: Sentence("after {} days"),
        mailbox_help: "Your mail server needs it, and it shows that it is you. It is kept so that only the new app \
                       password opens it.",
        make_button: "Make it",
        wrong_password: "The password is wrong.",
        bad_name: "Give it a name of at most 64 characters.",
        bad_networks: "One of the networks is none. Write them like 192.0.2.0/24, at most 16 of them.",
        bad_protocols: "Choose at least one thing that it is for.",
        too_many: "You have 50 app passwords. Disconnect one that you no longer need.",

        made_title: "Your new app password",
        made_text: "Type it or copy it into your program now: it is shown only this once. Blanks do not matter.",
        made_user: "User name",

        history_title: "Sign-ins",
        history_help: "The latest 50, of the last 90 days. What is alike on one day is one line.",
        history_none: "Nothing is known of the last 90 days.",
        history_when: "Last",
        history_where: "How",
        history_from: "From",
        history_with: "With",
        history_page: "Web page",
        history_failed: "failed",
        history_ok: "signed in",
        history_result: "Result",
        history_new: "new browser",
        history_times: Sentence("{} times"),

        language: "Language",
        language_button: "Change",

        stale: Text {
            title: "This page is out of date",
            body: "You have signed out since, or signed in again. Nothing was changed.",
        },
        answered: Text {
            title: "Sent already",
            body: "This form was sent before, and counts once. An app password that it made is in the list; its text is \
                   not shown again.",
        },
        dead: Text { title: "Too many wrong passwords", body: "Nothing was changed. You can begin again." },
        bad_request: Text {
            title: "This does not work",
            body: "What was sent is none of the choices of the page. Nothing was changed.",
        },
    },

    scopes: Scopes {
        mail: "Read, send and delete your mail",
        imap: "Read, move and delete your mail (IMAP)",
        smtp: "Send mail in your name (SMTP)",
        pop3: "Fetch and delete your mail (POP3)",
        sieve: "Change the rules that sort your mail",
        openid: "Know who you are",
        profile: "See your user name",
        email: "See your mail address",
        offline_access: "Keep this access while you are away, until it is taken back",
    },
};

fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds.div_ceil(60), "minute"),
        3600..172_800 => (seconds.div_ceil(3600), "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
