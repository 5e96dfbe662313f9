use proptest::prelude::*;

use super::*;
use crate::token::{OpaqueToken, ServerKey};

fn login(name: &str) -> Login {
    Login::parse(name).unwrap()
}

fn context(grant: GrantId, user: &Login) -> SealContext<'_> {
    SealContext { grant, user, backend: "main", kind: CredentialKind::Password }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// RFC 9180 appendix A.2.1: base mode of the suite used here.
#[test]
fn the_suite_opens_what_rfc_9180_seals() {
    let private =
        HpkePrivateKey::from(hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"));
    let encapsulated =
        EncapsulatedSecret(hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"));
    let ciphertext =
        hex("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28");
    let plain = SUITE
        .open(
            &encapsulated,
            &hex("4f6465206f6e2061204772656369616e2055726e"),
            &hex("436f756e742d30"),
            &ciphertext,
            &private,
        )
        .unwrap();
    assert_eq!(plain, b"Beauty is truth, truth beauty");
}

#[test]
fn opens_only_for_the_same_grant_user_backend_and_key() {
    let key = GrantKey::generate().unwrap();
    let (grant, alice, bob) = (GrantId::generate(), login("alice@example.org"), login("bob@example.org"));
    let here = context(grant, &alice);
    let sealed = key.public().seal(&Secret::copy_of(b"hunter2"), &here).unwrap();
    assert_eq!(key.open(&sealed, &here).unwrap(), Secret::copy_of(b"hunter2"));
    let elsewhere = [
        context(GrantId::generate(), &alice),
        context(grant, &bob),
        SealContext { backend: "other", ..here },
    ];
    for place in elsewhere {
        assert_eq!(key.open(&sealed, &place).unwrap_err(), CryptoError::NotAuthentic, "{place:?}");
    }
    assert_eq!(GrantKey::generate().unwrap().open(&sealed, &here).unwrap_err(), CryptoError::NotAuthentic);
}

#[test]
fn no_flipped_bit_and_no_cut_opens() {
    let key = GrantKey::generate().unwrap();
    let alice = login("alice@example.org");
    let here = context(GrantId::generate(), &alice);
    let sealed = key.public().seal(&Secret::copy_of(b"hunter2"), &here).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // X25519 ignores the highest bit of a public key (RFC 7748 §5), but HPKE hashes the encapsulated
        // key as sent (RFC 9180 §4.1), so even that bit counts.
        assert_eq!(key.open(&changed, &here).unwrap_err(), CryptoError::NotAuthentic, "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert_eq!(key.open(&sealed[..length], &here).unwrap_err(), CryptoError::NotAuthentic);
    }
}

#[test]
fn the_length_of_a_password_does_not_show() {
    let key = GrantKey::generate().unwrap();
    let alice = login("alice@example.org");
    let here = context(GrantId::generate(), &alice);
    for length in [0, 1, 254, 255] {
        let password = Secret::new(vec![b'p'; length]);
        let sealed = key.public().seal(&password, &here).unwrap();
        assert_eq!(sealed.len(), 1 + 32 + 256 + 16);
        assert_eq!(key.open(&sealed, &here).unwrap(), password);
    }
    let too_long = Secret::new(vec![b'p'; 256]);
    assert_eq!(key.public().seal(&too_long, &here).unwrap_err(), CryptoError::PasswordTooLong);
}

#[test]
fn the_same_password_never_looks_the_same() {
    let key = GrantKey::generate().unwrap();
    let alice = login("alice@example.org");
    let here = context(GrantId::generate(), &alice);
    let seal = || key.public().seal(&Secret::copy_of(b"hunter2"), &here).unwrap();
    assert_ne!(seal()[33..], seal()[33..]);
}

#[test]
fn a_public_key_of_small_order_is_refused() {
    let alice = login("alice@example.org");
    let here = context(GrantId::generate(), &alice);
    let zero = GrantPublicKey::new([0; 32]);
    assert_eq!(zero.seal(&Secret::copy_of(b"hunter2"), &here).unwrap_err(), CryptoError::BadKey);
}

#[test]
fn a_wrapped_key_opens_for_its_token_grant_kind_and_server_only() {
    let key = GrantKey::generate().unwrap();
    let grant = GrantId::generate();
    let server = ServerKey::generate().unwrap();
    let token = OpaqueToken::generate(TokenKind::Access).unwrap();
    let wrap = token.wrap_key(&server).unwrap();
    let wrapped = key.wrap(&wrap, grant, TokenKind::Access).unwrap();

    let again = GrantKey::unwrap(&wrapped, &wrap, grant, TokenKind::Access, key.public()).unwrap();
    assert_eq!(again.private.secret_bytes(), key.private.secret_bytes());

    let other_token = OpaqueToken::generate(TokenKind::Access).unwrap().wrap_key(&server).unwrap();
    let other_server = token.wrap_key(&ServerKey::generate().unwrap()).unwrap();
    let other_public = GrantKey::generate().unwrap().public();
    let attempts = [
        GrantKey::unwrap(&wrapped, &other_token, grant, TokenKind::Access, key.public()),
        GrantKey::unwrap(&wrapped, &other_server, grant, TokenKind::Access, key.public()),
        GrantKey::unwrap(&wrapped, &wrap, GrantId::generate(), TokenKind::Access, key.public()),
        GrantKey::unwrap(&wrapped, &wrap, grant, TokenKind::Refresh, key.public()),
        GrantKey::unwrap(&wrapped, &wrap, grant, TokenKind::Access, other_public),
    ];
    for attempt in attempts {
        assert_eq!(attempt.unwrap_err(), CryptoError::NotAuthentic);
    }
}

#[test]
fn a_device_code_opens_what_was_sealed_to_its_public_half() {
    let server = ServerKey::generate().unwrap();
    let device = OpaqueToken::generate(TokenKind::Device).unwrap();
    let alice = login("alice@example.org");
    let here = context(GrantId::generate(), &alice);
    let public = GrantKey::of_device_code(&device, &server).unwrap().public();
    let sealed = public.seal(&Secret::copy_of(b"hunter2"), &here).unwrap();

    let again = GrantKey::of_device_code(&device, &server).unwrap();
    assert_eq!(again.public(), public);
    assert_eq!(again.open(&sealed, &here).unwrap(), Secret::copy_of(b"hunter2"));

    let token = OpaqueToken::generate(TokenKind::Access).unwrap();
    let wrap = token.wrap_key(&server).unwrap();
    let wrapped = again.wrap(&wrap, here.grant, TokenKind::Access).unwrap();
    let unwrapped = GrantKey::unwrap(&wrapped, &wrap, here.grant, TokenKind::Access, public).unwrap();
    assert_eq!(unwrapped.open(&sealed, &here).unwrap(), Secret::copy_of(b"hunter2"));
}

#[test]
fn another_device_code_or_server_key_opens_nothing() {
    let server = ServerKey::generate().unwrap();
    let device = OpaqueToken::generate(TokenKind::Device).unwrap();
    let other = OpaqueToken::generate(TokenKind::Device).unwrap();
    let alice = login("alice@example.org");
    let here = context(GrantId::generate(), &alice);
    let key = GrantKey::of_device_code(&device, &server).unwrap();
    let sealed = key.public().seal(&Secret::copy_of(b"hunter2"), &here).unwrap();
    for wrong in [
        GrantKey::of_device_code(&other, &server).unwrap(),
        GrantKey::of_device_code(&device, &ServerKey::generate().unwrap()).unwrap(),
    ] {
        assert_eq!(wrong.open(&sealed, &here).unwrap_err(), CryptoError::NotAuthentic);
    }
    let others = TokenKind::ALL.into_iter().filter(|kind| *kind != TokenKind::Device);
    for token in others.filter_map(|kind| OpaqueToken::generate(kind).ok()) {
        assert_eq!(GrantKey::of_device_code(&token, &server).unwrap_err(), CryptoError::BadKey);
    }
}

proptest! {
    #[test]
    fn every_password_comes_back(password in proptest::collection::vec(any::<u8>(), 0..=255)) {
        let key = GrantKey::generate().unwrap();
        let alice = login("alice@example.org");
        let here = context(GrantId::generate(), &alice);
        let password = Secret::new(password);
        let sealed = key.public().seal(&password, &here).unwrap();
        prop_assert_eq!(key.open(&sealed, &here).unwrap(), password);
    }

    #[test]
    fn no_octets_make_the_opening_panic(sealed in proptest::collection::vec(any::<u8>(), 0..400)) {
        let key = GrantKey::generate().unwrap();
        let alice = login("alice@example.org");
        let here = context(GrantId::generate(), &alice);
        prop_assert!(key.open(&sealed, &here).is_err());
    }
}
