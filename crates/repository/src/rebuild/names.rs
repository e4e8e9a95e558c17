//! What the sealed journal says of projects and collections.

use std::collections::{BTreeMap, HashMap, HashSet};

use heirloom_api::RebuildReport;
use heirloom_catalog::{CollectionRow, ProjectRow};
use heirloom_core::{
    ArtifactName, CollectionId, EntityName, ProjectId, ProjectName, Timestamp, Ttl, VersionIndex,
};
use heirloom_manifest::BlobId;

use super::RebuildProgress;
use super::chain::Known;
use super::index::{EVERYTHING, Found, bad};
use crate::Environment;
use crate::journal::Piece;
use crate::problem::Failure;
use crate::read::Nodes;

/// A project's name.
type Owner = (EntityName, ProjectName);

/// Projects and collections as they are known so far.
#[derive(Default)]
pub(super) struct Names {
    /// The pieces that count, in the order in which their events happened.
    pub(super) pieces: Vec<BlobId>,
    pub(super) projects: BTreeMap<Owner, ProjectRow>,
    pub(super) collections: BTreeMap<CollectionId, CollectionRow>,
    pub(super) redirects: BTreeMap<(ProjectId, String), (ArtifactName, Option<CollectionId>)>,
    pub(super) known: HashMap<CollectionId, Known>,
    generation: u64,
}

/// A piece's place in its chain.
struct Link {
    id: BlobId,
    owner: Owner,
    generation: u64,
    previous: Option<BlobId>,
    first: u64,
    last: u64,
}

impl Names {
    /// Reads the journal.
    pub(super) fn read(
        found: &Found,
        env: &dyn Environment,
        report: &mut RebuildReport,
        progress: &mut RebuildProgress<'_>,
    ) -> Result<Self, Failure> {
        let mut links = Vec::new();
        for id in &found.pieces {
            match piece(found, id) {
                Ok(piece) => links.push(Link {
                    id: *id,
                    owner: (piece.entity.clone(), piece.project.clone()),
                    generation: piece.generation,
                    previous: piece.previous,
                    first: piece.first(),
                    last: piece.last(),
                }),
                Err(what) => report.damages.push(bad("journal".to_owned(), Some(*id), what)),
            }
            progress("journal", links.len() as u64);
        }
        let mut names = Self {
            generation: links.iter().map(|link| link.generation).max().unwrap_or(0),
            pieces: in_order(&links, report),
            ..Self::default()
        };
        report.pieces = names.pieces.len() as u64;
        for id in names.pieces.clone() {
            if let Ok(piece) = piece(found, &id) {
                names.learn(piece, env);
            }
        }
        Ok(names)
    }

    /// The newest generation of the journal; 0 without one.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    fn learn(&mut self, piece: Piece, env: &dyn Environment) {
        let project = self.project(&piece.entity, &piece.project, piece.created_at, env);
        if let Some(row) = self.projects.get_mut(&(piece.entity, piece.project)) {
            row.created_at = piece.created_at;
            row.ttl = piece.ttl;
        }
        for row in piece.collections {
            let known = self.known.entry(row.id).or_default();
            known.next = row.next_index.get();
            known.last = row.last_record;
            self.collections.insert(row.id, CollectionRow { project, ..row });
        }
        for (name, to) in piece.redirects {
            self.redirects.insert((project, name.as_str().to_owned()), (name, to));
        }
        for version in piece.versions {
            let known = self.known.entry(version.row.collection).or_default();
            known.at.insert(version.row.index.get(), version.row.record);
        }
    }

    /// The id of a project, which is made when it was not known.
    pub(super) fn project(
        &mut self,
        entity: &EntityName,
        name: &ProjectName,
        at: Timestamp,
        env: &dyn Environment,
    ) -> ProjectId {
        let owner = (entity.clone(), name.clone());
        self.projects
            .entry(owner)
            .or_insert_with(|| ProjectRow {
                id: ProjectId((env.random() >> 1) as i64),
                entity: entity.clone(),
                name: name.clone(),
                created_at: at,
                ttl: Ttl::Inherit,
            })
            .id
    }

    /// `entity/project/name:vN`.
    pub(super) fn version(&self, collection: CollectionId, index: u64) -> String {
        let index = VersionIndex::new(index);
        let Some(row) = self.collections.get(&collection) else {
            return format!("{collection}:{index}");
        };
        match self.projects.values().find(|project| project.id == row.project) {
            Some(project) => format!("{}/{}/{}:{index}", project.entity, project.name, row.name),
            None => format!("{}:{index}", row.name),
        }
    }

    /// Gives collections that claim one name each a name of its own: the one made
    /// last keeps it. Old names lead nowhere where a collection has them.
    pub(super) fn settle(&mut self, report: &mut RebuildReport) {
        let mut order: Vec<(Timestamp, CollectionId)> = self
            .collections
            .values()
            .filter(|row| row.deleted_at.is_none())
            .map(|row| (row.created_at, row.id))
            .collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        let mut taken: HashSet<(ProjectId, ArtifactName)> = HashSet::new();
        for (_, id) in order {
            let Some(row) = self.collections.get_mut(&id) else { continue };
            let mut number = 2;
            let before = row.name.clone();
            while !taken.insert((row.project, row.name.clone())) {
                let Ok(name) = ArtifactName::new(&format!("{before}-{number}")) else { break };
                row.name = name;
                number += 1;
            }
            if row.name != before {
                report.notes.push(format!(
                    "two artifacts were named {before}; the older one is now {}",
                    row.name
                ));
            }
        }
        self.redirects.retain(|(project, _), (name, to)| {
            to.is_some_and(|to| self.collections.contains_key(&to))
                && !taken.contains(&(*project, name.clone()))
        });
    }
}

/// A piece, or why there is none.
pub(super) fn piece(found: &Found, id: &BlobId) -> Result<Piece, String> {
    let bytes = Nodes::new(&found.inner, EVERYTHING).blob(id).map_err(|problem| problem.message)?;
    Piece::decode(&bytes).map_err(|error| error.to_string())
}

/// Of each project the chain that ends last, of its newest generation; of all
/// projects together the pieces by their last events.
fn in_order(links: &[Link], report: &mut RebuildReport) -> Vec<BlobId> {
    let by_id: HashMap<BlobId, &Link> = links.iter().map(|link| (link.id, link)).collect();
    let mut heads: BTreeMap<&Owner, &Link> = BTreeMap::new();
    for link in links {
        let rank = |link: &Link| (link.generation, link.last, link.id);
        let head = heads.entry(&link.owner).or_insert(link);
        if rank(head) < rank(link) {
            *head = link;
        }
    }
    let mut chosen: Vec<&Link> = Vec::new();
    for ((entity, project), head) in heads {
        let mut at = head;
        chosen.push(at);
        while let Some(previous) = at.previous {
            match by_id.get(&previous) {
                Some(before) => {
                    at = before;
                    chosen.push(at);
                }
                None => {
                    report.notes.push(format!(
                        "the journal of {entity}/{project} before event {} is lost",
                        at.first
                    ));
                    // What is older and still there is better than nothing.
                    let older = links.iter().filter(|link| {
                        link.owner == head.owner
                            && link.generation == head.generation
                            && link.last < at.first
                    });
                    match older.max_by_key(|link| (link.last, link.id)) {
                        Some(older) => {
                            at = older;
                            chosen.push(at);
                        }
                        None => break,
                    }
                }
            }
        }
    }
    chosen.sort_unstable_by_key(|link| (link.last, link.id));
    chosen.iter().map(|link| link.id).collect()
}
