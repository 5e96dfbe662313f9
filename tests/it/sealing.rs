//! The attacks that the sealing must withstand: a thief of the store, of its backup, of the server key, of a token.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD, engine::general_purpose::URL_SAFE_NO_PAD};
use bearward::{
    issuer::Issuer,
    model::{GrantId, Login, Scope, Secret, TokenHash, TokenKind},
    store::{RevocationReason, TokenRecord},
    token::{Algorithm, GrantKey, GrantPublicKey, OpaqueToken, SealContext, ServerKey, SigningKey},
};

use crate::{
    store::{NOW, sqlite},
    validator::{PASSWORD, issuer_config, mint_request},
};

/// The forms under which octets could lie in a file.
fn forms(octets: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let mut forms = vec![octets.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    // Base64 of the same octets looks different at each of three offsets.
    for skip in 0..3_usize {
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let encoded = engine.encode([vec![0; skip], octets.to_vec()].concat());
            let inner = &encoded.as_bytes()[(skip * 8).div_ceil(6)..encoded.len() - 2];
            forms.push(inner.to_vec());
        }
    }
    forms
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn assert_nowhere(folder: &Path, what: &str, octets: &[u8]) {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let content = fs::read(entry.path()).unwrap();
        files += 1;
        for form in forms(octets) {
            assert!(!holds(&content, &form), "{what} lies in {:?}", entry.path());
        }
    }
    assert!(files > 0);
}

#[test]
fn the_search_finds_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    for hidden in [PASSWORD.to_vec(), URL_SAFE_NO_PAD.encode([b"x", PASSWORD].concat()).into_bytes()] {
        fs::write(&file, [b"before".to_vec(), hidden, b"behind".to_vec()].concat()).unwrap();
        let content = fs::read(&file).unwrap();
        assert!(forms(PASSWORD).iter().any(|form| holds(&content, form)));
    }
}

#[tokio::test]
async fn neither_password_nor_token_nor_key_lies_in_store_log_or_backup() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let octets = Secret::copy_of(b"a server key that is easily seen");
    let key = ServerKey::from_secret(octets.clone()).unwrap();
    let issuer = Issuer::new(issuer_config(), store.clone(), key, NOW).await.unwrap();
    let minted = issuer.mint(mint_request(Scope::MAIL), NOW).await.unwrap();
    let copies = tempfile::tempdir().unwrap();
    store.backup(&copies.path().join("backup.db")).await.unwrap();

    let text = minted.access_token.expose();
    let body = URL_SAFE_NO_PAD.decode(&text[4..]).unwrap();
    for folder in [folder.path(), copies.path()] {
        // The user's name is there, so the search looks at the right files.
        assert!(
            fs::read_dir(folder)
                .unwrap()
                .map(Result::unwrap)
                .any(|entry| { holds(&fs::read(entry.path()).unwrap(), b"alice@example.org") })
        );
        assert_nowhere(folder, "the password", PASSWORD);
        assert_nowhere(folder, "the token", text);
        assert_nowhere(folder, "the token's body", &text[4..]);
        assert_nowhere(folder, "the token's secret", &body[..32]);
        assert_nowhere(folder, "the server key", octets.expose());
    }
    assert!(fs::exists(folder.path().join("bearward.db-wal")).unwrap());
}

#[tokio::test]
async fn a_revoked_grant_leaves_nothing_that_opens_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let key = ServerKey::generate().unwrap();
    let issuer = Issuer::new(issuer_config(), store.clone(), key, NOW).await.unwrap();
    let minted = issuer.mint(mint_request(Scope::MAIL), NOW).await.unwrap();
    let record = record_of(&*store, &minted.access_token).await;
    issuer.revoke_grant(minted.grant, RevocationReason::Operator, NOW).await.unwrap();
    let copies = tempfile::tempdir().unwrap();
    store.backup(&copies.path().join("backup.db")).await.unwrap();
    // Closing writes the log back.
    drop((issuer, store));
    let file = folder.path().join("bearward.db");
    while fs::exists(folder.path().join("bearward.db-wal")).unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    for file in [file, copies.path().join("backup.db")] {
        let content = fs::read(file).unwrap();
        assert!(!holds(&content, &record.credentials[0].sealed[..64]));
        assert!(!holds(&content, &record.wrapped_key.as_ref().unwrap()[..32]));
    }
}

async fn record_of(store: &dyn bearward::store::Store, token: &Secret) -> TokenRecord {
    let lookup = OpaqueToken::parse(token.expose()).unwrap().lookup().unwrap();
    store.token(&lookup).await.unwrap().unwrap()
}

/// Tries to open the password of a row, as the validator would.
fn open(record: &TokenRecord, token: &OpaqueToken, server: &ServerKey) -> Option<Secret> {
    let wrap = token.wrap_key(server).unwrap();
    let public = GrantPublicKey::new(record.grant.public_key);
    let key =
        GrantKey::unwrap(record.wrapped_key.as_ref()?, &wrap, record.grant.id, record.kind, public).ok()?;
    let credential = &record.credentials[0];
    let context = SealContext {
        grant: record.grant.id,
        user: &record.grant.user,
        backend: &credential.backend,
        kind: credential.kind,
    };
    key.open(&credential.sealed, &context).ok()
}

#[tokio::test]
async fn store_token_and_server_key_open_together_and_no_two_of_them_do() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let server = ServerKey::generate().unwrap();
    let issuer = Issuer::new(issuer_config(), store.clone(), server.clone(), NOW).await.unwrap();
    let minted = issuer.mint(mint_request(Scope::MAIL), NOW).await.unwrap();
    let record = record_of(&*store, &minted.access_token).await;
    let token = OpaqueToken::parse(minted.access_token.expose()).unwrap();
    assert_eq!(open(&record, &token, &server).unwrap().expose(), PASSWORD);

    // Store and token, without the server key.
    for guess in [ServerKey::generate().unwrap(), ServerKey::from_secret(Secret::new(vec![0; 32])).unwrap()] {
        assert_eq!(open(&record, &token, &guess), None);
    }
    // Store and server key, without a token: whatever 32 octets the row holds are tried as the token's secret.
    let row: Vec<&[u8]> =
        vec![&record.grant.public_key, record.wrapped_key.as_deref().unwrap(), &record.credentials[0].sealed];
    let lookup: TokenHash = token.lookup().unwrap();
    for octets in row.into_iter().chain([lookup.as_bytes().as_slice()]) {
        for window in octets.windows(32) {
            if let Some(posed) = posing_as_token(window) {
                assert_eq!(open(&record, &posed, &server), None);
            }
            assert!(open_with_raw_key(&record, window).is_none());
        }
    }
    // Another person's token and the server key.
    let other = issuer.mint(mint_request(Scope::MAIL), NOW).await.unwrap();
    let other = OpaqueToken::parse(other.access_token.expose()).unwrap();
    assert_eq!(open(&record, &other, &server), None);
}

/// A token whose secret is `octets`, with the checksum that the format asks for.
fn posing_as_token(octets: &[u8]) -> Option<OpaqueToken> {
    use aws_lc_rs::digest::{SHA256, digest};
    let checksum = digest(&SHA256, &[b"bearward token checksum v1 access", octets].concat());
    let body = URL_SAFE_NO_PAD.encode([octets, &checksum.as_ref()[..4]].concat());
    OpaqueToken::parse(format!("bwa_{body}").as_bytes()).ok()
}

/// Takes `octets` for the grant's private key itself.
fn open_with_raw_key(record: &TokenRecord, octets: &[u8]) -> Option<Vec<u8>> {
    use rustls::crypto::{
        aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as SUITE,
        hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey},
    };
    let sealed = &record.credentials[0].sealed;
    let encapsulated = EncapsulatedSecret(sealed[1..33].to_vec());
    let key = HpkePrivateKey::from(octets.to_vec());
    SUITE.open(&encapsulated, b"bearward sealed credential v1", &context_of(record), &sealed[33..], &key).ok()
}

fn context_of(record: &TokenRecord) -> Vec<u8> {
    let credential = &record.credentials[0];
    let fields: [&[u8]; 4] = [
        record.grant.id.as_bytes(),
        record.grant.user.as_str().as_bytes(),
        credential.backend.as_bytes(),
        credential.kind.as_str().as_bytes(),
    ];
    fields.iter().flat_map(|field| [&(field.len() as u64).to_be_bytes(), *field].concat()).collect()
}

#[tokio::test]
async fn the_format_of_the_attacks_above_is_the_real_one() {
    let octets = [7; 32];
    let token = posing_as_token(&octets).expect("a well-formed token");
    assert_eq!(token.kind(), TokenKind::Access);

    // A row whose private key is known opens with it, so the attack fails for want of the key alone.
    let server = ServerKey::generate().unwrap();
    let (grant, user) = (GrantId::generate(), Login::parse("alice@example.org").unwrap());
    let key = GrantKey::generate().unwrap();
    let kind = bearward::model::CredentialKind::Password;
    let context = SealContext { grant, user: &user, backend: "main", kind };
    let sealed = key.public().seal(&Secret::copy_of(PASSWORD), &context).unwrap();
    let wrapped = key.wrap(&token.wrap_key(&server).unwrap(), grant, TokenKind::Access).unwrap();
    let again =
        GrantKey::unwrap(&wrapped, &token.wrap_key(&server).unwrap(), grant, TokenKind::Access, key.public());
    assert_eq!(again.unwrap().open(&sealed, &context).unwrap().expose(), PASSWORD);
    assert!(SigningKey::generate(Algorithm::Es256).unwrap().seal(&server).is_ok());
}
