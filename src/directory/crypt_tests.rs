#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;

/// By `doveadm pw -s SCHEME` of Dovecot 2.3, for [`DOVECOT_PASSWORD`].
const DOVECOT: [&str; 8] = [
    "{SSHA}iKzSv/rgSCv18Wp4YPXLh70Mac+WT3Vw",
    "{SSHA256}EQSzSnH/t36hvU58yFj40eiQmphNQ8R87ZS3IQvy2HGgVB/F",
    "{SSHA512}/3Z6ULEZYcAR6dSow5xr9/7jsYFuFj8uR6MqenLzKAuCXc61EzvlvJ+d9Und4Hw3WtoX+zxnNdZDE2tDWJHt1bbVS/M=",
    "{PBKDF2}$1$YAk9YfNIxghtKW2h$5000$9423891690b75c3f4277cef26efc69de49417ad1",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$A5SK8ucjzvabiMOjLrrS9g$fXydHRU6IjwKs8E1cDdASlsG9fzfENxGjVPfYKH3gg8",
    "{BLF-CRYPT}$2y$05$iugdOxZ/Bqohy4I1vkexaOVlAw.kpd7E156sZ.pZKspZVOfz70tSG",
    "{SHA512-CRYPT}$6$tzKddXuEoTH1FASk$LFVR7cIN7NXbvSwlJVRkvIZrORWhHjKrwuUMqQp5fcjcs04sihXCVku/2WPhZ01CTiV410zgUtD0TcItU41FM0",
    "{SHA256-CRYPT}$5$n0R0p3jWtY3SY7wd$zKW3W9MRTdFMpbmypSVPjHYQhe7HMRi5hBvg5RVKNv5",
];
const DOVECOT_PASSWORD: &str = "Gr\u{fc}\u{df}e, 42!";

/// The first five are of the specification (Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512"), the last two by
/// `openssl passwd`.
const SHA_CRYPT: [(&str, &str); 7] = [
    ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    (
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ),
    ("Hello world!", "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
    (
        "Hello world!",
        "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
    ),
    (
        "we have a short salt string but not a short password",
        "$5$rounds=77777$short$JiO1O3ZpDAxGJeaDIuqCoEFysAe1mZNJRs3pw0KQRd/",
    ),
    (
        "correct horse",
        "$6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
    ),
    ("correct horse", "$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/"),
];

fn is(stored: &str, password: &str) -> bool {
    Hashed::parse(stored, false).unwrap().is(&Secret::copy_of(password.as_bytes()))
}

#[test]
fn what_dovecot_has_hashed_is_known_again_and_nothing_else_is() {
    for stored in DOVECOT {
        assert!(is(stored, DOVECOT_PASSWORD), "{stored}");
        for wrong in ["", "Gr\u{fc}\u{df}e, 42", "gr\u{fc}\u{df}e, 42!", &"x".repeat(LONGEST + 1)] {
            assert!(!is(stored, wrong), "{stored} {wrong:.20}");
        }
        let (scheme, bare) = stored.split_once('}').unwrap();
        if bare.starts_with("$argon2") || ["$2", "$5", "$6"].iter().any(|id| bare.starts_with(id)) {
            assert!(is(bare, DOVECOT_PASSWORD), "{bare}");
            assert!(is(&format!("{{CRYPT}}{bare}"), DOVECOT_PASSWORD), "{bare}");
        }
        assert!(is(&format!("{}}}{bare}", scheme.to_lowercase()), DOVECOT_PASSWORD), "{scheme}");
    }
}

#[test]
fn sha_crypt_is_as_specified() {
    for (password, stored) in SHA_CRYPT {
        assert!(is(stored, password), "{stored}");
        assert!(!is(stored, "Hello world"), "{stored}");
    }
}

#[test]
fn bcrypt_is_as_openbsd_has_it() {
    let stored = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    assert!(is(stored, "U*U") && !is(stored, "U*V"));
}

#[test]
fn pbkdf2_is_read_as_openldap_and_passlib_write_it() {
    // RFC 6070 §2 and RFC 7914 §11, in base64.
    let openldap = "{PBKDF2}4096$c2FsdA$SwB5AbdlSJq.rUnZJvch0GWkKcE";
    let passlib = "$pbkdf2-sha256$1$c2FsdA$VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLxJypzM8Xm2RZkWZLOdd.8xfHG4RbHjC9UJESBB06GXgw";
    assert!(is(openldap, "password") && !is(openldap, "passwore"));
    assert!(is(passlib, "passwd") && !is(passlib, "passwe"));
    let sha512 = "{PBKDF2-SHA512}1000$c2FsdA$myS2nojfpF0x4Gpt0gvJYyaMCpSSRnf3bUsvAuWhBaf2X8qFejVMsuUGlYC4uEV8tbQNpJCE5NdcObMawfNW1Q";
    assert!(is(sha512, "passwd") && !is(sha512, "passwe"));
}

#[test]
fn a_password_in_clear_is_taken_only_where_the_operator_allows_it() {
    for stored in ["{PLAIN}secret", "{cleartext}secret", "{CLEAR}secret"] {
        assert_eq!(Hashed::parse(stored, false).unwrap_err(), CryptError::Plain, "{stored}");
        let hashed = Hashed::parse(stored, true).unwrap();
        assert!(hashed.is(&Secret::copy_of(b"secret")) && !hashed.is(&Secret::copy_of(b"secre")));
        assert_eq!(format!("{hashed:?}"), "Hashed(PLAIN)");
    }
    assert_eq!(Hashed::parse("secret", true).unwrap_err(), CryptError::NoScheme);
    assert!(!Hashed::parse("{PLAIN}", true).unwrap().is(&Secret::default()));
}

#[test]
fn what_proves_nothing_or_costs_too_much_is_no_stored_password() {
    for bad in [
        "",
        "$",
        "$1$salt$hash",
        "{SSHA}",
        "{SSHA}AAAA",
        // A digest without a salt, which is another scheme.
        "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "{SSHA}****",
        "{PBKDF2}$1$salt$5000$",
        "{PBKDF2}$1$salt$5000$zz",
        "{PBKDF2}$1$salt$0$9423891690b75c3f4277cef26efc69de49417ad1",
        "{PBKDF2}$1$$5000$9423891690b75c3f4277cef26efc69de49417ad1",
        "$pbkdf2-sha256$1$c2FsdA$",
        "$argon2id$v=19$m=65536,t=3,p=1$A5SK8ucjzvabiMOjLrrS9g",
        "$argon2id$nonsense",
        "{ARGON2ID}$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
        "$2y$05$iugdOxZ",
        "$5$salt",
        "$5$salt$",
        "$6$salt$hash",
        "$6$rounds=1$salt$LFVR7cIN7NXbvSwlJVRkvIZrORWhHjKrwuUMqQp5fcjcs04sihXCVku/2WPhZ01CTiV410zgUtD0TcItU41FM0",
    ] {
        assert!(Hashed::parse(bad, true).is_err(), "{bad}");
    }
    let unknown = Hashed::parse("{NT<script>LM}0123456789abcdef", true).unwrap_err();
    assert_eq!(unknown, CryptError::Scheme("NTSCRIPTLM".into()));
    for costly in [
        "$argon2id$v=19$m=4194304,t=3,p=1$A5SK8ucjzvabiMOjLrrS9g$fXydHRU6IjwKs8E1cDdASlsG9fzfENxGjVPfYKH3gg8",
        "$argon2id$v=19$m=65536,t=1000,p=1$A5SK8ucjzvabiMOjLrrS9g$fXydHRU6IjwKs8E1cDdASlsG9fzfENxGjVPfYKH3gg8",
        "$2y$31$iugdOxZ/Bqohy4I1vkexaOVlAw.kpd7E156sZ.pZKspZVOfz70tSG",
        "$5$rounds=999999999$n0R0p3jWtY3SY7wd$zKW3W9MRTdFMpbmypSVPjHYQhe7HMRi5hBvg5RVKNv5",
        "{PBKDF2}$1$salt$4000000000$9423891690b75c3f4277cef26efc69de49417ad1",
    ] {
        assert!(matches!(Hashed::parse(costly, false), Err(CryptError::Costly(_))), "{costly}");
    }
}
