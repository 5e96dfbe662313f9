//! What users are told of sign-ins: notes that nobody waits for.

use super::{
    line::{Connection, Shared},
    registry::Entry,
};
use crate::{
    directory::{Place, SignInBy, SignInNote, SignInResult},
    model::{Login, Outcome, Principal, UnixTime},
    telemetry::SignIn,
};

/// Notes for the user to see that somebody has signed in as them.
pub(super) fn signed_in(shared: &Shared, entry: &Entry, principal: &Principal, now: UnixTime) {
    let Some(log) = &shared.sign_in_log else { return };
    let live = entry.live();
    let by = SignInBy {
        address: live.client_ip,
        client: Some(principal.client.to_string()),
        program: live.program().map(str::to_owned),
        browser: None,
        grant: principal.right.grant(),
    };
    let (user, place) = (principal.login.clone(), Place::Mail(live.protocol));
    log.note(SignInNote { user, at: now, place, result: SignInResult::Ok(by) });
}

/// Counts a wrong password for the user whose name was given, if there is one: whoever keeps the history knows.
pub(super) fn refused(shared: &Shared, connection: &Connection, event: &SignIn<'_>) {
    let is_wrong_password =
        event.outcome == Outcome::InvalidToken && event.mechanism.is_some_and(|own| !own.is_bearer());
    let user = event.user.filter(|_| is_wrong_password).and_then(|user| Login::parse(user).ok());
    let (Some(log), Some(user)) = (&shared.sign_in_log, user) else { return };
    let place = Place::Mail(connection.protocol);
    log.note(SignInNote { user, at: UnixTime::now(), place, result: SignInResult::Failed });
}
