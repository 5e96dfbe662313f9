use super::{Messages, Scopes, Sentence, Text, guides};

pub(super) const GERMAN: Messages = Messages {
    lang: "de",

    sign_in_title: "Anmelden",
    client_asks: Sentence("{} möchte auf Ihr Postfach zugreifen."),
    name_unchecked: "Diesen Namen hat sich die App selbst gegeben; niemand hat ihn geprüft.",
    login_label: "E-Mail-Adresse oder Benutzername",
    password_label: "Passwort",
    password_help: "Das Passwort Ihres Postfachs. Die App bekommt es nicht zu sehen.",
    sign_in_button: "Anmelden",
    wrong: "Benutzername oder Passwort ist falsch.",
    too_many: Sentence("Zu viele Versuche. Bitte in {} noch einmal versuchen."),
    unavailable: "Ihr Passwort kann gerade nicht geprüft werden. Am Passwort liegt es nicht; bitte in einer Minute \
                  noch einmal versuchen.",

    outside_button: Sentence("Weiter mit {}"),
    outside_unavailable: Sentence(
        "{} ist gerade nicht erreichbar. Bitte in einer Minute noch einmal versuchen.",
    ),
    outside_refused: Sentence("{} hat Sie nicht angemeldet. Sie können es noch einmal versuchen."),
    outside_nobody: Sentence(
        "Das Konto, das Sie bei {} benutzt haben, hat hier kein Postfach. Versuchen Sie es mit einem anderen Konto.",
    ),
    outside_or: "oder",
    mailbox_title: "Noch ein Schritt",
    mailbox_why: "Ihr Mailserver verlangt außerdem das Passwort Ihres Postfachs. Es wird nur dieses eine Mal \
                  gebraucht; die App bekommt es nicht zu sehen.",
    mailbox_button: "Weiter",

    consent_title: "Zugriff erlauben?",
    signed_in_as: Sentence("Sie sind angemeldet als {}."),
    client_wants: Sentence("{} möchte:"),
    goes_to: Sentence("Danach geht es weiter zu {}."),
    goes_to_app: "Danach geht es zurück zu einer App auf diesem Gerät.",
    allow: "Erlauben",
    deny: "Ablehnen",
    device_warning: "Erlauben Sie dies nur, wenn Sie es selbst gerade eben auf einem eigenen Gerät begonnen haben. \
                     Hat Sie jemand hierher geschickt oder Ihnen einen Code gegeben, dann wählen Sie Ablehnen.",
    device_compare: "Das Gerät muss diesen Code zeigen:",
    device_place: "Angefragt von",
    device_time: "Begonnen",
    ago: Sentence("vor {}"),
    span,

    leave_title: "Zurück zur App?",
    leave_text: "Die App hat etwas verlangt, was dieser Server nicht tut:",
    leave_warning: Sentence("Der Weg zurück führt zu {}. Niemand hat geprüft, wer das ist."),
    leave_button: "Dorthin gehen",
    leave_stay: "Wenn Sie das nicht erwartet haben, schließen Sie die Seite.",

    device_title: "Gerät verbinden",
    device_label: "Code",
    device_help: "Der Code, den Ihr Gerät zeigt. Groß- und Kleinschreibung spielen keine Rolle.",
    device_button: "Weiter",
    device_unknown: "Dieser Code ist unbekannt oder abgelaufen. Vergleichen Sie ihn mit dem Gerät, oder beginnen Sie \
                     dort von vorn.",
    device_phone: "Lieber am Telefon weitermachen",
    device_qr: "QR-Code mit der Adresse dieser Seite",

    device_allowed: Text {
        title: "Das Gerät ist verbunden",
        body: "Sie können diese Seite schließen und am Gerät weitermachen.",
    },
    device_denied: Text {
        title: "Zugriff abgelehnt",
        body: "Das Gerät bekommt keinen Zugriff. Sie können diese Seite schließen.",
    },
    logged_out: Text { title: "Abgemeldet", body: "Sie können diese Seite schließen." },

    bad_request: Text {
        title: "Das geht so nicht",
        body: "Die App hat eine Anfrage geschickt, die dieser Server nicht annimmt. Wer die App herstellt, muss \
               wissen:",
    },
    stale: Text {
        title: "Diese Seite ist veraltet",
        body: "Sie war zu lange offen, gehört zu einem anderen Browser, oder der Browser nimmt keine Cookies an. \
               Gehen Sie zurück zur App und beginnen Sie dort von vorn.",
    },
    answered: Text {
        title: "Schon beantwortet",
        body: "Diese Anfrage wurde schon beantwortet. Gehen Sie zurück zur App; fragt sie immer noch, beginnen Sie \
               dort von vorn.",
    },
    dead: Text {
        title: "Zu viele falsche Passwörter",
        body: "Diese Anfrage ist beendet. Gehen Sie zurück zur App und beginnen Sie dort von vorn.",
    },
    too_many_failures: Text {
        title: "Zu viele Versuche",
        body: "Zu viele Anmeldungen sind gescheitert. Warten Sie einige Minuten und beginnen Sie in der App von vorn.",
    },
    not_now: Text { title: "Gerade nicht möglich", body: "Bitte in einer Minute noch einmal versuchen." },

    form_post_title: "Zurück zur App",
    form_post_button: "Weiter",

    home_intro: "Über diesen Server melden sich Mailprogramme mit OAuth-Token an. Angemeldete Sitzungen reicht er an \
                 den Mailserver dahinter weiter.",
    home_caption: "Einstellungen für ein Mailprogramm",
    home_protocol: "Protokoll",
    home_server: "Server",
    home_port: "Port",
    home_security: "Sicherheit",
    home_sign_in: "Anmeldung",
    home_metadata: Sentence("OAuth-Programme finden alle Adressen in den {}."),
    home_metadata_link: "Metadaten des Servers",
    guides: guides::GERMAN,

    scopes: Scopes {
        mail: "Ihre E-Mails lesen, senden und löschen",
        imap: "Ihre E-Mails lesen, verschieben und löschen (IMAP)",
        smtp: "E-Mails in Ihrem Namen senden (SMTP)",
        pop3: "Ihre E-Mails abholen und löschen (POP3)",
        sieve: "Die Regeln ändern, nach denen Ihre E-Mails sortiert werden",
        openid: "Wissen, wer Sie sind",
        profile: "Ihren Benutzernamen sehen",
        email: "Ihre E-Mail-Adresse sehen",
        offline_access: "Diesen Zugriff behalten, auch wenn Sie nicht da sind, bis er entzogen wird",
    },
};

fn span(seconds: u64) -> String {
    let (count, one, many) = match seconds {
        0..60 => (seconds, "Sekunde", "Sekunden"),
        60..3600 => (seconds.div_ceil(60), "Minute", "Minuten"),
        _ => (seconds.div_ceil(3600), "Stunde", "Stunden"),
    };
    format!("{count} {}", if count == 1 { one } else { many })
}
