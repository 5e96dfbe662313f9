//! Literals of commands that are refused.

use super::client::*;

const INJECTED: &str = "x AUTHENTICATE XOAUTH2 dXNlcj1ldmlsAWF1dGg9QmVhcmVyIGV2aWwBAQ==\r\n";

/// A command that carries the injected one in a literal, in many ways that are refused.
#[test]
fn a_refused_commands_literal_is_never_executed() {
    let n = INJECTED.len();
    for command in [
        format!("a SELECT {{{n}+}}\r\n{INJECTED}\r\n"),
        format!("a SELECT {{{n}-}}\r\n{INJECTED}\r\n"),
        format!("a SELECT ~{{{n}+}}\r\n{INJECTED}\r\n"),
        format!("a STARTTLS {{00{n}+}}\r\n{INJECTED} {{{n}+}}\r\n{INJECTED}\r\n"),
        format!("a AUTHENTICATE XOAUTH2 {{{n}+}}\r\n{INJECTED}\r\n"),
        format!("a LOGIN \"u{{{n}+}}\r\n{INJECTED}\r\n"),
        format!("a FROB\0 {{{n}+}}\r\n{INJECTED}\r\n"),
        format!("a FROB {{{n}+}}\n{INJECTED}\r\n"),
        format!("a FROB {{{n}+}}\r\r\n{INJECTED}\r\n"),
        format!("a FROB {} {{{n}+}}\r\n{INJECTED}\r\n", "x".repeat(300)),
        format!("a FROB {} {{{n}+}}\r\n{INJECTED}\r\n", "x".repeat(3000)),
        format!("a ID {} {{{n}+}}\r\n{INJECTED}\r\n", "x".repeat(300)),
        format!("a ID ({} {{{n}+}}\r\n{INJECTED}\r\n", "x".repeat(30)),
        format!("a ID (\"x\" {{{n}+}}\r\n{INJECTED} \"a\0\" {{{n}+}}\r\n{INJECTED}\r\n"),
    ] {
        let said = tls().run(&[format!("{command}b NOOP\r\n").as_bytes()]);
        assert_eq!(said.len(), 2, "{command:?}: {said:?}");
        assert!(said[0].starts_with("a BAD ") || said[0].starts_with("a NO "), "{command:?}: {said:?}");
        assert_eq!(said[1], "b OK NOOP completed", "{command:?}");
    }
    let said =
        tls().say(format!("a SELECT {{{n}+}}\r\n{INJECTED} {{{n}+}}\r\n{INJECTED}\r\nb NOOP\r\n").as_bytes());
    assert_eq!(said, ["a BAD No literal is allowed here", "b OK NOOP completed"]);
    let said = tls().say(format!("({{{n}+}}\r\n{INJECTED}\r\nb NOOP\r\n").as_bytes());
    assert_eq!(said, ["* BAD The command has no valid tag", "b OK NOOP completed"]);
}

#[test]
fn a_literal_that_waits_is_refused_instead_of_asked_for() {
    let said = tls()
        .say(b"a SELECT {5}\r\nb ID (\"x\" {4097}\r\nc ID (\"x\" {99999999999999999999999}\r\nd NOOP\r\n");
    assert_eq!(
        said,
        [
            "a BAD No literal is allowed here",
            "b BAD The literal is too long",
            "c BAD The literal is too long",
            "d OK NOOP completed",
        ]
    );
}

#[test]
fn a_literal_too_long_is_thrown_away_as_it_comes() {
    let body = "a NOOP\r\n".repeat(700);
    let said =
        passwords().run(&[format!("a LOGIN u {{{}+}}\r\n{body}\r\nb NOOP\r\n", body.len()).as_bytes()]);
    assert_eq!(said, ["a BAD The literal is too long", "b OK NOOP completed"]);
}

#[test]
fn the_literals_of_one_command_are_bounded_together() {
    let literal = format!("{{4096+}}\r\n{} ", "x".repeat(4096));
    let said = passwords().run(&[format!("a LOGIN {}p\r\nb NOOP\r\n", literal.repeat(9)).as_bytes()]);
    assert_eq!(said, ["a BAD The literal is too long", "b OK NOOP completed"]);
}

#[test]
fn a_literal_beyond_all_bounds_ends_the_connection() {
    for announced in ["65537+", "18446744073709551615+", "99999999999999999999999999999999+"] {
        let said = tls().say(format!("a SELECT {{{announced}}}\r\nb NOOP\r\n").as_bytes());
        assert_eq!(
            said,
            ["a BAD No literal is allowed here", "* BYE The literal is beyond all limits", "close Flood"]
        );
    }
    let said =
        tls().run(&[format!("a {} {{{}5+}}\r\nb NOOP\r\n", "x".repeat(3000), "0".repeat(40)).as_bytes()]);
    assert_eq!(said[1..], ["* BYE The literal is beyond all limits", "close Flood"]);
    let many = format!("{{8000+}}\r\n{}", "x".repeat(8000)).repeat(9);
    let said = tls().run(&[format!("a SELECT {many}\r\nb NOOP\r\n").as_bytes()]);
    assert_eq!(said.last().unwrap(), "close Flood");
}

#[test]
fn an_id_whose_literal_is_cut_by_a_fault_is_bad_once() {
    let said = tls().say(b"a ID (\"x\" {2+}\r\nab\0)\r\nb NOOP\r\n");
    assert_eq!(said, ["a BAD A line holds no NUL", "b OK NOOP completed"]);
}
