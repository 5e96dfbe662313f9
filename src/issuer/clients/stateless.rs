//! Identifiers that are the registration itself, for public clients.
//!
//! The text is a prefix and base64url of: version, flags, grants, name, scope, redirect URIs, and a MAC of all that.
//! The same registration gives the same identifier. The key of the MAC never rotates, because an identifier has no
//! end; denying one is a matter of the store. Nothing of an identifier is looked at before its MAC has been checked.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;

use super::{AccessTokenFormat, ClientMetadata, GrantType, Standing};
use crate::{
    model::{ClientId, Scope},
    token::{CryptoError, ServerKey},
};

/// No other identifier and no token begins so.
const PREFIX: &str = "bwn_";
const VERSION: u8 = 1;
const MAC: usize = 16;
const PURPOSE: &str = "stateless client identifier";

const INVITED: u8 = 1;
const JWT: u8 = 1 << 1;
const CERTIFICATE_BOUND: u8 = 1 << 2;
const MUST_PUSH: u8 = 1 << 3;
const NATIVE: u8 = 1 << 4;
const WEB: u8 = 1 << 5;
/// Where the number of the ID token's algorithm stands in the flags.
const ALGORITHM: u32 = 6;
const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

const GRANTS: [(u8, GrantType); 3] =
    [(1, GrantType::AuthorizationCode), (1 << 1, GrantType::RefreshToken), (1 << 2, GrantType::DeviceCode)];

/// Numbers of the scope values. They are in identifiers that live for ever: new ones go to the end.
const SCOPES: [&str; 9] =
    [Scope::MAIL, "imap", "smtp", "pop3", "sieve", "openid", "profile", "email", "offline_access"];
const NO_SCOPE: u8 = 0xFF;

/// Longest payload whose identifier has at most [`ClientId::MAX`] octets.
pub(super) const MAX: usize = (ClientId::MAX - PREFIX.len()) / 4 * 3 - MAC;

/// The identifier, and what it holds of the metadata; `None` when that is more than [`MAX`] octets.
pub(super) fn encode(
    key: &ServerKey,
    standing: Standing,
    metadata: &ClientMetadata,
) -> Result<Option<(ClientId, ClientMetadata)>, CryptoError> {
    let Some(mut octets) = pack(standing, metadata).filter(|octets| octets.len() <= MAX) else {
        return Ok(None);
    };
    let Some((_, kept)) = unpack(&octets) else { return Ok(None) };
    octets.extend_from_slice(&mac(key, &octets)?);
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(octets));
    Ok(text.parse().ok().map(|id| (id, kept)))
}

/// What an identifier holds; `None` when this server did not make it.
pub(super) fn decode(
    key: &ServerKey,
    id: &ClientId,
) -> Result<Option<(Standing, ClientMetadata)>, CryptoError> {
    let Some(body) = id.as_str().strip_prefix(PREFIX) else { return Ok(None) };
    let Ok(octets) = URL_SAFE_NO_PAD.decode(body) else { return Ok(None) };
    let Some((payload, claimed)) = octets.split_last_chunk::<MAC>() else { return Ok(None) };
    let is_ours = bool::from(mac(key, payload)?.ct_eq(claimed));
    Ok(if is_ours { unpack(payload) } else { None })
}

fn mac(key: &ServerKey, payload: &[u8]) -> Result<[u8; MAC], CryptoError> {
    let hash = key.hash(PURPOSE, &[payload])?;
    hash.as_bytes().first_chunk().copied().ok_or(CryptoError::Library)
}

fn pack(standing: Standing, metadata: &ClientMetadata) -> Option<Vec<u8>> {
    let mut flags = match standing {
        Standing::SelfRegistered => 0,
        Standing::Invited => INVITED,
        Standing::BuiltIn | Standing::Operator => return None,
    };
    flags |= match metadata.access_token_format {
        AccessTokenFormat::Opaque => 0,
        AccessTokenFormat::Jwt => JWT,
    };
    flags |= match metadata.application_type.as_deref() {
        Some("native") => NATIVE,
        Some("web") => WEB,
        _ => 0,
    };
    if metadata.tls_client_certificate_bound_access_tokens {
        flags |= CERTIFICATE_BOUND;
    }
    if metadata.require_pushed_authorization_requests {
        flags |= MUST_PUSH;
    }
    if let Some(algorithm) = &metadata.id_token_signed_response_alg {
        let number = ALGORITHMS.iter().position(|own| own == algorithm)?;
        flags |= u8::try_from(number + 1).ok()? << ALGORITHM;
    }
    let grants = GRANTS.iter().filter(|(_, grant)| metadata.grant_types.contains(grant));
    let mut octets = vec![VERSION, flags, grants.fold(0, |bits, (bit, _)| bits | bit)];
    put_text(&mut octets, metadata.client_name.as_deref().unwrap_or_default())?;
    put_scope(&mut octets, metadata.scope.as_ref())?;
    put_list(&mut octets, &metadata.redirect_uris)?;
    put_list(&mut octets, &metadata.post_logout_redirect_uris)?;
    Some(octets)
}

fn unpack(octets: &[u8]) -> Option<(Standing, ClientMetadata)> {
    let mut rest = octets;
    let [version, flags, grants] = take::<3>(&mut rest)?;
    if version != VERSION {
        return None;
    }
    let has = |flag: u8| flags & flag != 0;
    let name = take_text(&mut rest)?;
    let scope = take_scope(&mut rest)?;
    let redirect_uris = take_list(&mut rest)?;
    let post_logout_redirect_uris = take_list(&mut rest)?;
    let grant_types: Vec<_> =
        GRANTS.iter().filter(|(bit, _)| grants & bit != 0).map(|(_, grant)| *grant).collect();
    let algorithm = usize::from(flags >> ALGORITHM);
    let uses_code = grant_types.contains(&GrantType::AuthorizationCode);
    let metadata = ClientMetadata {
        redirect_uris,
        response_types: if uses_code { vec!["code".to_owned()] } else { Vec::new() },
        grant_types,
        client_name: Some(name).filter(|name| !name.is_empty()),
        scope,
        application_type: match (has(NATIVE), has(WEB)) {
            (true, _) => Some("native".to_owned()),
            (false, true) => Some("web".to_owned()),
            (false, false) => None,
        },
        id_token_signed_response_alg: algorithm
            .checked_sub(1)
            .and_then(|at| ALGORITHMS.get(at))
            .map(|name| (*name).to_owned()),
        access_token_format: if has(JWT) { AccessTokenFormat::Jwt } else { AccessTokenFormat::Opaque },
        tls_client_certificate_bound_access_tokens: has(CERTIFICATE_BOUND),
        require_pushed_authorization_requests: has(MUST_PUSH),
        post_logout_redirect_uris,
        ..ClientMetadata::default()
    };
    let standing = if has(INVITED) { Standing::Invited } else { Standing::SelfRegistered };
    rest.is_empty().then_some((standing, metadata))
}

fn put_text(octets: &mut Vec<u8>, text: &str) -> Option<()> {
    octets.extend_from_slice(&u16::try_from(text.len()).ok()?.to_be_bytes());
    octets.extend_from_slice(text.as_bytes());
    Some(())
}

fn put_list(octets: &mut Vec<u8>, list: &[String]) -> Option<()> {
    octets.push(u8::try_from(list.len()).ok()?);
    list.iter().try_for_each(|text| put_text(octets, text))
}

fn put_scope(octets: &mut Vec<u8>, scope: Option<&Scope>) -> Option<()> {
    let Some(scope) = scope else {
        octets.push(NO_SCOPE);
        return Some(());
    };
    octets.push(u8::try_from(scope.iter().count()).ok()?);
    for value in scope.iter() {
        octets.push(u8::try_from(SCOPES.iter().position(|own| *own == value)?).ok()?);
    }
    Some(())
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*taken)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes(take(rest)?));
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    std::str::from_utf8(text).ok().map(str::to_owned)
}

fn take_list(rest: &mut &[u8]) -> Option<Vec<String>> {
    let [count] = take(rest)?;
    (0..count).map(|_| take_text(rest)).collect()
}

fn take_scope(rest: &mut &[u8]) -> Option<Option<Scope>> {
    let [count] = take(rest)?;
    if count == NO_SCOPE {
        return Some(None);
    }
    let value = |rest: &mut &[u8]| {
        let [number] = take(rest)?;
        SCOPES.get(usize::from(number)).copied()
    };
    let values: Vec<_> = (0..count).map(|_| value(rest)).collect::<Option<_>>()?;
    Some(Some(values.join(" ").parse().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Secret;

    fn key(octet: u8) -> ServerKey {
        ServerKey::from_secret(Secret::new(vec![octet; ServerKey::LEN])).unwrap()
    }

    fn native() -> ClientMetadata {
        ClientMetadata {
            redirect_uris: vec!["http://127.0.0.1/".to_owned(), "com.example.app:/cb".to_owned()],
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            response_types: vec!["code".to_owned()],
            client_name: Some("Mail für alle".to_owned()),
            scope: Some("openid imap urn:ietf:params:oauth:scope:mail".parse().unwrap()),
            application_type: Some("native".to_owned()),
            id_token_signed_response_alg: Some("EdDSA".to_owned()),
            access_token_format: AccessTokenFormat::Jwt,
            ..ClientMetadata::default()
        }
    }

    fn encoded(metadata: &ClientMetadata) -> ClientId {
        encode(&key(1), Standing::SelfRegistered, metadata).unwrap().unwrap().0
    }

    #[test]
    fn an_identifier_reads_back_as_what_was_registered_and_is_the_same_each_time() {
        for standing in [Standing::SelfRegistered, Standing::Invited] {
            let (id, kept) = encode(&key(1), standing, &native()).unwrap().unwrap();
            assert_eq!(kept, native());
            assert_eq!(decode(&key(1), &id).unwrap(), Some((standing, native())));
            assert_eq!(encode(&key(1), standing, &native()).unwrap().unwrap().0, id);
        }
    }

    #[test]
    fn no_identifier_passes_with_any_bit_changed() {
        let id = encoded(&native());
        for place in 0..id.as_str().len() {
            for bit in 0..8 {
                let mut octets = id.as_str().as_bytes().to_vec();
                octets[place] ^= 1 << bit;
                let Some(changed) = String::from_utf8(octets).ok().and_then(|text| text.parse().ok()) else {
                    continue;
                };
                assert_eq!(decode(&key(1), &changed).unwrap(), None, "bit {bit} of octet {place}");
            }
        }
        let payload = URL_SAFE_NO_PAD.decode(&id.as_str()[PREFIX.len()..]).unwrap();
        for bit in 0..payload.len() * 8 {
            let mut octets = payload.clone();
            octets[bit / 8] ^= 1 << (bit % 8);
            let changed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(octets)).parse().unwrap();
            assert_eq!(decode(&key(1), &changed).unwrap(), None, "bit {bit}");
        }
    }

    #[test]
    fn no_cut_lengthened_or_foreign_identifier_passes() {
        let id = encoded(&native());
        for length in 1..id.as_str().len() {
            assert_eq!(decode(&key(1), &id.as_str()[..length].parse().unwrap()).unwrap(), None);
        }
        for tail in ["A", "=", "AAAA"] {
            assert_eq!(decode(&key(1), &format!("{id}{tail}").parse().unwrap()).unwrap(), None);
        }
        assert_eq!(decode(&key(2), &id).unwrap(), None);
    }

    #[test]
    fn the_largest_identifier_has_512_octets_and_a_larger_registration_has_none() {
        let sized = |length: usize| ClientMetadata {
            redirect_uris: vec!["u".repeat(length)],
            ..ClientMetadata::default()
        };
        let fixed = pack(Standing::SelfRegistered, &sized(0)).unwrap().len();
        let id = encoded(&sized(MAX - fixed));
        assert_eq!(id.as_str().len(), ClientId::MAX);
        assert!(encode(&key(1), Standing::SelfRegistered, &sized(MAX - fixed + 1)).unwrap().is_none());
        assert!(encode(&key(1), Standing::SelfRegistered, &sized(70_000)).unwrap().is_none());
    }

    #[test]
    fn every_scope_value_that_is_known_has_a_number() {
        assert!(Scope::KNOWN.iter().all(|value| SCOPES.contains(value)));
    }

    #[test]
    fn nobody_but_the_operator_makes_an_operators_client() {
        for standing in [Standing::Operator, Standing::BuiltIn] {
            assert!(encode(&key(1), standing, &native()).unwrap().is_none());
        }
    }

    proptest! {
        #[test]
        fn whatever_octets_are_read_nothing_breaks(octets in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = unpack(&octets);
        }

        #[test]
        fn whatever_text_is_asked_for_is_no_client(text in "[!-~]{1,512}") {
            let id: ClientId = text.parse().unwrap();
            prop_assert_eq!(decode(&key(1), &id).unwrap(), None);
            let id: ClientId = format!("{PREFIX}{text}").chars().take(512).collect::<String>().parse().unwrap();
            prop_assert_eq!(decode(&key(1), &id).unwrap(), None);
        }

        #[test]
        fn whatever_is_packed_is_unpacked_alike(
            name in prop::option::of("\\PC{1,64}"),
            uris in prop::collection::vec("[a-z:/.]{1,60}", 0..5),
            scopes in prop::option::of(prop::sample::subsequence(SCOPES.to_vec(), 1..9)),
            grants in prop::sample::subsequence(GRANTS.map(|(_, grant)| grant).to_vec(), 0..=3),
        ) {
            let uses_code = grants.contains(&GrantType::AuthorizationCode);
            let metadata = ClientMetadata {
                redirect_uris: uris,
                client_name: name,
                scope: scopes.map(|values| values.join(" ").parse().unwrap()),
                response_types: if uses_code { vec!["code".to_owned()] } else { Vec::new() },
                grant_types: grants,
                ..ClientMetadata::default()
            };
            let packed = pack(Standing::Invited, &metadata).unwrap();
            prop_assert_eq!(unpack(&packed), Some((Standing::Invited, metadata)));
        }
    }
}
