//! From the classic protocol to the consumer protocol and back, with members that go on reading.

use super::classics::{ClassicClient, SESSION, Wait};
use super::*;
use crate::groups::{GroupKind, Leaving, MigrationPolicy};

pub(super) fn scene() -> Scene {
    Scene::with(|settings| settings.initial_rebalance_delay = Duration::ZERO)
}

pub(super) fn kind(scene: &Scene) -> GroupKind {
    scene.groups.kind(&scene.group).unwrap()
}

pub(super) fn shares(owned: &[&Assignment]) -> Vec<usize> {
    for (place, one) in owned.iter().enumerate() {
        assert!(!owned[..place].iter().any(|other| other.overlaps(one)), "{owned:?}");
    }
    owned.iter().map(|owned| owned.len()).collect()
}

#[test]
fn an_eager_application_goes_to_the_consumer_protocol_and_back() {
    let scene = scene();
    let (mut one, mut two) = (ClassicClient::eager(), ClassicClient::eager());
    scene.calm(&mut [&mut one, &mut two], &mut []);
    assert_eq!(shares(&[&one.owned, &two.owned]), [2, 2]);
    let generation = one.generation;
    let mut new = scene.enter("a");
    assert_eq!(
        (kind(&scene), new.epoch, new.owned.len()),
        (GroupKind::Consumer, generation + 1, 0)
    );
    assert_eq!(scene.cause(), (Cause::MemberJoined, vec!["a".to_owned()]));
    assert_eq!((one.commit(&scene), two.commit(&scene)), (Ok(()), Ok(())));
    let described = scene.describe();
    let kinds: Vec<_> = described.members.iter().map(|member| member.kind).collect();
    assert_eq!(kinds, [GroupKind::Consumer, GroupKind::Classic, GroupKind::Classic]);
    let told = described.members.iter().find(|member| member.member_id == one.id).unwrap();
    assert_eq!((told.assignment.len(), told.topic_names.len()), (1, 1));
    scene.calm(&mut [&mut one, &mut two], &mut [&mut new]);
    let mut sizes = shares(&[&one.owned, &two.owned, &new.owned]);
    sizes.sort_unstable();
    assert_eq!((sizes, scene.state()), (vec![1, 1, 2], "Stable"));
    assert_eq!((one.generation, one.lost, two.lost), (new.epoch, 0, 0));

    one.leave(&scene).unwrap();
    assert_eq!(scene.cause(), (Cause::MemberLeft, vec![one.id.clone()]));
    two.leave(&scene).unwrap();
    scene.calm(&mut [], &mut [&mut new]);
    assert_eq!((new.owned.len(), kind(&scene)), (4, GroupKind::Consumer));

    let mut back = ClassicClient::eager();
    scene.calm(&mut [&mut back], &mut [&mut new]);
    assert_eq!(shares(&[&back.owned, &new.owned]), [2, 2]);
    scene.ask(new.leaving(-1)).unwrap();
    assert_eq!(kind(&scene), GroupKind::Classic);
    let last = scene.groups.describe(&scene.group).unwrap().last_rebalance.unwrap();
    assert_eq!((last.cause, last.members), (Cause::MemberLeft, vec!["a".to_owned()]));
    assert_eq!(back.commit(&scene), Ok(()));
    scene.calm(&mut [&mut back], &mut []);
    assert_eq!((back.owned.len(), back.lost), (4, 0));
    assert!(back.generation > new.epoch, "generations go on from epochs");
}

#[test]
fn a_cooperative_member_gives_up_only_what_moves_and_before_another_has_it() {
    let scene = scene();
    let mut old = ClassicClient::cooperative();
    scene.calm(&mut [&mut old], &mut []);
    let before = old.owned.clone();
    let mut new = scene.enter("a");
    // Told to join again, it joins with all that it has, and hears what it may keep.
    (0..3).for_each(|_| old.step(&scene));
    scene.beat(&mut new).unwrap();
    assert_eq!((old.owned.len(), new.owned.len()), (4, 0));
    old.step(&scene);
    scene.beat(&mut new).unwrap();
    assert_eq!((old.owned.len(), new.owned.len()), (2, 0), "it has not said so yet");
    assert_eq!(old.commit(&scene), Ok(()));
    scene.calm(&mut [&mut old], &mut [&mut new]);
    assert_eq!(shares(&[&old.owned, &new.owned]), [2, 2]);
    assert!(old.owned.is_subset_of(&before));
}

#[test]
fn joins_that_wait_are_answered_by_the_group_that_it_has_become() {
    let scene = scene();
    let mut one = ClassicClient::eager();
    scene.calm(&mut [&mut one], &mut []);
    // The second waits for the first, which has not heard of it.
    let mut two = ClassicClient { silent: true, ..ClassicClient::eager() };
    (0..2).for_each(|_| two.step(&scene));
    let mut new = scene.enter("a");
    two.step(&scene);
    assert!(two.generation > 0, "{two:?}");
    scene.calm(&mut [&mut one, &mut two], &mut [&mut new]);
    assert_eq!(shares(&[&one.owned, &two.owned, &new.owned]).iter().sum::<usize>(), 4);
    assert_eq!(scene.describe().members.len(), 3);
}

#[test]
fn who_does_not_join_again_or_sync_in_time_is_removed() {
    let mut scene = scene();
    let mut old = ClassicClient::eager();
    scene.calm(&mut [&mut old], &mut []);
    let mut new = scene.enter("a");
    let beat = |scene: &Scene, old: &ClassicClient| {
        let (generation, member_id) = (old.generation, old.id.as_str());
        let member = MemberRef { generation, member_id, instance_id: None };
        scene.groups.heartbeat(scene.now, &scene.group, &member)
    };
    for _ in 0..12 {
        assert_eq!(beat(&scene, &old), Err(GroupError::RebalanceInProgress));
        scene.pass(5);
        scene.beat(&mut new).unwrap();
    }
    assert_eq!(beat(&scene, &old), Err(GroupError::UnknownMemberId));
    assert_eq!(scene.cause(), (Cause::JoinMissing, vec![old.id.clone()]));
    assert_eq!(new.owned.len(), 4);
    // It joins as another, and lives on without asking for what it has.
    old.wait = Wait::Turn;
    old.id.clear();
    (0..3).for_each(|_| old.step(&scene));
    let joined = old.join_by_hand(&scene);
    (old.id, old.generation) = (joined.member_id, joined.generation);
    for _ in 0..12 {
        let _ = beat(&scene, &old);
        scene.pass(5);
        scene.beat(&mut new).unwrap();
    }
    assert_eq!(scene.cause(), (Cause::SyncMissing, vec![old.id.clone()]));
    // Silent for as long as it said that it may be, it has gone earlier than others.
    let mut silent = ClassicClient::eager();
    scene.calm(&mut [&mut silent], &mut [&mut new]);
    scene.pass(SESSION.as_secs());
    assert_eq!(scene.cause(), (Cause::SessionExpired, vec![silent.id]));
}

#[test]
fn a_static_member_takes_its_place_under_the_other_protocol() {
    let scene = scene();
    let fixed = || ClassicClient { instance_id: Some("i".to_owned()), ..ClassicClient::eager() };
    let (mut old, mut other) = (fixed(), ClassicClient::eager());
    scene.calm(&mut [&mut old, &mut other], &mut []);
    let has = old.owned.clone();
    let mut new = Client::fixed("a", "i");
    scene.join(&mut new).unwrap();
    assert_eq!((kind(&scene), &new.owned), (GroupKind::Consumer, &has));
    assert_eq!(old.commit(&scene), Err(GroupError::UnknownMemberId));
    let stale = MemberRef { generation: 1, member_id: &old.id, instance_id: Some("i") };
    let fenced = scene.groups.heartbeat(scene.now, &scene.group, &stale);
    assert_eq!(fenced, Err(GroupError::FencedInstanceId));
    scene.calm(&mut [&mut other], &mut [&mut new]);
    let mut back = fixed();
    scene.calm(&mut [&mut back, &mut other], &mut []);
    assert_eq!(kind(&scene), GroupKind::Classic);
    assert_eq!(shares(&[&back.owned, &other.owned]), [2, 2]);
    assert_eq!(scene.beat(&mut new), Err(GroupError::UnknownMemberId));
}

/// Two cooperative members and one of the consumer protocol, at rest; another has come since, of
/// which only the second has heard.
fn one_lags(scene: &Scene) -> ([ClassicClient; 2], [Client; 2]) {
    this_one_lags(scene, ClassicClient::cooperative())
}

fn this_one_lags(scene: &Scene, mut lags: ClassicClient) -> ([ClassicClient; 2], [Client; 2]) {
    let mut leads = ClassicClient::cooperative();
    scene.calm(&mut [&mut lags, &mut leads], &mut []);
    let mut clients = [scene.enter("a"), Client::new("b")];
    scene.calm(&mut [&mut lags, &mut leads], &mut [&mut clients[0]]);
    scene.join(&mut clients[1]).unwrap();
    for _ in 0..10 {
        leads.step(scene);
        clients.iter_mut().for_each(|client| scene.beat(client).unwrap());
    }
    assert!(lags.generation < leads.generation && !lags.owned.is_empty());
    ([lags, leads], clients)
}

#[test]
fn members_that_lag_when_it_becomes_classic_again_give_up_what_they_have() {
    let scene = scene();
    let ([mut lags, mut leads], clients) = one_lags(&scene);
    clients.iter().for_each(|client| drop(scene.ask(client.leaving(-1)).unwrap()));
    assert_eq!((kind(&scene), leads.commit(&scene)), (GroupKind::Classic, Ok(())));
    assert!(matches!(lags.commit(&scene), Err(GroupError::IllegalGeneration { .. })));
    let before = (lags.owned.len(), leads.owned.clone());
    for _ in 0..30 {
        leads.step(&scene);
        shares(&[&lags.owned, &leads.owned]);
        lags.step(&scene);
        shares(&[&lags.owned, &leads.owned]);
    }
    assert_eq!((lags.lost, leads.lost), (before.0, 0));
    assert_eq!(shares(&[&lags.owned, &leads.owned]), [2, 2]);
}

#[test]
fn who_lags_and_joins_with_what_it_has_is_unknown_when_it_has_become_classic_again() {
    let scene = scene();
    let ([mut lags, mut leads], clients) = one_lags(&scene);
    // It has been told to join again, and does so when the others have gone.
    lags.step(&scene);
    clients.iter().for_each(|client| drop(scene.ask(client.leaving(-1)).unwrap()));
    (0..3).for_each(|_| leads.step(&scene));
    let mut answer = scene.groups.join(scene.now, lags.request(&scene), &scene.world);
    assert_eq!(answer.now().unwrap(), Err(GroupError::UnknownMemberId));
    leads.step(&scene);
    assert!(matches!(leads.wait, Wait::Join(_)), "it is still waited for: {leads:?}");
    (lags.id, lags.owned, lags.wait) = (String::new(), Assignment::default(), Wait::Turn);
    scene.calm(&mut [&mut lags, &mut leads], &mut []);
    assert_eq!(shares(&[&lags.owned, &leads.owned]), [2, 2]);
}

#[test]
fn who_does_not_come_back_under_another_id_is_not_waited_for_long() {
    let mut scene = scene();
    let ([mut lags, mut leads], clients) = one_lags(&scene);
    lags.step(&scene);
    clients.iter().for_each(|client| drop(scene.ask(client.leaving(-1)).unwrap()));
    (0..3).for_each(|_| leads.step(&scene));
    drop(scene.groups.join(scene.now, lags.request(&scene), &scene.world));
    scene.pass(10);
    scene.calm(&mut [&mut leads], &mut []);
    assert_eq!(leads.owned.len(), 4);
}

#[test]
fn who_keeps_what_it_has_when_it_is_unknown_comes_to_rest() {
    let mut scene = scene();
    let mut keeps = ClassicClient { keeps: true, ..ClassicClient::cooperative() };
    scene.calm(&mut [&mut keeps], &mut []);
    let mut other = scene.enter("a");
    scene.calm(&mut [&mut keeps], &mut [&mut other]);
    // It is not heard of for a session, and has its partitions still when it joins.
    for _ in 0..SESSION.as_secs() {
        scene.pass(1);
        scene.beat(&mut other).unwrap();
    }
    scene.calm(&mut [], &mut [&mut other]);
    assert_eq!(other.owned.len(), 4);
    keeps.wait = Wait::Turn;
    scene.calm(&mut [&mut keeps], &mut [&mut other]);
    assert_eq!(shares(&[&keeps.owned, &other.owned]), [2, 2]);
}

#[test]
fn a_static_member_that_lags_and_joins_late_leaves_nothing_unread() {
    let mut scene = scene();
    // One in this process, so that its session does not end.
    let instance_id = Some("i".to_owned());
    let fixed = ClassicClient { instance_id, silent: true, ..ClassicClient::cooperative() };
    let ([lags, mut leads], clients) = this_one_lags(&scene, fixed);
    clients.iter().for_each(|client| drop(scene.ask(client.leaving(-1)).unwrap()));
    (0..2).for_each(|_| leads.step(&scene));
    scene.pass(REBALANCE.as_secs());
    scene.calm(&mut [&mut leads], &mut []);
    assert!(leads.owned.len() < 4, "a part is kept for the static member");
    let mut answer = scene.groups.join(scene.now, lags.request(&scene), &scene.world);
    assert_eq!(answer.now().unwrap(), Err(GroupError::UnknownMemberId));
    scene.calm(&mut [&mut leads], &mut []);
    assert_eq!(leads.owned.len(), 4);
}

#[test]
fn who_has_not_synced_when_it_becomes_classic_again_joins_with_nothing() {
    let scene = scene();
    let (mut old, mut other) = (ClassicClient::cooperative(), ClassicClient::cooperative());
    scene.calm(&mut [&mut old, &mut other], &mut []);
    let mut new = scene.enter("a");
    scene.calm(&mut [&mut old, &mut other], &mut [&mut new]);
    let joined = old.join_by_hand(&scene);
    assert_eq!(joined.generation, other.generation);
    scene.ask(new.leaving(-1)).unwrap();
    assert!(matches!(old.commit(&scene), Err(GroupError::IllegalGeneration { .. })));
    assert_eq!(other.commit(&scene), Ok(()));
    scene.calm(&mut [&mut old, &mut other], &mut []);
    assert_eq!(shares(&[&old.owned, &other.owned]), [2, 2]);
}

#[test]
fn a_refused_member_changes_nothing() {
    let scene = Scene::with(|settings| {
        settings.initial_rebalance_delay = Duration::ZERO;
        settings.max_members = 1;
    });
    let mut old = ClassicClient::eager();
    scene.calm(&mut [&mut old], &mut []);
    let refused = scene.join(&mut Client::new("a"));
    assert_eq!(refused, Err(GroupError::GroupMaxSizeReached { limit: 1 }));
    let refused = scene.join(&mut Client::new(&old.id));
    assert!(matches!(refused, Err(GroupError::InvalidRequest(_))), "{refused:?}");
    assert_eq!((kind(&scene), old.commit(&scene)), (GroupKind::Classic, Ok(())));
    assert_eq!(scene.groups.describe(&scene.group).unwrap().state.as_str(), "Stable");
}

#[test]
fn the_policy_says_which_way_a_group_may_go() {
    for policy in MigrationPolicy::ALL {
        let scene = Scene::with(|settings| {
            settings.initial_rebalance_delay = Duration::ZERO;
            settings.migration_policy = policy;
        });
        let mut old = ClassicClient::eager();
        scene.calm(&mut [&mut old], &mut []);
        let up = scene.join(&mut Client::new("a"));
        let upgrades = matches!(policy, MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade);
        assert_eq!(up, if upgrades { Ok(()) } else { Err(GroupError::NotConsumerGroup) });
        if !upgrades {
            old.leave(&scene).unwrap();
            scene.enter("a");
            old = ClassicClient::eager();
        }
        for _ in 0..6 {
            old.step(&scene);
        }
        scene.ask(Client::new("a").leaving(-1)).unwrap();
        let downgrades =
            matches!(policy, MigrationPolicy::Bidirectional | MigrationPolicy::Downgrade);
        let expected = if downgrades { GroupKind::Classic } else { GroupKind::Consumer };
        assert_eq!(kind(&scene), expected, "{policy:?}");
        scene.calm(&mut [&mut old], &mut []);
        assert_eq!(old.owned.len(), 4, "{policy:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let scene = scene();
    scene.enter("a");
    let mut other = ClassicClient::eager();
    scene.calm(&mut [&mut other], &mut []);
    let mut cooperative = ClassicClient::cooperative();
    let refusal = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        (0..2).for_each(|_| cooperative.step(&scene));
    }));
    assert!(refusal.is_err(), "no protocol in common");
    // Neither protocol speaks for a member of the other.
    let refused = scene.join(&mut Client::new(&other.id));
    assert!(matches!(refused, Err(GroupError::InvalidRequest(_))), "{refused:?}");
    let alien = Client { epoch: other.generation, ..Client::new(&other.id) };
    assert_eq!(scene.ask(alien.beating()), Err(GroupError::UnknownMemberId));
    assert_eq!(scene.ask(alien.leaving(-1)), Err(GroupError::UnknownMemberId));
    let leaving = [Leaving { member_id: "a".to_owned(), ..Leaving::default() }];
    let left = scene.groups.leave(scene.now, &scene.group, &leaving);
    assert_eq!(left, [Err(GroupError::UnknownMemberId)]);
    // Who was removed and does not know it gives up all, before it is let in again.
    other.leave(&scene).unwrap();
    let mut removed = ClassicClient { eager: false, ..other };
    removed.generation = 99;
    removed.step(&scene);
    assert_eq!((removed.owned.len(), removed.id.as_str()), (0, ""));
}
