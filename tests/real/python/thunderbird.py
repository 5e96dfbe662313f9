"""Thunderbird finds its settings, signs in through the pages of the server, reads a message and sends one.

thunderbird.py CA HOST HTTPS IMAPS SMTPS MARIONETTE ADDRESS PASSWORD

HOST must have a dot in it, or Thunderbird knows no provider for it. It is this machine by a preference, and the https
port by a proxy, as Thunderbird looks for settings at port 443 alone."""

import email
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from connect_proxy import ConnectProxy
from marionette import Marionette

CA, HOST, HTTPS, IMAPS, SMTPS, MARIONETTE, ADDRESS, PASSWORD = sys.argv[1:]
DOMAIN = ADDRESS.split("@")[1]

SCOPE = "urn:ietf:params:oauth:scope:mail"

# What Thunderbird's code calls TLS from the first octet, and OAuth2.
TLS, OAUTH2 = 3, 10

MODULES = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const { FileUtils } = ChromeUtils.importESModule("resource://gre/modules/FileUtils.sys.mjs");
const inboxOf = key =>
  MailServices.accounts.getAccount(key).incomingServer.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
const mainWindow = () => Services.wm.getMostRecentWindow("mail:3pane");
"""

FIND = """
const { FetchConfig } = ChromeUtils.importESModule("resource:///modules/accountcreation/FetchConfig.sys.mjs");
const [address] = given;
const config = await FetchConfig.fromISP(address.split("@")[1], address, new AbortController().signal);
const server = ({ type, hostname, port, socketType, auth, username }) => [type, hostname, port, socketType, auth, username];
return {
  source: config.subSource,
  name: config.displayName,
  domains: config.domains,
  incoming: [config.incoming, ...config.incomingAlternatives].map(server),
  outgoing: [config.outgoing, ...config.outgoingAlternatives].map(server),
};
"""

INSTALL = """
const { AddonManager } = ChromeUtils.importESModule("resource://gre/modules/AddonManager.sys.mjs");
const install = await AddonManager.getInstallForFile(new FileUtils.File(given[0]));
if (install.error) throw new Error(`the add-on is refused: ${install.error}`);
return (await install.install()).id;
"""

PROVIDER = """
const { OAuth2Providers } = ChromeUtils.importESModule("resource:///modules/OAuth2Providers.sys.mjs");
const [host] = given;
const details = OAuth2Providers.getHostnameDetails(host, "imap");
return details && [details, OAuth2Providers.getIssuerDetails(details.issuer)];
"""

ADD_ACCOUNT = """
const { FetchConfig } = ChromeUtils.importESModule("resource:///modules/accountcreation/FetchConfig.sys.mjs");
const { AccountConfig } = ChromeUtils.importESModule("resource:///modules/accountcreation/AccountConfig.sys.mjs");
const { CreateInBackend } = ChromeUtils.importESModule("resource:///modules/accountcreation/CreateInBackend.sys.mjs");
const [address] = given;
const config = await FetchConfig.fromISP(address.split("@")[1], address, new AbortController().signal);
AccountConfig.replaceVariables(config, "Alice", address);
config.incoming.loginAtStartup = false;
return (await CreateInBackend.createAccountInBackend(config)).key;
"""

OPEN_ACCOUNT = """
MailServices.accounts.getAccount(given[0]).incomingServer.performExpand(mainWindow().msgWindow);
"""

# Runs a script in the page of the sign-in window, by the actor with which Marionette looks into pages.
PAGE = """
const isOurs = window => window.location.href.endsWith("/browserRequest.xhtml");
const window = [...Services.wm.getEnumerator(null)].find(isOurs);
const browser = window?.document.getElementById("requestFrame");
const page = browser?.browsingContext?.currentWindowGlobal;
if (!page || browser.webProgress.isLoadingDocument || !browser.currentURI.schemeIs("https")) return null;
const options = { timeout: 10000, async: false, newSandbox: true, sandboxName: null };
return await page.getActor("MarionetteCommands").executeScript(given[0], given.slice(1), options);
"""

SIGN_IN = """
const [password] = arguments;
const form = document.querySelector('form:has([name="password"])');
if (!form || document.readyState != "complete") return null;
const seen = { origin: location.origin, login: form.elements.login.value, title: document.title };
form.elements.password.value = password;
form.querySelector("button").click();
return seen;
"""

ALLOW = """
const button = document.querySelector('button[value="allow"]');
if (!button || document.readyState != "complete") return null;
button.click();
return true;
"""

WINDOWS = """
return ![...Services.wm.getEnumerator(null)].some(window => window.location.href.endsWith("/browserRequest.xhtml"));
"""

SUBJECTS = """
const inbox = inboxOf(given[0]);
if (!inbox) return null;
inbox.updateFolder(mainWindow().msgWindow);
const subjects = [...inbox.messages].map(message => message.mime2DecodedSubject);
return subjects.includes(given[1]) && subjects;
"""

READ = """
const { NetUtil } = ChromeUtils.importESModule("resource://gre/modules/NetUtil.sys.mjs");
const [key, subject] = given;
const inbox = inboxOf(key);
const uri = inbox.getUriForMsg([...inbox.messages].find(message => message.mime2DecodedSubject == subject));
return await new Promise((resolve, reject) => {
  let text = "";
  const listener = {
    QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]),
    onStartRequest() {},
    onDataAvailable(request, stream, offset, count) {
      text += NetUtil.readInputStreamToString(stream, count);
    },
    onStopRequest(request, status) {
      status ? reject(new Error(`not read: ${status}`)) : resolve(text);
    },
  };
  MailServices.messageServiceFromURI(uri).streamMessage(uri, listener, null, null, false, "");
});
"""

SEND = """
const [key, to, subject, path] = given;
const identity = MailServices.accounts.getAccount(key).defaultIdentity;
const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
Object.assign(fields, { from: identity.email, to, subject });
const send = Cc["@mozilla.org/messengercompose/send;1"].createInstance(Ci.nsIMsgSend);
const now = Ci.nsIMsgSend.nsMsgDeliverNow;
return await new Promise((resolve, reject) => {
  send.sendMessageFile(identity, key, fields, new FileUtils.File(path), false, false, now, null, {
    QueryInterface: ChromeUtils.generateQI(["nsIMsgSendListener"]),
    onStartSending() {},
    onSendProgress() {},
    onStatus() {},
    onGetDraftFolderURI() {},
    onTransportSecurityError(id, status) { reject(new Error(`TLS: ${status}`)); },
    onSendNotPerformed(id, status) { reject(new Error(`not sent: ${status}`)); },
    onStopSending(id, status, message) {
      status ? reject(new Error(`not sent: ${status} ${message}`)) : resolve(true);
    },
  }, null, "");
});
"""


def profile_in(folder, proxy):
    """A profile that trusts the test authority, and is led nowhere but to the server."""
    profile = folder / "profile"
    profile.mkdir()
    preferences = {
        "marionette.port": int(MARIONETTE),
        "network.proxy.type": 1,
        "network.proxy.ssl": "127.0.0.1",
        "network.proxy.ssl_port": proxy.port,
        "network.proxy.http": "127.0.0.1",
        "network.proxy.http_port": proxy.port,
        "network.dns.localDomains": HOST,
        "mail.provider.suppress_dialog_on_startup": True,
        "mail.spotlight.firstRunDone": True,
        "mailnews.start_page.enabled": False,
        "datareporting.policy.dataSubmissionEnabled": False,
        "app.update.enabled": False,
        "extensions.update.enabled": False,
        "network.captive-portal-service.enabled": False,
        "network.connectivity-service.enabled": False,
    }
    lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in preferences.items()]
    (profile / "user.js").write_text("".join(lines))
    for arguments in (["-N", "--empty-password"], ["-A", "-n", "test", "-t", "C,,", "-i", CA]):
        subprocess.run(["certutil", "-d", f"sql:{profile}", *arguments], check=True, stdout=subprocess.DEVNULL)
    return profile


def download(path, file):
    target = f"https://{HOST}{path}"
    place = f"{HOST}:443:127.0.0.1:{HTTPS}"
    subprocess.run(["curl", "-sS", "--fail", "--cacert", CA, "--connect-to", place, "-o", file, target], check=True)


def drive(thunderbird, folder):
    run, until = thunderbird.run, thunderbird.until
    # Without the add-on it takes no OAuth2 for a host that it does not know, and there is nothing else.
    try:
        found = run(FIND, ADDRESS)
    except RuntimeError as error:
        assert "Lacking OAuth2 config" in str(error), error
    else:
        raise AssertionError(found)

    add_on = folder / "add-on.xpi"
    download("/mail/thunderbird.xpi", add_on)
    assert run(MODULES + INSTALL, str(add_on)) == f"oauth@{HOST}"
    details, issuer = until("the provider", PROVIDER, HOST)
    assert details == {"issuer": HOST, "allScopes": SCOPE, "requiredScopes": SCOPE}, details
    assert issuer["clientId"] == "open" and issuer["usePKCE"] and not issuer["builtIn"], issuer

    found = run(FIND, ADDRESS)
    assert found["source"] == "xml-from-isp-https", found
    assert found["name"] == "Example & Söhne" and found["domains"] == [DOMAIN], found
    assert found["incoming"][0] == ["imap", HOST, int(IMAPS), TLS, OAUTH2, "%EMAILADDRESS%"], found
    assert found["outgoing"][0] == ["smtp", HOST, int(SMTPS), TLS, OAUTH2, "%EMAILADDRESS%"], found
    assert {server[0] for server in found["incoming"]} == {"imap", "pop3"}, found

    key = run(ADD_ACCOUNT, ADDRESS)
    run(MODULES + OPEN_ACCOUNT, key)
    seen = until("the sign-in page", PAGE, SIGN_IN, PASSWORD)
    assert seen["origin"] == f"https://{HOST}" and seen["login"] == ADDRESS, seen
    until("the question", PAGE, ALLOW)
    until("the end of the window", WINDOWS)

    until("the message that was there", MODULES + SUBJECTS, key, "sent and received")
    message = email.message_from_string(run(MODULES + READ, key, "sent and received"))
    assert message.get_payload().strip() == "hello", message

    written = folder / "message.eml"
    written.write_text(f"From: <{ADDRESS}>\r\nTo: <{ADDRESS}>\r\nSubject: from Thunderbird\r\n\r\nwritten there\r\n")
    # One sign-in is enough for both: no window opens.
    assert run(MODULES + SEND, key, ADDRESS, "from Thunderbird", str(written))
    until("the message that was sent", MODULES + SUBJECTS, key, "from Thunderbird")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        proxy = ConnectProxy({f"{host}:443": int(HTTPS) for host in (HOST, f"autoconfig.{DOMAIN}")})
        command = ["thunderbird", "--headless", "--no-remote", "--marionette", "--remote-allow-system-access"]
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                [*command, "--profile", str(profile_in(folder, proxy))],
                env={**os.environ, "HOME": name, "MOZ_CRASHREPORTER_DISABLE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                drive(Marionette(int(MARIONETTE)), folder)
            except BaseException:
                said = (folder / "log").read_text(errors="replace").splitlines()
                print("\n".join(line for line in said if line and "gtk" not in line.lower()), file=sys.stderr)
                raise
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


main()
