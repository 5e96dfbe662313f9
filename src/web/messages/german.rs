use super::{Account, Messages, Scopes, Sentence, Text, guides};

pub(super) const GERMAN: Messages = Messages {
    lang: "de",
    name: "Deutsch",

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

    account: Account {
        title: "Ihr Konto",
        sign_in_why: "Sehen Sie, was mit Ihrem Postfach verbunden ist, und trennen Sie, was es nicht sein soll.",
        password_help: "Das Passwort Ihres Postfachs.",
        sign_out: "Abmelden",
        back: "Zurück zu Ihrem Konto",

        news_title: "Anmeldung mit einem neuen Browser",
        news_text: "Jemand hat sich als Sie mit einem Browser angemeldet, der noch nie da war. Wenn Sie das nicht waren, \
                    ändern Sie Ihr Passwort und trennen Sie alles, was Sie nicht kennen.",
        news_button: "Gelesen",

        access_title: "Wer Ihr Postfach benutzen kann",
        access_none: "Nichts ist verbunden.",
        access_more: "Es sind mehr Apps verbunden, als hier stehen; dies sind die neuesten.",
        access_here: "Bestehende Verbindungen sind die dieses Servers. Wo mehrere Server zusammenarbeiten, beendet das \
                      Trennen einer App oder eines App-Passworts deren Verbindungen auf allen.",
        kind_app: "App",
        kind_app_password: "App-Passwort",
        kind_other: "Andere Verbindungen",
        name_unchecked: "Niemand hat diesen Namen geprüft.",
        since: "Seit",
        last_used: "Zuletzt benutzt",
        never_used: "nie",
        protocols: "Für",
        networks: "Nur von",
        ends: "Endet",
        disconnect: "Jetzt trennen",
        disconnect_what: Sentence("Jetzt trennen: {}"),
        sessions: "Jetzt verbunden",
        active: "Zuletzt aktiv",
        close: "Schließen",
        close_what: Sentence("Schließen: {}"),

        make_title: "Neues App-Passwort",
        make_why: "Für ein Mailprogramm, einen Drucker oder einen Scanner, der sich nicht auf einer Seite wie dieser \
                   anmelden kann. Es gilt für dieses eine Programm und lässt sich einzeln beenden.",
        make_link: "App-Passwort anlegen",
        name_label: "Name",
        name_help: "Damit Sie es wiedererkennen, zum Beispiel „Drucker im Flur“.",
        use_label: "Wofür ist es?",
        use_send: "Nur zum Senden (Drucker, Scanner)",
        use_some: "Für diese:",
        networks_label: "Nur aus diesen Netzen (freiwillig)",
        networks_help: "Zum Beispiel 192.0.2.0/24 oder 2001:db8::/32. Leer lassen, damit es von überall gilt.",
        ends_label: "Endet",
        ends_never: "nie",
        ends_days: Sentence("nach {} Tagen"),
        mailbox_help: "Ihr Mailserver braucht es, und es zeigt, dass Sie es sind. Es wird so aufbewahrt, dass nur das \
                       neue App-Passwort es öffnet.",
        make_button: "Anlegen",
        wrong_password: "Das Passwort ist falsch.",
        bad_name: "Geben Sie ihm einen Namen von höchstens 64 Zeichen.",
        bad_networks: "Eines der Netze ist keines. Schreiben Sie sie wie 192.0.2.0/24, höchstens 16.",
        bad_protocols: "Wählen Sie mindestens etwas, wofür es ist.",
        too_many: "Sie haben 50 App-Passwörter. Trennen Sie eines, das Sie nicht mehr brauchen.",

        made_title: "Ihr neues App-Passwort",
        made_text: "Tippen oder kopieren Sie es jetzt in Ihr Programm: Es wird nur dieses eine Mal gezeigt. Leerzeichen \
                    spielen keine Rolle.",
        made_user: "Benutzername",

        history_title: "Anmeldungen",
        history_help: "Die letzten 50 aus 90 Tagen. Was an einem Tag gleich ist, ist eine Zeile.",
        history_none: "Aus den letzten 90 Tagen ist nichts bekannt.",
        history_when: "Zuletzt",
        history_where: "Wie",
        history_from: "Von",
        history_with: "Mit",
        history_page: "Webseite",
        history_failed: "fehlgeschlagen",
        history_ok: "angemeldet",
        history_result: "Ergebnis",
        history_new: "neuer Browser",
        history_times: Sentence("{}-mal"),

        language: "Sprache",
        language_button: "Ändern",

        stale: Text {
            title: "Diese Seite ist veraltet",
            body: "Sie haben sich seither ab- oder neu angemeldet. Nichts wurde geändert.",
        },
        answered: Text {
            title: "Schon abgeschickt",
            body: "Dieses Formular wurde schon abgeschickt und zählt einmal. Ein App-Passwort, das es angelegt hat, steht \
                   in der Liste; sein Text wird nicht noch einmal gezeigt.",
        },
        dead: Text {
            title: "Zu viele falsche Passwörter",
            body: "Nichts wurde geändert. Sie können von vorn beginnen.",
        },
        bad_request: Text {
            title: "Das geht so nicht",
            body: "Was gesendet wurde, ist keine Auswahl der Seite. Nichts wurde geändert.",
        },
    },

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
        3600..172_800 => (seconds.div_ceil(3600), "Stunde", "Stunden"),
        _ => (seconds / 86_400, "Tag", "Tagen"),
    };
    format!("{count} {}", if count == 1 { one } else { many })
}
