use super::Sentence;

/// How clients are set up.
pub(in crate::web) struct Guides {
    pub(in crate::web) title: &'static str,

    /// The gap is a link, named by the next text.
    pub(in crate::web) add_on: Sentence,
    pub(in crate::web) add_on_link: &'static str,
    pub(in crate::web) add_on_then: &'static str,
    /// The gap is a link, named by the next text.
    pub(in crate::web) preferences: Sentence,
    pub(in crate::web) preferences_link: &'static str,

    pub(in crate::web) password: &'static str,
    pub(in crate::web) no_password: &'static str,
    pub(in crate::web) finds: &'static str,
    pub(in crate::web) apple: &'static str,
    pub(in crate::web) apple_label: &'static str,
    pub(in crate::web) apple_button: &'static str,
    pub(in crate::web) outlook: &'static str,
    pub(in crate::web) gmail: &'static str,

    pub(in crate::web) command: &'static str,
    pub(in crate::web) himalaya: &'static str,
    pub(in crate::web) roundcube: &'static str,

    pub(in crate::web) values_title: &'static str,
    pub(in crate::web) values: &'static str,
    pub(in crate::web) issuer: &'static str,
    pub(in crate::web) authorization_endpoint: &'static str,
    pub(in crate::web) token_endpoint: &'static str,
    pub(in crate::web) device_endpoint: &'static str,
    pub(in crate::web) client_id: &'static str,
    pub(in crate::web) scope: &'static str,
}

pub(super) const ENGLISH: Guides = Guides {
    title: "Set up a mail client",

    add_on: Sentence(
        "Save {} to a file. In Thunderbird 140 or later open Add-ons and Themes, choose Install Add-on From File behind \
         the gear, and take that file. It tells Thunderbird where this server's sign-in page is, and does nothing else.",
    ),
    add_on_link: "this add-on",
    add_on_then: "Then add an account with your mail address. Thunderbird finds the servers; this server's sign-in page \
                  opens in a window.",
    preferences: Sentence(
        "From version 155, {} do the same without an add-on, for an account that is there already.",
    ),
    preferences_link: "these preferences",

    password: "This client knows no sign-in page of this server. Make an app password for it, and enter that where it \
               asks for your password.",
    no_password: "This client signs in with passwords alone, and this server takes none.",
    finds: "Add an account with your mail address. It finds the servers by itself.",
    apple: "A profile holds every setting but the password, for which the device asks. Download it, then open it in the \
            settings of the device.",
    apple_label: "Your mail address",
    apple_button: "Download the profile",
    outlook: "Add an account with your mail address. Outlook finds the servers by itself; if it does not, choose IMAP and \
              enter the servers from the table above.",
    gmail: "Add an account, choose Other and IMAP, and enter the servers from the table above.",

    command: "TOKEN-COMMAND stands for a program that prints an access token, and TOKEN-FILE for a file that it keeps up \
              to date. Such programs are mutt_oauth2.py, oama and ortie; the values below are for them.",
    himalaya: "Its wizard finds the servers and the sign-in page from your mail address. Where it asks for a client, \
               enter the values below.",
    roundcube: "Whoever runs Roundcube needs a client with a secret, which the operator of this server makes.",

    values_title: "Values for programs that get tokens",
    values: "With these values, any OAuth program gets access tokens. There is no client secret; PKCE with S256 is \
             required.",
    issuer: "Issuer",
    authorization_endpoint: "Authorization endpoint",
    token_endpoint: "Token endpoint",
    device_endpoint: "Device authorization endpoint",
    client_id: "Client identifier",
    scope: "Scope",
};

pub(super) const GERMAN: Guides = Guides {
    title: "Ein Mailprogramm einrichten",

    add_on: Sentence(
        "Speichern Sie {} in einer Datei. Öffnen Sie in Thunderbird ab Version 140 „Add-ons und Themes“, wählen Sie hinter \
         dem Zahnrad „Add-on aus Datei installieren“ und nehmen Sie diese Datei. Es sagt Thunderbird, wo die Anmeldeseite \
         dieses Servers ist, und tut sonst nichts.",
    ),
    add_on_link: "dieses Add-on",
    add_on_then: "Fügen Sie dann ein Konto mit Ihrer Mailadresse hinzu. Thunderbird findet die Server; die Anmeldeseite \
                  dieses Servers öffnet sich in einem Fenster.",
    preferences: Sentence(
        "Ab Version 155 leisten {} dasselbe ohne Add-on, für ein Konto, das schon eingerichtet ist.",
    ),
    preferences_link: "diese Einstellungen",

    password: "Dieses Programm kennt die Anmeldeseite dieses Servers nicht. Legen Sie dafür ein App-Passwort an und geben \
               Sie es ein, wo nach Ihrem Passwort gefragt wird.",
    no_password: "Dieses Programm meldet sich nur mit Passwörtern an, und dieser Server nimmt keine.",
    finds: "Fügen Sie ein Konto mit Ihrer Mailadresse hinzu. Das Programm findet die Server selbst.",
    apple: "Ein Profil enthält alle Einstellungen außer dem Passwort, nach dem das Gerät fragt. Laden Sie es herunter und \
            öffnen Sie es dann in den Einstellungen des Geräts.",
    apple_label: "Ihre Mailadresse",
    apple_button: "Profil herunterladen",
    outlook: "Fügen Sie ein Konto mit Ihrer Mailadresse hinzu. Outlook findet die Server selbst; wenn nicht, wählen Sie \
              IMAP und geben Sie die Server aus der Tabelle oben ein.",
    gmail: "Fügen Sie ein Konto hinzu, wählen Sie „Sonstige“ und IMAP und geben Sie die Server aus der Tabelle oben ein.",

    command: "TOKEN-COMMAND steht für ein Programm, das ein Zugriffstoken ausgibt, TOKEN-FILE für eine Datei, die es \
              aktuell hält. Solche Programme sind mutt_oauth2.py, oama und ortie; die Werte weiter unten sind für sie.",
    himalaya: "Der Assistent findet die Server und die Anmeldeseite anhand Ihrer Mailadresse. Wo er nach einem Client \
               fragt, geben Sie die Werte weiter unten ein.",
    roundcube: "Wer Roundcube betreibt, braucht einen Client mit Geheimnis, den der Betreiber dieses Servers anlegt.",

    values_title: "Werte für Programme, die Token holen",
    values: "Mit diesen Werten bekommt jedes OAuth-Programm Zugriffstoken. Ein Client-Geheimnis gibt es nicht; PKCE mit \
             S256 ist Pflicht.",
    issuer: "Aussteller",
    authorization_endpoint: "Autorisierungsendpunkt",
    token_endpoint: "Token-Endpunkt",
    device_endpoint: "Geräteautorisierung",
    client_id: "Client-Kennung",
    scope: "Scope",
};
