//! Retention: explained by words, and applied.

use heirloom_api::{CollectionDoc, DecisionDoc, ProjectRef, ReasonDoc, RetentionDoc};
use heirloom_catalog::rules::{self, Decided, Keep, Verdict};
use heirloom_catalog::{CatalogExt, View};
use heirloom_core::{ArtifactName, Caller, Retention, Role, VersionId};

use crate::delete::{UNDO_SECONDS, despite_full_disk};
use crate::freeable::{self, Effort};
use crate::problem::{Failure, step};
use crate::{Inner, access, browse, docs};

pub(crate) fn set(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    name: &ArtifactName,
    retention: Option<Retention>,
) -> Result<CollectionDoc, Failure> {
    let id = inner.decide(|view| {
        let (_, collection) = browse::find(view, caller, project, name, Role::Admin)?;
        let by = inner.by(caller);
        let request = rules::SetRetention { by, collection: collection.id, retention };
        Ok(rules::set_retention(view, &request)?.map(|row| row.id))
    })?;
    inner.catalog.view(|view| {
        let (collection, project) = access::home_of(view, id)?;
        docs::collection(view, caller, &collection, &project)
    })
}

pub(crate) fn apply(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    name: &ArtifactName,
    dry_run: bool,
) -> Result<RetentionDoc, Failure> {
    step("repository::retention")?;
    let by = inner.by(caller);
    let role = if dry_run { Role::Viewer } else { Role::Writer };
    let decide = |view: &dyn View| {
        let (_, collection) = browse::find(view, caller, project, name, role)?;
        let request =
            rules::ApplyRetention { by, collection: collection.id, undo_seconds: UNDO_SECONDS };
        Ok::<_, Failure>(
            rules::apply_retention(view, &request)?.map(|applied| (collection, applied)),
        )
    };
    let (collection, applied) = match dry_run {
        true => inner.catalog.view(|view| Ok::<_, Failure>(decide(view)?.answer))?,
        false => despite_full_disk(inner, || inner.decide(decide))?,
    };
    let versions = inner.catalog.view(|view| {
        let words = Words { view, caller };
        applied.decided.iter().map(|decided| words.decision(decided)).collect::<Result<_, _>>()
    })?;
    let gone: Vec<VersionId> = applied.deleted.versions.iter().map(|one| one.version).collect();
    let freeable = match dry_run {
        true => Some(freeable::count(inner, &gone, Effort::Whatever)?),
        // They are deleted, whatever else may be wrong with the repository.
        false => freeable::count(inner, &gone, Effort::Little).ok(),
    };
    Ok(RetentionDoc {
        name: collection.name,
        retention: collection.retention,
        dry_run,
        versions,
        restorable_until: applied.deleted.purge_after,
        freeable,
    })
}

/// Decisions in words.
struct Words<'a> {
    view: &'a dyn View,
    caller: &'a Caller,
}

impl Words<'_> {
    fn decision(&self, decided: &Decided) -> Result<DecisionDoc, Failure> {
        let (keep, reasons) = match &decided.verdict {
            Verdict::Keep(reasons) => {
                let reasons = reasons.iter().map(|keep| self.keep(keep));
                (true, reasons.collect::<Result<_, _>>()?)
            }
            Verdict::Delete { expired: Some(at) } => {
                (false, vec![reason("expired", format!("expired {at}"))])
            }
            Verdict::Delete { expired: None } => {
                (false, vec![reason("unkept", "no rule keeps it".to_owned())])
            }
        };
        let version = decided.index.to_string();
        Ok(DecisionDoc { version, index: decided.index, keep, reasons })
    }

    fn keep(&self, keep: &Keep) -> Result<ReasonDoc, Failure> {
        Ok(match keep {
            Keep::NoRules => reason("none", "no rules are set".to_owned()),
            Keep::Newest(count) => reason("keep_last", format!("newest {count}")),
            Keep::Younger(seconds) => {
                reason("younger_than", format!("younger than {}", span(*seconds)))
            }
            Keep::Alias { alias, protected: false } => reason("aliased", format!("alias {alias}")),
            Keep::Alias { alias, protected: true } => {
                reason("aliased", format!("protected alias {alias}"))
            }
            Keep::Tag(tag) => reason("tagged", format!("tag {tag}")),
            Keep::Link(link) => reason("linked", format!("link {link}")),
            Keep::Used { run, made } => {
                let run = access::visible_run(self.view, self.caller, *run)?;
                let made = access::visible_version(self.view, self.caller, *made)?;
                let text = match (run, made) {
                    (Some((run, _)), Some((made, home, _))) => {
                        format!("used by run {} → {}:{}", run.name, home.name, made.index)
                    }
                    _ => "used by a run elsewhere".to_owned(),
                };
                reason("used", text)
            }
        })
    }
}

fn reason(rule: &str, text: String) -> ReasonDoc {
    ReasonDoc { rule: rule.to_owned(), text }
}

/// A span as options take it.
fn span(seconds: u64) -> String {
    let units = [(604_800, 'w'), (86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
    let unit = units.iter().find(|(size, _)| seconds.is_multiple_of(*size) && seconds > 0);
    unit.map_or_else(|| format!("{seconds}s"), |(size, name)| format!("{}{name}", seconds / size))
}
