use super::{Failure, Output, arguments::Try};
use crate::app::{self, TrialDocument, TrialError, TrialOptions};

pub(super) async fn run(command: Try, output: Output) -> Result<(), Failure> {
    let options = TrialOptions { port_offset: command.port_offset, data: command.data };
    let ready = |document: &TrialDocument| {
        if output.json {
            output.line(document);
        } else {
            output.text(&invitation(document));
        }
    };
    app::try_run(options, ready).await.map_err(|error| match error {
        TrialError::Config(error) => Failure::from(error),
        error @ (TrialError::App(_)
        | TrialError::Io(..)
        | TrialError::Log(_)
        | TrialError::Ports(_)
        | TrialError::Token(_)) => Failure::failed(error),
    })
}

/// What a person can paste into another terminal.
fn invitation(document: &TrialDocument) -> String {
    let TrialDocument { hostname, ca_file, access_token: token, ports, .. } = document;
    let user = document.users.first().map_or("", |user| user.login.as_str());
    let ca = quoted(&ca_file.display().to_string());
    let mut text =
        format!("Bearward runs on {hostname} until you press Ctrl-C. In another terminal, read mail:\n\n");
    let curl = format!("curl --cacert {ca} --user '{user}:' --oauth2-bearer '{token}'");
    text.push_str(&format!("  {curl} 'imaps://{hostname}:{}/INBOX;UID=1'\n", ports.imaps));
    text.push_str(&format!("  {curl} 'pop3s://{hostname}:{}/1'\n", ports.pop3s));
    text.push_str("\nsend some:\n\n");
    text.push_str(&format!(
        "  printf 'Subject: hello\\r\\n\\r\\nIt works.\\r\\n' |\n    {curl} 'smtps://{hostname}:{}' \
         --mail-from '{user}' --mail-rcpt '{user}' --upload-file -\n",
        ports.smtps
    ));
    text.push_str(&format!(
        "\nand see who is signed in:\n\n  bearward -c {} session list\n\n",
        quoted(&document.config_file.display().to_string())
    ));
    text.push_str(&format!(
        "issuer:  {}\nclient:  {}\nSTARTTLS: imap {}, smtp {}, pop3 {}\n",
        document.issuer, document.client_id, ports.imap, ports.smtp, ports.pop3
    ));
    for user in &document.users {
        text.push_str(&format!(
            "user:    {}  password at the mail server behind: {}\n",
            user.login, user.password
        ));
    }
    text
}

/// In single quotes, for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
