//! Who somebody is, by name and password or by a token: the one place where they are checked,
//! whichever door they come through.
//!
//! Checking a password is slow on purpose, so that few are checked at once and away from the runtime's own
//! threads; a password that was right is known again for as long as it is the user's.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac, rand};
use factum_event::Clock;
use factum_event::access::{AccessControl, Credential, Principal, ScramMechanism};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::config::{OauthSettings, Secret};
use crate::password;
use crate::token::{Identity, KeysError, TokenError, Tokens};

/// The user that logs in with the password of the configuration, and may do everything.
pub(crate) const ADMIN: &str = "admin";

/// Passwords that are checked at once.
const CHECKS: usize = 2;

/// Most passwords that are known again; above, all are forgotten.
const KNOWN: usize = 10_000;

/// Checks who somebody is.
pub(crate) struct Login {
    access: Arc<dyn AccessControl>,
    clock: Arc<dyn Clock>,
    /// None: no tokens are taken.
    tokens: Option<Tokens>,
    admin: Vec<(ScramMechanism, Credential)>,
    /// What an unknown user is checked against, so that it takes as long as a known one.
    nobody: Credential,
    /// Hashes passwords that were right; known to this process alone.
    key: hmac::Key,
    known: Mutex<HashMap<String, Known>>,
    checks: Arc<Semaphore>,
}

/// A password that was right.
struct Known {
    stored_key: Vec<u8>,
    password: hmac::Tag,
}

/// Why nobody can log in.
#[derive(Debug, Error)]
pub(crate) enum LoginSetupError {
    /// The keys of tokens cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The operating system has no random bytes.
    #[error("the system gives no random bytes, and without them no login is safe")]
    Random(#[from] aws_lc_rs::error::Unspecified),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Login {
    /// Checks against the users of `access`, [`ADMIN`] against a password of the configuration if
    /// there is one, and tokens as `oauth` says.
    ///
    /// # Errors
    /// [`LoginSetupError`]
    pub(crate) fn open(
        access: Arc<dyn AccessControl>,
        admin: Option<&Secret>,
        oauth: Option<OauthSettings>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LoginSetupError> {
        let of_admin = admin.map(|secret| password::of_all_mechanisms(secret.reveal()));
        Ok(Self {
            access,
            clock,
            tokens: oauth.map(Tokens::open).transpose()?,
            admin: of_admin.transpose()?.unwrap_or_default(),
            nobody: password::new(ScramMechanism::Sha256, "")?,
            key: hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())?,
            known: Mutex::default(),
            checks: Arc::new(Semaphore::new(CHECKS)),
        })
    }

    /// Users and rules.
    pub(crate) fn access(&self) -> &Arc<dyn AccessControl> {
        &self.access
    }

    /// What a user logs in with by a mechanism.
    pub(crate) fn credential(&self, user: &str, mechanism: ScramMechanism) -> Option<Credential> {
        if user == ADMIN && !self.admin.is_empty() {
            let own = self.admin.iter().find(|(of, _)| *of == mechanism);
            return own.map(|(_, credential)| credential.clone());
        }
        self.access.credential(user, mechanism)
    }

    /// The user, if this is its password.
    pub(crate) async fn by_password(&self, user: &str, password: &str) -> Option<Principal> {
        let known = ScramMechanism::ALL
            .iter()
            .find_map(|mechanism| Some((*mechanism, self.credential(user, *mechanism)?)));
        if let Some((_, credential)) = &known
            && self.is_known(user, credential, password)
        {
            return Some(Principal::user(user));
        }
        let is_user = known.is_some();
        let (mechanism, credential) =
            known.unwrap_or_else(|| (ScramMechanism::Sha256, self.nobody.clone()));
        let turn = Arc::clone(&self.checks).acquire_owned().await.ok()?;
        let (stored_key, asked) = (credential.stored_key.clone(), password.to_owned());
        let check = move || {
            // The check itself has it: it goes on for a client that has hung up, too.
            let _turn = turn;
            password::is(&credential, mechanism, &asked)
        };
        let is_right = tokio::task::spawn_blocking(check).await.ok()?;
        if !(is_right && is_user) {
            return None;
        }
        self.remember(user, stored_key, password);
        Some(Principal::user(user))
    }

    /// Whose a token is.
    ///
    /// # Errors
    /// [`TokenError`]: why it is not taken, which is for the log and not for the client.
    pub(crate) async fn by_token(&self, token: &str) -> Result<Identity, TokenError> {
        let tokens = self.tokens.as_ref().ok_or(TokenError::Unwanted)?;
        let now = Duration::from_millis(u64::try_from(self.clock.now().as_millis()).unwrap_or(0));
        tokens.check(token, now.as_secs_f64()).await
    }

    fn is_known(&self, user: &str, credential: &Credential, password: &str) -> bool {
        let known = self.known.lock();
        let Some(known) = known.get(user) else { return false };
        let same_key =
            constant_time::verify_slices_are_equal(&known.stored_key, &credential.stored_key);
        let tag = known.password.as_ref();
        same_key.is_ok() && hmac::verify(&self.key, password.as_bytes(), tag).is_ok()
    }

    fn remember(&self, user: &str, stored_key: Vec<u8>, password: &str) {
        let mut known = self.known.lock();
        if known.len() >= KNOWN {
            known.clear();
        }
        let password = hmac::sign(&self.key, password.as_bytes());
        known.insert(user.to_owned(), Known { stored_key, password });
    }
}

#[cfg(test)]
mod tests {
    use factum_broker::{Broker, BrokerSettings};
    use factum_event::SystemClock;
    use factum_log::disk::sim::SimDisk;

    use super::*;

    async fn with_alice() -> (Broker, Login) {
        let (clock, disk) = (Arc::new(SystemClock::new()), Arc::new(SimDisk::new(1)));
        let broker = Broker::open(disk, clock, BrokerSettings::default()).unwrap().0;
        give(&broker, "secret").await;
        let admin = Secret::from("top".to_owned());
        let login = login(&broker, Some(&admin));
        (broker, login)
    }

    fn login(broker: &Broker, admin: Option<&Secret>) -> Login {
        let clock = Arc::new(SystemClock::new());
        Login::open(Arc::new(broker.clone()), admin, None, clock).unwrap()
    }

    async fn give(broker: &Broker, password: &str) {
        let sha512 = ScramMechanism::Sha512;
        let set = vec![(sha512, password::new(sha512, password).unwrap())];
        broker.alter_user("test", "alice".parse().unwrap(), set, vec![]).await.unwrap();
    }

    #[tokio::test]
    async fn a_password_is_right_until_it_is_another() {
        let (broker, login) = with_alice().await;
        for _ in 0..2 {
            assert_eq!(login.by_password("alice", "secret").await, Some(Principal::user("alice")));
            assert_eq!(login.by_password("alice", "Secret").await, None);
            assert_eq!(login.by_password("bob", "secret").await, None);
            assert_eq!(login.by_password("bob", "").await, None, "what nobody has is not right");
        }
        give(&broker, "other").await;
        assert_eq!(login.by_password("alice", "secret").await, None);
        assert!(login.by_password("alice", "other").await.is_some());
    }

    /// The turn once was the client's, and free again while the check of a client that had hung up
    /// went on: any number of them could run.
    #[test]
    fn who_does_not_wait_gives_nobody_else_a_turn() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (_broker, login) = with_alice().await;
            // The only thread for checks does not come to one before it is told to go on.
            let (go_on, told) = std::sync::mpsc::channel();
            let busy = tokio::task::spawn_blocking(move || told.recv());
            tokio::select! {
                biased;
                _ = login.by_password("alice", "secret") => panic!("nobody can have checked it"),
                () = std::future::ready(()) => {}
            }
            assert_eq!(login.checks.available_permits(), CHECKS - 1, "its check is still to run");
            go_on.send(()).unwrap();
            busy.await.unwrap().unwrap();
            let all = login.checks.acquire_many(u32::try_from(CHECKS).unwrap()).await;
            assert!(all.is_ok(), "the check gives its turn back");
        });
    }

    #[tokio::test]
    async fn the_admin_of_the_configuration_has_its_password_alone() {
        let (broker, login) = with_alice().await;
        assert!(login.by_password("admin", "top").await.is_some());
        assert_eq!(login.by_password("admin", "secret").await, None);
        let without = self::login(&broker, None);
        assert_eq!(without.by_password("admin", "").await, None);
    }
}
