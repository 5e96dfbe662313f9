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

/// What a person can paste into another terminal, each command by itself.
fn invitation(document: &TrialDocument) -> String {
    let TrialDocument { hostname, ports, .. } = document;
    let user = document.users.first().map_or("", |user| user.login.as_str());
    let mut text =
        format!("Bearward runs on {hostname} until you press Ctrl-C. Paste into another terminal:\n");
    let curl = format!(
        "curl -sS --cacert {ca} --user '{user}:' --oauth2-bearer {token}",
        ca = quoted(&document.ca_file.display().to_string()),
        token = quoted(&document.access_token),
    );
    let other = ports.only_xoauth2;
    for (mechanism, imaps, pop3s, smtps) in [
        ("OAUTHBEARER", ports.imaps, ports.pop3s, ports.smtps),
        ("XOAUTH2 (on ports that offer nothing else)", other.imaps, other.pop3s, other.smtps),
    ] {
        text.push_str(&format!(
            "\nread mail with {mechanism}, by IMAP and by POP3:\n\n  \
             {curl} 'imaps://{hostname}:{imaps}/INBOX;UID=1'\n  {curl} 'pop3s://{hostname}:{pop3s}/1'\n\
             \nsend mail with {mechanism}:\n\n  printf 'Subject: hello\\r\\n\\r\\nIt works.\\r\\n' | \
             {curl} 'smtps://{hostname}:{smtps}' --mail-from '{user}' --mail-rcpt '{user}' --upload-file -\n"
        ));
    }
    text.push_str(&format!(
        "\nget new tokens with the refresh token, which works once:\n\n  curl -sS --cacert {ca} -d \
         grant_type=refresh_token -d client_id={client} -d refresh_token={refresh} {issuer}/oauth/token\n",
        ca = quoted(&document.ca_file.display().to_string()),
        client = document.client_id,
        refresh = quoted(&document.refresh_token),
        issuer = document.issuer,
    ));
    let program = std::env::current_exe().unwrap_or_else(|_| "bearward".into());
    let ask = format!(
        "{} -c {}",
        quoted(&program.display().to_string()),
        quoted(&document.config_file.display().to_string())
    );
    text.push_str(&format!(
        "\nsee what was allowed, and who is signed in:\n\n  {ask} grant list\n  {ask} session list\n\n"
    ));
    text.push_str(&format!("issuer    {}\nclient    {}\n", document.issuer, document.client_id));
    text.push_str(&format!(
        "STARTTLS  imap {}, smtp {}, pop3 {}, sieve {}\n",
        ports.imap, ports.smtp, ports.pop3, ports.sieve
    ));
    for user in &document.users {
        text.push_str(&format!("user      {}, whose mailbox password is {}\n", user.login, user.password));
    }
    text
}

/// In single quotes, for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
