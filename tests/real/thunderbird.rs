//! Debian's Thunderbird, headless, with the add-on that the server made for it.

use crate::support::*;

/// Seconds for everything that Thunderbird does; it takes ten where nothing else runs.
const LIMIT: &str = "240";

#[test]
fn thunderbird_sets_itself_up_signs_in_reads_and_sends() {
    let servers = Servers::start("");
    let backend = Backend { hostname: Some("mail.example.org"), ..Backend::encrypted(&servers) };
    let bearward = Bearward::start_with(&servers.folder, Login::Sealed, &backend, "info");
    let mut ports = Ports::reserve();
    let [https, imaps, smtps, marionette] =
        [bearward.target.https, bearward.target.imaps, bearward.target.smtps, ports.take()]
            .map(|port| port.to_string());
    let ca = servers.folder.ca();
    let ca = ca.to_str().unwrap();

    let token = bearward.token(ALICE);
    let arguments = [ca, &smtps, &imaps, ALICE, &token, ALICE, &token];
    python(&servers.folder, "send_and_receive.py", &arguments).ok();

    let arguments = [ca, "mail.example.org", &https, &imaps, &smtps, &marionette, ALICE, ALICE_PASSWORD];
    python_within(LIMIT, &servers.folder, "thunderbird.py", &arguments).ok();
    for protocol in ["imap", "smtp"] {
        eventually(&format!("a sign-in of Thunderbird by {protocol}"), || {
            let log = bearward.log();
            let signed_in = |line: &&str| {
                line.contains(&format!("protocol=\"{protocol}\" mechanism=\"XOAUTH2\""))
                    && line.contains("client_id=\"open\"")
                    && line.contains("outcome=\"ok\"")
            };
            log.lines().find(signed_in).map(drop)
        });
    }
}
