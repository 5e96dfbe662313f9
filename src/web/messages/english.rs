use super::{Messages, Scopes, Sentence, Text, guides};

pub(super) const ENGLISH: Messages = Messages {
    lang: "en",

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
        _ => (seconds.div_ceil(3600), "hour"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
