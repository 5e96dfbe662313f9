use std::{net::IpAddr, sync::Arc};

use bearward::{
    model::{GrantId, Login, Protocol, TokenHash},
    store::{
        ACCOUNT_SESSIONS, AccountSession, BROWSER_RETENTION, Ended, GrantUse, HISTORY_RETENTION,
        HISTORY_ROWS, News, Place, RevocationReason, SignInBy, SignInNote, SignInRecord, SignInResult, Store,
        StoreError, UserRecord,
    },
};

use super::{NOW, alice, later, new_grant, new_hash};

fn bob() -> Login {
    Login::parse("bob@example.org").unwrap()
}

fn address() -> IpAddr {
    "2001:db8::7".parse().unwrap()
}

fn by() -> SignInBy {
    SignInBy { address: address(), client: None, program: None, browser: None, grant: None }
}

fn ok(user: Login, at: i64, place: Place, by: SignInBy) -> SignInNote {
    SignInNote { user, at: later(at), place, result: SignInResult::Ok(by) }
}

fn mail(at: i64, program: &str) -> SignInNote {
    let program = Some(program.to_owned());
    ok(alice(), at, Place::Mail(Protocol::Imap), SignInBy { program, client: Some("open".into()), ..by() })
}

fn page(at: i64, browser: TokenHash) -> SignInNote {
    ok(alice(), at, Place::Page, SignInBy { browser: Some(browser), ..by() })
}

fn failed(user: Login, at: i64) -> SignInNote {
    SignInNote { user, at: later(at), place: Place::Page, result: SignInResult::Failed }
}

async fn told(store: &Arc<dyn Store>) -> Vec<SignInRecord> {
    store.sign_ins(&alice()).await.unwrap()
}

pub(super) async fn a_sign_in_comes_back_and_what_is_alike_is_counted(store: Arc<dyn Store>) {
    assert_eq!(told(&store).await, []);
    store.note_sign_ins(vec![mail(0, "Mail 16"), mail(9, "Mail 16"), mail(5, "Mail 16")]).await.unwrap();
    store.note_sign_ins(vec![mail(7, " Ä\r\n\0\u{1f4bb} ")]).await.unwrap();
    let record = |at: i64, program: &str, count| SignInRecord {
        at: later(at),
        place: Place::Mail(Protocol::Imap),
        address: Some(address()),
        client: Some("open".to_owned()),
        program: Some(program.to_owned()),
        failed: false,
        browser: None,
        count,
        news: News::None,
    };
    assert_eq!(told(&store).await, [record(9, "Mail 16", 3), record(7, "Ä\u{1f4bb}", 1)]);
    const DAY: i64 = 24 * 60 * 60;
    store.note_sign_ins(vec![mail(DAY, "Mail 16")]).await.unwrap();
    assert_eq!(told(&store).await[0], record(DAY, "Mail 16", 1), "another day is another row");
    assert_eq!(store.sign_ins(&bob()).await.unwrap(), []);
    assert!(store.check().await.unwrap().iter().all(|item| item.ok || item.what == "durability"));
    store.note_sign_ins(vec![mail(0, &"x".repeat(5000))]).await.unwrap();
    let longest = told(&store).await.into_iter().filter_map(|row| row.program).map(|program| program.len());
    assert_eq!(longest.max(), Some(80));
}

pub(super) async fn guessing_a_name_leaves_nothing_and_a_wrong_password_a_count(store: Arc<dyn Store>) {
    store.note_sign_ins(vec![failed(alice(), 0), failed(bob(), 0)]).await.unwrap();
    assert_eq!(told(&store).await, []);
    store.note_sign_ins(vec![mail(1, "Mail")]).await.unwrap();
    store.note_sign_ins((2..40).map(|at| failed(alice(), at)).collect()).await.unwrap();
    store.note_sign_ins((2..40).map(|at| failed(bob(), at)).collect()).await.unwrap();
    let rows = told(&store).await;
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].failed, rows[0].count, rows[0].address, rows[0].at), (true, 38, None, later(39)));
    assert_eq!(store.sign_ins(&bob()).await.unwrap(), []);
}

pub(super) async fn a_users_sign_ins_are_bounded_in_number_and_in_time(store: Arc<dyn Store>) {
    let bobs = ok(bob(), 0, Place::Mail(Protocol::Smtp), by());
    store.note_sign_ins(vec![bobs]).await.unwrap();
    // All in the same second, so that the time alone does not choose.
    store.note_sign_ins((0..90).map(|number| mail(1, &format!("early {number}"))).collect()).await.unwrap();
    assert_eq!(told(&store).await.len(), HISTORY_ROWS as usize);
    store.note_sign_ins((0..40).map(|number| mail(2, &format!("late {number}"))).collect()).await.unwrap();
    let rows = told(&store).await;
    let late = rows.iter().filter(|row| row.program.as_deref().unwrap().starts_with("late")).count();
    assert_eq!((rows.len(), late), (HISTORY_ROWS as usize, 40));
    assert_eq!(store.sign_ins(&bob()).await.unwrap().len(), 1);
    store.note_sign_ins((0..60).map(|at| page(at, new_hash())).collect()).await.unwrap();

    let retention = i64::try_from(HISTORY_RETENTION.as_secs()).unwrap();
    while store.remove_expired(later(retention + 1), 7).await.unwrap() > 0 {}
    assert_eq!(store.sign_ins(&bob()).await.unwrap(), []);
    assert!(told(&store).await.iter().all(|row| row.at > later(1)) && !told(&store).await.is_empty());
    while store.remove_expired(later(retention + 60), 7).await.unwrap() > 0 {}
    assert_eq!(told(&store).await, []);
}

pub(super) async fn a_browser_that_is_not_known_is_news_until_it_is_told(store: Arc<dyn Store>) {
    let (first, second, third) = (new_hash(), new_hash(), new_hash());
    let news = async || told(&store).await.into_iter().map(|row| (row.browser.unwrap(), row.news)).collect();
    let of = |news: &Vec<(TokenHash, News)>, browser| news.iter().find(|(own, _)| *own == browser).unwrap().1;
    store.note_sign_ins(vec![page(0, first)]).await.unwrap();
    store.note_sign_ins(vec![page(1, second), page(2, first)]).await.unwrap();
    let now: Vec<_> = news().await;
    assert_eq!((of(&now, first), of(&now, second)), (News::None, News::Untold), "the first of all is none");
    store.note_sign_ins(vec![page(3, second)]).await.unwrap();
    assert_eq!(of(&news().await, second), News::Untold, "it is not known by coming again");
    // Whoever comes from the new browser does not hide it from its owner.
    store.browsers_told(&alice(), Some(&second)).await.unwrap();
    assert_eq!(of(&news().await, second), News::Untold);
    store.browsers_told(&bob(), None).await.unwrap();
    assert_eq!(of(&news().await, second), News::Untold);
    store.browsers_told(&alice(), Some(&first)).await.unwrap();
    assert_eq!(of(&news().await, second), News::Told);
    store.note_sign_ins(vec![page(86_400, second), page(86_401, third)]).await.unwrap();
    let now: Vec<_> = news().await;
    assert_eq!((now[0], now[1]), ((third, News::Untold), (second, News::None)), "the next day");

    let retention = i64::try_from(BROWSER_RETENTION.as_secs()).unwrap();
    while store.remove_expired(later(retention + 3), 7).await.unwrap() > 0 {}
    store.note_sign_ins(vec![page(retention + 4, first)]).await.unwrap();
    assert_eq!(of(&news().await, first), News::Untold, "it was forgotten, and others were not");
}

pub(super) async fn the_last_use_of_a_grant_goes_with_it(store: Arc<dyn Store>) {
    let (used, unused) = (new_grant("alice@example.org"), new_grant("alice@example.org"));
    for grant in [&used, &unused] {
        store.create_grant(grant.clone()).await.unwrap();
    }
    let note = |at: i64, grant, program: &str| {
        let (program, grant) = (Some(program.to_owned()), Some(grant));
        ok(alice(), at, Place::Mail(Protocol::Pop3), SignInBy { program, grant, ..by() })
    };
    let notes = vec![note(5, used.id, "b"), note(9, GrantId::generate(), "x"), note(3, used.id, "a")];
    store.note_sign_ins(notes).await.unwrap();
    store.note_sign_ins(vec![note(4, used.id, "c")]).await.unwrap();
    let expected = GrantUse {
        grant: used.id,
        at: later(5),
        place: Place::Mail(Protocol::Pop3),
        address: address(),
        program: Some("b".to_owned()),
    };
    assert_eq!(store.grant_uses(&alice()).await.unwrap(), [expected]);
    assert_eq!(store.grant_uses(&bob()).await.unwrap(), []);
    store.revoke_grant(used.id, RevocationReason::LoggedOut, NOW).await.unwrap();
    while store.remove_expired(later(60 * 24 * 60 * 60), 7).await.unwrap() > 0 {}
    assert_eq!(store.grant_uses(&alice()).await.unwrap(), []);
}

fn session(user: Login, created_at: i64) -> AccountSession {
    AccountSession {
        lookup: new_hash(),
        user,
        auth_time: later(created_at - 1),
        created_at: later(created_at),
        expires_at: later(created_at + 100),
    }
}

pub(super) async fn a_session_of_the_account_page_ends_when_it_is_closed_or_over(store: Arc<dyn Store>) {
    let (one, two) = (session(alice(), 0), session(alice(), 0));
    for session in [&one, &two] {
        store.open_account_session(session.clone()).await.unwrap();
    }
    let again = store.open_account_session(AccountSession { user: bob(), ..one.clone() }).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    let find = async |session: &AccountSession, at| store.account_session(&session.lookup, at).await.unwrap();
    assert_eq!(find(&one, later(99)).await, Some(one.clone()));
    assert_eq!(find(&one, later(100)).await, None);
    assert!(store.close_account_session(&one.lookup).await.unwrap());
    assert!(!store.close_account_session(&one.lookup).await.unwrap());
    assert_eq!((find(&one, NOW).await, find(&two, NOW).await), (None, Some(two.clone())));
    while store.remove_expired(later(99), 7).await.unwrap() > 0 {}
    assert_eq!(find(&two, NOW).await, Some(two.clone()));
    while store.remove_expired(later(100), 7).await.unwrap() > 0 {}
    assert_eq!(find(&two, NOW).await, None);
}

pub(super) async fn a_user_has_so_many_sessions_and_the_oldest_gives_way(store: Arc<dyn Store>) {
    let sessions: Vec<_> = (0..i64::from(ACCOUNT_SESSIONS) + 2).map(|at| session(alice(), at)).collect();
    let bobs = session(bob(), 0);
    for session in sessions.iter().chain([&bobs]) {
        store.open_account_session(session.clone()).await.unwrap();
    }
    let is_there = async |session: &AccountSession| {
        store.account_session(&session.lookup, session.created_at).await.unwrap().is_some()
    };
    assert!(!is_there(&sessions[0]).await && !is_there(&sessions[1]).await);
    for session in sessions.iter().skip(2).chain([&bobs]) {
        assert!(is_there(session).await);
    }
}

pub(super) async fn a_removed_user_leaves_no_history_and_a_changed_password_no_session(
    store: Arc<dyn Store>,
) {
    let user = |login: Login| UserRecord { login, password: "x".into(), created_at: NOW, changed_at: NOW };
    let (alices, bobs) = (session(alice(), 0), session(bob(), 0));
    for (login, session) in [(alice(), &alices), (bob(), &bobs)] {
        store.add_user(user(login)).await.unwrap();
        store.open_account_session(session.clone()).await.unwrap();
    }
    store.note_sign_ins(vec![page(0, new_hash()), ok(bob(), 0, Place::Page, by())]).await.unwrap();
    let is_there =
        async |session: &AccountSession| store.account_session(&session.lookup, NOW).await.unwrap().is_some();
    store.set_password(&alice(), "y", false, NOW).await.unwrap();
    assert!(is_there(&alices).await, "the hash alone was made anew");
    store.set_password(&alice(), "z", true, NOW).await.unwrap();
    assert!(!is_there(&alices).await && is_there(&bobs).await);

    store.open_account_session(alices.clone()).await.unwrap();
    assert_eq!(store.remove_user(&alice(), NOW).await.unwrap(), Ended::Now);
    assert!(!is_there(&alices).await && is_there(&bobs).await);
    assert_eq!(told(&store).await, []);
    assert_eq!(store.sign_ins(&bob()).await.unwrap().len(), 1);
    // Nothing is known of a later user of the name either.
    store.note_sign_ins(vec![failed(alice(), 1), page(2, new_hash())]).await.unwrap();
    let rows = told(&store).await;
    assert_eq!((rows.len(), rows[0].news), (1, News::None));
}

pub(super) async fn of_many_first_sign_ins_from_new_browsers_at_once_one_is_no_news(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let store = Arc::clone(if number % 2 == 0 { &one } else { &other });
        let notes = vec![page(0, new_hash()), ok(bob(), 0, Place::Page, by())];
        tasks.spawn(async move { store.note_sign_ins(notes).await.unwrap() });
    }
    tasks.join_all().await;
    let news: Vec<News> = told(&one).await.into_iter().map(|row| row.news).collect();
    assert_eq!(news.iter().filter(|news| **news == News::None).count(), 1, "{news:?}");
    assert_eq!((news.len(), one.sign_ins(&bob()).await.unwrap()[0].count), (12, 12));
}
