//! Handles of logs that go on in the background, and the order in which they commit.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heirloom_api::{Expected, ProjectRef};
use heirloom_core::{Alias, ArtifactRef, RunId, Selector};
use tokio::sync::watch;

use crate::put::{self, PutOptions, PutReport};
use crate::{Artifact, Error, Project, Result, Version};

/// An artifact that is being logged in the background.
///
/// Reading and sending have begun. The version is committed once the handle is
/// waited for, dropped, or followed by another log of the same collection, and
/// before [`Run::finish`](crate::Run::finish) returns: until then its aliases
/// may be set.
#[derive(Debug)]
pub struct Logged {
    project: Project,
    shared: Arc<Shared>,
    /// Aliases given after the commit was let go.
    late: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    settings: Mutex<Settings>,
    /// Whether the settings are final, so that the commit may go on.
    sealed: watch::Sender<bool>,
    done: watch::Sender<bool>,
    outcome: Mutex<Option<Result<PutReport>>>,
    /// The handle is gone: a failure belongs to the run.
    dropped: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Settings {
    aliases: Vec<String>,
    force_new: bool,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            settings: Mutex::default(),
            sealed: watch::Sender::new(false),
            done: watch::Sender::new(false),
            outcome: Mutex::default(),
            dropped: watch::Sender::new(false),
        })
    }

    fn seal(&self) {
        self.sealed.send_replace(true);
    }

    async fn finished(&self) {
        // The sender lives in `self`, so this ends only when the value is there.
        let _ = self.done.subscribe().wait_for(|done| *done).await;
    }

    /// Waits until the settings are final and applies them.
    pub(crate) async fn settle_options(&self, options: &mut PutOptions) {
        let _ = self.sealed.subscribe().wait_for(|sealed| *sealed).await;
        let settings = guard(&self.settings);
        options.aliases.extend(settings.aliases.iter().cloned());
        options.force_new |= settings.force_new;
    }
}

impl Logged {
    pub(crate) fn start(project: Project, run: Option<RunId>, artifact: Artifact) -> Self {
        let shared = Shared::new();
        let tickets = &project.client().inner().tickets;
        let ticket = tickets.next(project.reference(), &artifact.name, Some(&shared));
        let task = {
            let (project, shared) = (project.clone(), Arc::clone(&shared));
            async move {
                put::run(&project, run, artifact, PutOptions::default(), ticket.gated(shared)).await
            }
        };
        let at_end = Arc::clone(&shared);
        let inner = tokio::spawn(task);
        tokio::spawn(async move {
            let outcome = match inner.await {
                Ok(outcome) => outcome,
                Err(error) if error.is_panic() => Err(Error::usage(format!("a bug: {error}"))),
                Err(_) => Err(Error::usage("the runtime was shut down")),
            };
            *guard(&at_end.outcome) = Some(outcome);
            at_end.done.send_replace(true);
        });
        Self { project, shared, late: Vec::new() }
    }

    /// Sets aliases of the version, beside `latest`, which the newest version
    /// always gets.
    #[must_use = "wait for the outcome with `.wait().await`"]
    pub fn aliases<A: Into<String>>(mut self, aliases: impl IntoIterator<Item = A>) -> Self {
        let aliases = aliases.into_iter().map(Into::into);
        let mut settings = guard(&self.shared.settings);
        if *self.shared.sealed.borrow() {
            self.late.extend(aliases);
        } else {
            settings.aliases.extend(aliases);
        }
        drop(settings);
        self
    }

    /// Makes a new version even when the newest one has this content.
    #[must_use = "wait for the outcome with `.wait().await`"]
    pub fn new_version(self) -> Self {
        guard(&self.shared.settings).force_new = true;
        self
    }

    /// Waits for the version: the new one, or the newest when it has this
    /// content already.
    ///
    /// # Errors
    /// Every problem of the files at once ([`Error::Files`]), in which case
    /// nothing was committed; [`Error::Collision`]; `wrong_type`; a failed
    /// backend.
    pub async fn wait(self) -> Result<Version> {
        let project = self.project.clone();
        let report = self.wait_report().await?;
        project.made(&report.committed.version).await
    }

    /// As [`Logged::wait`], telling what it took.
    ///
    /// # Errors
    /// As [`Logged::wait`].
    pub async fn wait_report(mut self) -> Result<PutReport> {
        self.shared.seal();
        self.shared.finished().await;
        let outcome = guard(&self.shared.outcome).take();
        let report =
            outcome.unwrap_or_else(|| Err(Error::usage("the outcome was taken already")))?;
        for alias in std::mem::take(&mut self.late) {
            let alias = Alias::new(&alias)?;
            let made = report.committed.version.clone();
            let reference = ArtifactRef::new(
                Some(made.entity),
                Some(made.project),
                made.name,
                Selector::Index(made.index),
            );
            let backend = self.project.client().backend();
            let doc = backend.resolve(self.project.reference().clone(), reference).await?;
            backend.set_alias(doc, alias, Expected::Any).await?;
        }
        Ok(report)
    }

    pub(crate) fn outstanding(&self) -> Outstanding {
        Outstanding { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        self.shared.seal();
        self.shared.dropped.send_replace(true);
    }
}

/// A log that a run waits for before it ends.
#[derive(Debug)]
pub(crate) struct Outstanding {
    shared: Arc<Shared>,
}

impl Outstanding {
    /// Lets it commit, waits, and gives the failure that nobody else will hear of.
    pub(crate) async fn settle(self) -> Option<Error> {
        self.shared.seal();
        self.shared.finished().await;
        if *self.shared.dropped.borrow() {
            return guard(&self.shared.outcome).take().and_then(Result::err);
        }
        None
    }
}

/// Hands out places in the order of commits, one queue per collection.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    queues: Mutex<HashMap<(ProjectRef, String), Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    /// Places that were handed out and not given back.
    outstanding: Arc<watch::Sender<BTreeSet<u64>>>,
    last: Option<Arc<Shared>>,
}

/// A place in the order of commits of one collection; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Ticket {
    place: u64,
    outstanding: Arc<watch::Sender<BTreeSet<u64>>>,
    gate: Option<Arc<Shared>>,
}

impl Tickets {
    /// The next place. What was logged before can no longer be changed.
    pub(crate) fn next(
        &self,
        project: &ProjectRef,
        name: &str,
        shared: Option<&Arc<Shared>>,
    ) -> Ticket {
        let mut queues = guard(&self.queues);
        let queue = queues.entry((project.clone(), name.to_owned())).or_default();
        if let Some(before) = std::mem::replace(&mut queue.last, shared.cloned()) {
            before.seal();
        }
        let place = queue.next;
        queue.next += 1;
        queue.outstanding.send_modify(|places| {
            places.insert(place);
        });
        Ticket { place, outstanding: Arc::clone(&queue.outstanding), gate: None }
    }
}

impl Ticket {
    fn gated(mut self, shared: Arc<Shared>) -> Self {
        self.gate = Some(shared);
        self
    }

    /// Waits until the settings of this log are final, and until everything
    /// logged before is committed or has failed: also what was logged before a
    /// log that failed early.
    pub(crate) async fn turn(&mut self, options: &mut PutOptions) {
        if let Some(shared) = self.gate.take() {
            shared.settle_options(options).await;
        }
        let mut places = self.outstanding.subscribe();
        // The sender lives in `self`, so this ends only when it is our turn.
        let _ = places.wait_for(|places| places.first() == Some(&self.place)).await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.outstanding.send_modify(|places| {
            places.remove(&self.place);
        });
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use heirloom_core::{EntityName, ProjectName};

    fn project(name: &str) -> ProjectRef {
        ProjectRef { entity: EntityName::local(), project: ProjectName::new(name).unwrap() }
    }

    #[tokio::test]
    async fn turns_come_in_call_order_per_collection() {
        let tickets = Tickets::default();
        let mut options = PutOptions::default();
        let mut first = tickets.next(&project("p"), "a", None);
        let mut second = tickets.next(&project("p"), "a", None);
        let mut other = tickets.next(&project("q"), "a", None);
        other.turn(&mut options).await;
        first.turn(&mut options).await;
        {
            let mut waiting = std::pin::pin!(second.turn(&mut options));
            assert!(futures::poll!(&mut waiting).is_pending());
            drop(first);
            waiting.await;
        }
    }

    #[tokio::test]
    async fn a_failure_in_between_does_not_let_the_next_overtake() {
        let tickets = Tickets::default();
        let mut options = PutOptions::default();
        let first = tickets.next(&project("p"), "a", None);
        let failed = tickets.next(&project("p"), "a", None);
        let mut third = tickets.next(&project("p"), "a", None);
        drop(failed);
        let mut waiting = std::pin::pin!(third.turn(&mut options));
        assert!(futures::poll!(&mut waiting).is_pending(), "the first is still under way");
        drop(first);
        waiting.await;
    }

    #[tokio::test]
    async fn a_later_log_seals_the_earlier() {
        let tickets = Tickets::default();
        let shared = Shared::new();
        guard(&shared.settings).aliases.push("best".into());
        let mut first = tickets.next(&project("p"), "a", Some(&shared)).gated(Arc::clone(&shared));
        let mut options = PutOptions::default();
        {
            let mut turn = std::pin::pin!(first.turn(&mut options));
            assert!(futures::poll!(&mut turn).is_pending(), "the settings are not final yet");
            let _second = tickets.next(&project("p"), "a", None);
            turn.await;
        }
        assert_eq!(options.aliases, ["best"]);
    }
}
