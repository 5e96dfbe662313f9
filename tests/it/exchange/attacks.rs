//! Codes and refresh tokens in the wrong hands, and many hands at once.

use bearward::store::RevocationReason;
use tokio::task::JoinSet;

use super::*;

async fn end_of(house: &House, grant: GrantId) -> Option<RevocationReason> {
    house.store.grant(grant).await.unwrap().unwrap().revoked.map(|end| end.reason)
}

#[tokio::test]
async fn a_code_used_twice_ends_all_that_it_gave() {
    let house = House::new().await;
    let (code, grant) = house.code_for(Setup::default()).await;
    let first = house.redeem(&code).await.unwrap();
    let second = house.refresh(later(1), member(&first, "refresh_token")).await.unwrap();
    assert_eq!(code_of(house.token_at(later(2), &redemption(&code)).await), ErrorCode::InvalidGrant);
    assert_eq!(end_of(&house, grant).await, Some(RevocationReason::CodeReplayed));
    for answer in [&first, &second] {
        assert!(!house.opens(member(answer, "access_token"), later(2)).await);
        let refreshed = house.refresh(later(2), member(answer, "refresh_token")).await;
        assert_eq!(code_of(refreshed), ErrorCode::InvalidGrant);
    }
}

#[tokio::test]
async fn a_code_used_twice_after_its_end_still_ends_all_that_it_gave() {
    let house = House::new().await;
    let (code, grant) = house.code_for(Setup::default()).await;
    house.redeem(&code).await.unwrap();
    assert_eq!(code_of(house.token_at(later(600), &redemption(&code)).await), ErrorCode::InvalidGrant);
    assert_eq!(end_of(&house, grant).await, Some(RevocationReason::CodeReplayed));
}

#[tokio::test]
async fn whoever_has_a_used_code_and_nothing_else_cannot_end_its_grant() {
    let house = House::new().await;
    let added = house.add_client(confidential()).await;
    let (id, secret) = (added.client.id.to_string(), text(added.secret.as_ref().unwrap()));
    let (code, grant) = house.code_for(Setup::default()).await;
    house.redeem(&code).await.unwrap();
    let good = redemption(&code);
    let guess = "a".repeat(43);
    for pairs in [
        by(&good, &id, &secret),
        changed(&good, "code_verifier", &guess),
        changed(&good, "redirect_uri", "http://127.0.0.1/"),
    ] {
        assert_eq!(code_of(house.token(&pairs).await), ErrorCode::InvalidGrant);
    }
    assert_eq!(end_of(&house, grant).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_uses_of_one_code_at_once_one_wins_whatever_process_they_come_to() {
    let house = House::new().await;
    let another = Arc::new(house.another_node().await);
    let (code, grant) = house.code_for(Setup::default()).await;
    let mut uses = JoinSet::new();
    for n in 0..50 {
        let issuer = if n % 2 == 0 { house.issuer.clone() } else { another.clone() };
        let code = code.clone();
        uses.spawn(async move { raw(&issuer, NOW, &redemption(&code)).await });
    }
    let (won, lost): (Vec<_>, Vec<_>) = uses.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.into_iter().all(|lost| code_of(lost) == ErrorCode::InvalidGrant));
    assert_eq!(end_of(&house, grant).await, Some(RevocationReason::CodeReplayed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_uses_of_one_refresh_token_at_once_one_rotates_and_all_get_its_answer() {
    let house = House::new().await;
    let another = Arc::new(house.another_node().await);
    let (code, grant) = house.code_for(Setup::default()).await;
    let token = member(&house.redeem(&code).await.unwrap(), "refresh_token").to_owned();
    let mut uses = JoinSet::new();
    for n in 0..50 {
        let issuer = if n % 2 == 0 { house.issuer.clone() } else { another.clone() };
        let token = token.clone();
        uses.spawn(async move { raw(&issuer, later(1), &refreshing(&token)).await.unwrap() });
    }
    let answers = uses.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(end_of(&house, grant).await, None);
    let answer: Value = serde_json::from_slice(answers[0].expose()).unwrap();
    assert!(house.opens(member(&answer, "access_token"), later(1)).await);
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_the_grant_for_thief_and_person() {
    let house = House::new().await;
    let (code, grant) = house.code_for(Setup::default()).await;
    let stolen = member(&house.redeem(&code).await.unwrap(), "refresh_token").to_owned();
    // Whichever of the two was first: the other one comes with a token that was replaced.
    let first = house.refresh(later(100), &stolen).await.unwrap();
    let next = house.refresh(later(200), member(&first, "refresh_token")).await.unwrap();
    assert_eq!(code_of(house.refresh(later(300), &stolen).await), ErrorCode::InvalidGrant);
    assert_eq!(end_of(&house, grant).await, Some(RevocationReason::RefreshReused));
    assert!(!house.opens(member(&next, "access_token"), later(300)).await);
    let dead = house.refresh(later(300), member(&next, "refresh_token")).await;
    assert_eq!(code_of(dead), ErrorCode::InvalidGrant);
    assert!(!house.store.holds_credentials(grant).await.unwrap());
}

#[tokio::test]
async fn another_client_with_a_refresh_token_can_neither_use_it_nor_end_its_grant() {
    let house = House::new().await;
    let added = house.add_client(confidential()).await;
    let (id, secret) = (added.client.id.to_string(), text(added.secret.as_ref().unwrap()));
    let (code, grant) = house.code_for(Setup::default()).await;
    let old = member(&house.redeem(&code).await.unwrap(), "refresh_token").to_owned();
    let theft = by(&refreshing(&old), &id, &secret);
    assert_eq!(code_of(house.token(&theft).await), ErrorCode::InvalidGrant);
    let new = house.refresh(later(1), &old).await.unwrap();
    assert_eq!(code_of(house.token_at(later(100), &theft).await), ErrorCode::InvalidGrant);
    assert_eq!(end_of(&house, grant).await, None);
    house.refresh(later(100), member(&new, "refresh_token")).await.unwrap();
}

#[tokio::test]
async fn the_store_holds_no_answer_and_no_token_in_clear() {
    let house = House::new().await;
    let answer = house.redeem(&house.code(Scope::MAIL).await).await.unwrap();
    let next = house.refresh(later(1), member(&answer, "refresh_token")).await.unwrap();
    let mut octets = Vec::new();
    for entry in std::fs::read_dir(house.folder.path()).unwrap() {
        octets.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |needle: &[u8]| octets.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"alice@example.org"), "the right files were read");
    for answer in [&answer, &next] {
        for name in ["access_token", "refresh_token"] {
            let token = member(answer, name);
            assert!(!holds(token.as_bytes()), "{name}");
            assert!(!holds(&token.as_bytes()[4..20]), "{name}");
            let raw = URL_SAFE_NO_PAD.decode(&token[4..]).unwrap();
            assert!(!holds(&raw[..32]), "{name}");
        }
    }
    for needle in [b"expires_in".as_slice(), b"token_type", PASSWORD] {
        assert!(!holds(needle));
    }
}
