use std::path::Path;

use super::{
    Failure, Output,
    arguments::KeyCommand,
    open,
    table::{table, utc},
};
use crate::{
    issuer::{KeyRotation, KeyState, KeyStatus},
    model::UnixTime,
    token::Algorithm,
};

pub(super) async fn run(command: KeyCommand, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let config = open::load(file)?;
    let now = UnixTime::now();
    let issuer = open::issuer(&config, now).await?;
    if let KeyCommand::Rotate { compromised } = command {
        let how = if compromised { KeyRotation::AtOnce } else { KeyRotation::Soon };
        issuer.rotate_keys(&Algorithm::ALL, how, now).await.map_err(Failure::failed)?;
    }
    print(&issuer.key_status(now), output);
    Ok(())
}

fn print(keys: &[KeyStatus], output: Output) {
    if output.json {
        output.document(&keys);
        return;
    }
    let row = |key: &KeyStatus| {
        let state = match key.state {
            KeyState::Next => "next",
            KeyState::Current => "signs",
            KeyState::Previous => "previous",
        };
        [
            key.kid.clone(),
            key.algorithm.to_owned(),
            state.to_owned(),
            utc(key.signs_from.0),
            key.retires_at.map_or_else(String::new, |at| utc(at.0)),
        ]
    };
    let names = ["key", "algorithm", "state", "signs from", "published until"];
    output.text(&table(names, &keys.iter().map(row).collect::<Vec<_>>()));
}
