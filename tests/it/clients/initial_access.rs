//! Initial access tokens (RFC 7591 §1.2).

use bearward::issuer::IssuerError;

use super::*;

impl House {
    async fn invited(
        &self,
        token: &Secret,
        body: &Value,
        now: UnixTime,
    ) -> Result<Registered, RegistrationError> {
        self.issuer.register(body.to_string().as_bytes(), Some(token), &caller("192.0.2.1"), now).await
    }

    async fn invitation(&self, uses: u32) -> Secret {
        self.issuer.issue_initial_access_token(Duration::from_secs(3600), uses, NOW).await.unwrap().token
    }
}

fn is_unauthorized(result: Result<Registered, RegistrationError>) -> bool {
    match result {
        Err(RegistrationError::Unauthorized(error)) => error.code == ErrorCode::InvalidToken,
        Err(_) | Ok(_) => false,
    }
}

#[tokio::test]
async fn a_token_lets_its_holder_register_as_often_as_it_says() {
    let house = house(Registration::Token).await;
    assert!(is_unauthorized(house.register(&native()).await));
    let token = house.invitation(3).await;
    let first = house.invited(&token, &webmail(), NOW).await.unwrap();
    assert_eq!(first.client.standing, Standing::Invited);
    let second = house.invited(&token, &native(), NOW).await.unwrap();
    assert_eq!(house.issuer.client(&second.client.id).await.unwrap().unwrap().standing, Standing::Invited);
    assert!(house.invited(&token, &webmail(), NOW).await.is_ok());
    for body in [webmail(), native()] {
        assert!(is_unauthorized(house.invited(&token, &body, NOW).await));
    }
    assert_eq!(house.store.clients().await.unwrap().len(), 2);
}

#[tokio::test]
async fn of_uses_at_the_same_time_no_more_succeed_than_there_are() {
    let house = Arc::new(house(Registration::Token).await);
    let token = house.invitation(2).await;
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let (house, token) = (Arc::clone(&house), token.clone());
            tokio::spawn(async move { house.invited(&token, &webmail(), NOW).await.is_ok() })
        })
        .collect();
    let mut made = 0;
    for task in tries {
        made += usize::from(task.await.unwrap());
    }
    assert_eq!((made, house.store.clients().await.unwrap().len()), (2, 2));
}

#[tokio::test]
async fn a_registration_that_is_refused_uses_nothing_up() {
    let house = house(Registration::Token).await;
    let token = house.invitation(1).await;
    for _ in 0..5 {
        let bad = with(native(), "redirect_uris", json!(["http://evil.example/"]));
        assert!(matches!(house.invited(&token, &bad, NOW).await, Err(RegistrationError::Refused(_))));
    }
    assert!(house.invited(&token, &native(), NOW).await.is_ok());
}

#[tokio::test]
async fn a_token_that_expired_was_revoked_or_is_another_lets_nobody_in() {
    for mode in [Registration::Token, Registration::Open] {
        let house = house(mode).await;
        let token = house.invitation(9).await;
        assert!(house.invited(&token, &native(), later(3599)).await.is_ok());
        assert!(is_unauthorized(house.invited(&token, &native(), later(3600)).await));
        assert!(house.issuer.revoke_initial_access_token(&token).await.unwrap());
        assert!(!house.issuer.revoke_initial_access_token(&token).await.unwrap());
        assert!(is_unauthorized(house.invited(&token, &native(), NOW).await));

        let own = house.issuer.issue_initial_access_token(Duration::from_secs(60), 9, NOW).await.unwrap();
        let client = house.invited(&own.token, &webmail(), NOW).await.unwrap();
        for wrong in
            [client.secret.unwrap(), client.management.unwrap(), Secret::copy_of(b""), Secret::copy_of(b"x")]
        {
            assert!(is_unauthorized(house.invited(&wrong, &native(), NOW).await));
        }
    }
}

#[tokio::test]
async fn invited_clients_are_not_held_up_by_the_flood_of_others() {
    let house = house(Registration::Open).await;
    let token = house.invitation(1).await;
    for _ in 0..40 {
        let _ = house.issuer.register(b"{}", None, &caller("192.0.2.1"), NOW).await;
    }
    assert!(house.invited(&token, &webmail(), NOW).await.is_ok());
    let invited = house.store.clients().await.unwrap();
    assert_eq!(house.issuer.remove_unused_clients(later(90 * 86_400)).await.unwrap(), 0);
    assert_eq!(house.store.clients().await.unwrap(), invited);
}

#[tokio::test]
async fn a_token_has_bounds() {
    let house = house(Registration::Token).await;
    let issue =
        async |lifetime, uses| house.issuer.issue_initial_access_token(lifetime, uses, NOW).await.err();
    let hour = Duration::from_secs(3600);
    assert_eq!(issue(Duration::ZERO, 1).await, Some(IssuerError::Lifetime));
    assert_eq!(issue(Issuer::MAX_LIFETIME + hour, 1).await, Some(IssuerError::Lifetime));
    assert_eq!(issue(hour, 0).await, Some(IssuerError::Uses));
    assert_eq!(issue(hour, Issuer::MAX_INITIAL_USES + 1).await, Some(IssuerError::Uses));
    assert_eq!(issue(hour, Issuer::MAX_INITIAL_USES).await, None);
}
