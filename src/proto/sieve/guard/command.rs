//! What becomes of a client's command.

use super::replies::Expected;
use crate::proto::{
    line::LineFault,
    sieve::grammar::{self, MAX_WORDS, Word},
};

/// Longest script that passes: what no server can take for a negative length.
const SCRIPT_LIMIT: u64 = i32::MAX as u64;

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Authenticated,
    Encrypted,
    LineEnd,
    Malformed,
    Name,
    TooLong,
    Unknown,
}

impl Refusal {
    /// Why a line cannot be a command.
    pub(super) const fn of_line(fault: LineFault) -> Self {
        match fault {
            LineFault::BareCr | LineFault::BareLf | LineFault::Nul => Self::LineEnd,
            LineFault::TooLong => Self::TooLong,
        }
    }

    /// The reply.
    pub(super) const fn text(self) -> &'static [u8] {
        match self {
            Self::Authenticated => b"NO \"Already authenticated\"\r\n",
            Self::Encrypted => b"NO \"TLS is already active\"\r\n",
            Self::LineEnd => b"NO \"A line ends with CR LF, and holds neither alone and no NUL\"\r\n",
            Self::Malformed => b"NO \"The command is malformed\"\r\n",
            Self::Name => b"NO \"The name cannot be a script's\"\r\n",
            Self::TooLong => b"NO \"The line or literal is too long\"\r\n",
            Self::Unknown => b"NO \"Unknown command, or not after sign-in\"\r\n",
        }
    }
}

/// What follows the verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument {
    Name,
    Number,
    Script,
}

/// What becomes of a literal.
#[derive(Debug)]
pub(super) enum Plan {
    /// It is a name of so many octets.
    Name(usize),
    /// It is a script, and this goes before it.
    Script(Vec<u8>),
}

/// The verb as it is written, its arguments, and how many of them may be left out.
fn verb(word: Option<&Word>) -> Result<(&'static str, &'static [Argument], usize), Refusal> {
    use Argument::{Name, Number, Script};
    let Some(Word::Atom(verb)) = word else { return Err(Refusal::Unknown) };
    Ok(match verb.to_ascii_uppercase().as_slice() {
        b"AUTHENTICATE" | b"UNAUTHENTICATE" => return Err(Refusal::Authenticated),
        b"CAPABILITY" => ("CAPABILITY", &[], 0),
        b"CHECKSCRIPT" => ("CHECKSCRIPT", &[Script], 0),
        b"DELETESCRIPT" => ("DELETESCRIPT", &[Name], 0),
        b"GETSCRIPT" => ("GETSCRIPT", &[Name], 0),
        b"HAVESPACE" => ("HAVESPACE", &[Name, Number], 0),
        b"LISTSCRIPTS" => ("LISTSCRIPTS", &[], 0),
        b"LOGOUT" => ("LOGOUT", &[], 0),
        b"NOOP" => ("NOOP", &[Name], 1),
        b"PUTSCRIPT" => ("PUTSCRIPT", &[Name, Script], 0),
        b"RENAMESCRIPT" => ("RENAMESCRIPT", &[Name, Name], 0),
        b"SETACTIVE" => ("SETACTIVE", &[Name], 0),
        b"STARTTLS" => return Err(Refusal::Encrypted),
        _ => return Err(Refusal::Unknown),
    })
}

/// What to do with a literal of `length` octets behind `words`.
pub(super) fn literal(words: &[Word], length: u64) -> Result<Plan, Refusal> {
    let (name, arguments, _) = verb(words.first())?;
    let given = words.get(1..).unwrap_or_default();
    match arguments.get(given.len()) {
        Some(Argument::Name) => {
            let length = usize::try_from(length).ok().filter(|length| *length <= grammar::QUOTED_MAX);
            length.map(Plan::Name).ok_or(Refusal::Name)
        }
        Some(Argument::Script) if length <= SCRIPT_LIMIT => {
            let mut command = written(name, arguments, given)?;
            command.extend_from_slice(format!(" {{{length}+}}\r\n").as_bytes());
            Ok(Plan::Script(command))
        }
        Some(Argument::Script) => Err(Refusal::TooLong),
        Some(Argument::Number) | None => Err(Refusal::Malformed),
    }
}

/// A whole command as the mail server gets it, and what it will answer.
pub(super) fn compose(words: &[Word]) -> Result<(Vec<u8>, Expected), Refusal> {
    let (name, arguments, optional) = verb(words.first())?;
    let given = words.get(1..).unwrap_or_default();
    if words.len() > MAX_WORDS || given.len().saturating_add(optional) < arguments.len() {
        return Err(Refusal::Malformed);
    }
    let mut command = written(name, arguments, given)?;
    command.extend_from_slice(b"\r\n");
    let expected = if name == "CAPABILITY" { Expected::Capabilities } else { Expected::Pass };
    Ok((command, expected))
}

fn written(name: &str, arguments: &[Argument], given: &[Word]) -> Result<Vec<u8>, Refusal> {
    if given.len() > arguments.len() {
        return Err(Refusal::Malformed);
    }
    let mut command = name.as_bytes().to_vec();
    for (argument, word) in arguments.iter().zip(given) {
        command.push(b' ');
        match (argument, word) {
            (Argument::Name, Word::String(octets)) if is_name(octets) => {
                grammar::write_quoted(octets, &mut command);
            }
            (Argument::Name, Word::String(_)) => return Err(Refusal::Name),
            (Argument::Number, Word::Atom(digits)) => {
                let number = grammar::number(digits).ok_or(Refusal::Malformed)?;
                command.extend_from_slice(number.to_string().as_bytes());
            }
            (Argument::Script, Word::String(octets)) => grammar::write_string(octets, &mut command),
            (Argument::Name | Argument::Script, Word::Atom(_)) | (Argument::Number, Word::String(_)) => {
                return Err(Refusal::Malformed);
            }
        }
    }
    Ok(command)
}

/// RFC 5804 §1.6, so far as it bears on how the name is read.
fn is_name(octets: &[u8]) -> bool {
    let separators = ['\u{2028}', '\u{2029}'];
    grammar::is_quotable(octets) && std::str::from_utf8(octets).is_ok_and(|name| !name.contains(separators))
}
