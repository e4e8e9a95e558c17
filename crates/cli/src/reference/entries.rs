//! The entries, in the order of the tree of verbs.

use super::Entry;

macro_rules! version_fields {
    () => {
        "`id`, `entity`, `project`, `name`, `type`, `index`, `version` (`\"v3\"`), `aliases`, `tags`, `digest`, \
         `root`, `state` (`committed`, `deleted`, `purged`), `files`, `size`, `description`, `metadata`, `ttl`, \
         `created_at`, `actor`, `run`, `provenance`, `source`, `protected` (those of its aliases that are), `expires_at`, \
         `kept_by` (what would keep it beyond that), `deleted_at`, `restorable_until`"
    };
}

const VERSIONS: &str = concat!(
    "with a name `name`, `type` and `versions`, each with ",
    version_fields!(),
    "; without a name `collections`, each with `entity`, `project`, `name`, `type`, `kind` (`sequence` or `portfolio`), \
     `description`, `ttl`, `created_at`, `retention` and `latest` (a version); without a name but with `--deleted` \
     `restorable` (versions)"
);

const SHOW: &str = concat!(
    version_fields!(),
    ", `logged_by` and `used_by` (names of runs), `origin` (`from`, `repository`) of a version that was brought"
);

macro_rules! run_fields {
    () => {
        "`id`, `entity`, `project`, `name`, `display_name`, `job_type`, `group`, `config`, `summary`, `state`, \
         `exit_code`, `started_at`, `ended_at`, `actor`, `provenance`"
    };
}

const RUN: &str = run_fields!();

const RUN_START: &str = concat!(run_fields!(), ", and `address` (as HEIRLOOM_RUN takes it)");

/// One per verb.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        verb: "artifact put",
        examples: &[
            "heirloom put images -n animals -t dataset -a best --tag small",
            "heirloom put model.h5 -n churn --as models --metadata '{\"val_acc\": 0.93}'",
            "heirloom put - -n report -t text --as report.md --ttl 30d",
        ],
        output: "the version's name, such as `animals:v3`; the rest (counts, followed links, lost modes, names that other \
                 systems refuse) goes to standard error",
        json: "`name`, `version` (`\"v3\"`), `index`, `id`, `entity`, `project`, `digest`, `created` (false when the newest \
               version had this content), `files`, `bytes`, `new_bytes` (bytes of files new to the store, uncompressed, \
               without manifest nodes), `stored_bytes` (all that was written), `links_followed`, `links_skipped`, `ignored`, \
               `lost_modes`; with `--dry-run` instead `dry_run`, `name`, `digest`, `files`, `bytes`, `would_create`, `newest`",
        exits: "1 when any file cannot be put (nothing is committed then, and all are named), 4 when a file changed while it \
                was read",
    },
    Entry {
        verb: "artifact add-ref",
        examples: &[
            "heirloom artifact add-ref https://example.org/mnist.gz -n mnist -t dataset",
            "heirloom artifact add-ref file:///data/images -n images -t dataset --as images --max-objects 50000",
        ],
        output: "as `artifact put`",
        json: "as `artifact put`",
        exits: "1 when an object cannot be looked at",
    },
    Entry {
        verb: "artifact edit",
        examples: &[
            "heirloom artifact edit animals --add new-cats=cats --remove dogs/rex.png",
            "heirloom artifact edit animals:v3 --remove train/.cache -a fixed",
            "heirloom artifact edit animals:prod --add labels.csv --if-base-moved rebase -a prod",
        ],
        output: "as `artifact put`",
        json: "as `artifact put`; `files` and `bytes` are those of the whole version",
        exits: "1 when a file cannot be put or a path to remove is not there, 4 when REF names another version once the new \
                one is ready (`base_moved`), or a file changed while it was read; nothing is committed then",
    },
    Entry {
        verb: "artifact upsert",
        examples: &[
            "heirloom artifact upsert shard-3 -n table -t dataset --distributed-id job-7",
            "heirloom artifact upsert out -n table -t dataset --on-conflict last",
        ],
        output: "the part's number in its set, from 0",
        json: "`name`, `entity`, `project`, `distributed_id`, `part`, `replaced` (true when the parts that were there under \
               this id had expired), `files`, `bytes`, `new_bytes`, `stored_bytes`, `links_followed`, `links_skipped`, \
               `ignored`, `lost_modes`",
        exits: "2 without an id and a run that has a group, 4 when the first part fixed another `--on-conflict`",
    },
    Entry {
        verb: "artifact finish",
        examples: &[
            "heirloom artifact finish -n table --distributed-id job-7 -a nightly",
            "heirloom artifact finish -n table",
        ],
        output: "as `artifact put`",
        json: "as `artifact put`; `new_bytes` is 0, and `stored_bytes` is what the merged manifest took",
        exits: "1 when there are no parts, 2 without an id, 4 when parts contradict each other (`items` names paths, digests \
                and writers; nothing is committed and the parts stay) or had expired",
    },
    Entry {
        verb: "artifact abort",
        examples: &["heirloom artifact abort -n table --distributed-id job-7"],
        output: "the id",
        json: "`dropped` (as in `artifact parts`)",
        exits: "1 when there are no parts, 2 without an id",
    },
    Entry {
        verb: "artifact parts",
        examples: &[
            "heirloom artifact parts",
            "heirloom artifact parts table --distributed-id job-7",
        ],
        output: "a table: artifact, id, state, policy, number of parts, who brought them, files, size, when the first and the \
                 last came, when they expire",
        json: "`sets`, each with `entity`, `project`, `name`, `type`, `distributed_id`, `on_conflict`, `state` (`open` or \
               `expired`), `parts`, `writers` (`run`, `actor`, `parts`), `files` and `bytes` (what several parts have counts \
               several times), `started_at`, `touched_at` (when the last part came), `expires_at`",
        exits: "",
    },
    Entry {
        verb: "artifact get",
        examples: &[
            "heirloom get animals:best",
            "heirloom get animals:v3 --root data --prefix train --exclude '*.tmp' --mirror",
            "cd $(heirloom get animals)",
        ],
        output: "the directory written into, and nothing else",
        json: "`name`, `version`, `index`, `digest`, `root`, `files`, `bytes`, `kept` (there already, verified), `written`, \
               `written_bytes`, `reflinked`, `empty_directories`, `extras` (other things below the root: kept, or with \
               `--mirror` removed), `unproven` (paths from references whose bytes no checksum proves)",
        exits: "3 when stored bytes are damaged (named; what is damaged does not appear under its name)",
    },
    Entry {
        verb: "artifact use",
        examples: &[
            "heirloom use animals:best",
            "heirloom use animals:v3 --as training-data --run vision/k3j2h1g0",
        ],
        output: "the version's name",
        json: "`run`, `asked` (the name recorded), `version` (as in `ls`)",
        exits: "2 without a run",
    },
    Entry {
        verb: "artifact ls",
        examples: &[
            "heirloom ls",
            "heirloom ls animals --json",
            "heirloom ls churn --where 'metadata.val_acc>0.9 && tags=good' --sort -metadata.val_acc",
        ],
        output: "a table: artifacts by name, or versions newest first",
        json: VERSIONS,
        exits: "",
    },
    Entry {
        verb: "artifact show",
        examples: &["heirloom artifact show animals:best"],
        output: "lines of a name and a value",
        json: SHOW,
        exits: "",
    },
    Entry {
        verb: "artifact files",
        examples: &["heirloom artifact files animals:v3 --prefix train"],
        output: "a line per entry in path order: size and path",
        json: "JSON lines: `{\"type\":\"file\",\"path\",\"size\",\"digest\"}`, `{\"type\":\"reference\",\"path\",\"uri\",\"size\"}` \
               with `etag`, `version_id`, `generation`, `final_uri`, `checksums` where known, `{\"type\":\"directory\",\"path\"}` \
               for an empty one",
        exits: "",
    },
    Entry {
        verb: "artifact cat",
        examples: &["heirloom artifact cat animals:v3 labels.csv | head"],
        output: "the file's bytes. Up to 8 MiB are verified before the first byte is printed; larger files while they stream",
        json: "as without: the file's bytes",
        exits: "3 when the bytes are damaged; what was printed by then is not to be trusted",
    },
    Entry {
        verb: "artifact diff",
        examples: &["heirloom diff animals:v0 animals:v1"],
        output: "a line per path that differs: `A` added, `M` changed, `R` renamed, `D` removed",
        json: "`from`, `to`, `added` and `removed` (each `path`, `size`), `changed` (`path`, `size_before`, `size`, `what`), \
               `renamed` (`from`, `to`, `size`), `renames_complete`",
        exits: "0 also when they differ",
    },
    Entry {
        verb: "artifact log",
        examples: &["heirloom log animals --limit 20"],
        output: "a line per event, newest first: when, who, what",
        json: "JSON lines: `type` (`event`), `seq`, `at`, `actor`, `event`, `version`, `run`, `detail`",
        exits: "",
    },
    Entry {
        verb: "artifact verify",
        examples: &[
            "heirloom artifact verify animals:v3",
            "heirloom artifact verify animals:v3 --root data",
        ],
        output: "what is damaged, missing or different, a line each; or one line that all is whole",
        json: "`ok`, `version`, and of the store `versions`, `blobs`, `bytes`, `damages` (`object`, `blob`, `what`, `versions`); \
               of a directory `root`, `same`, `bytes`, `missing`, `different`, `extra`, `unreadable`, `findings` (`what`, \
               `path`; the first 1000)",
        exits: "3 when something is damaged, missing or different; files that are merely extra do not count",
    },
    Entry {
        verb: "artifact alias",
        examples: &[
            "heirloom artifact alias churn:v8 prod",
            "heirloom artifact alias churn:v8 prod --expect v7",
            "heirloom artifact alias churn:v8 prod --protect",
        ],
        output: "nothing; a note on standard error",
        json: "`name`, `alias`, `version`",
        exits: "4 when the alias names something else than expected",
    },
    Entry {
        verb: "artifact unalias",
        examples: &["heirloom artifact unalias churn prod", "heirloom artifact unalias churn:prod"],
        output: "nothing; a note on standard error",
        json: "`name`, `alias`, `version` (null)",
        exits: "",
    },
    Entry {
        verb: "artifact tag",
        examples: &["heirloom artifact tag animals:v3 good reviewed"],
        output: "nothing; a note on standard error",
        json: "`version`, `tags` (all it has now)",
        exits: "",
    },
    Entry {
        verb: "artifact untag",
        examples: &["heirloom artifact untag animals:v3 reviewed"],
        output: "nothing; a note on standard error",
        json: "`version`, `tags` (all it has now)",
        exits: "",
    },
    Entry {
        verb: "artifact update",
        examples: &[
            "heirloom artifact update animals:v3 -d 'cats and dogs' --metadata @facts.json --ttl never",
            "heirloom artifact update animals --type dataset",
        ],
        output: "nothing; a note on standard error",
        json: "`version` (as in `ls`) or `collection` (as in `ls` without a name)",
        exits: "",
    },
    Entry {
        verb: "artifact link",
        examples: &["heirloom artifact link churn:v8 registry/churn -a production"],
        output: "the version's name in the portfolio",
        json: "the version as seen there, as in `ls`",
        exits: "",
    },
    Entry {
        verb: "artifact unlink",
        examples: &["heirloom artifact unlink registry/churn:production"],
        output: "nothing; a note on standard error",
        json: "`unlinked`",
        exits: "",
    },
    Entry {
        verb: "artifact rename",
        examples: &["heirloom artifact rename animals creatures"],
        output: "nothing; a note on standard error",
        json: "`from`, and the artifact as in `ls` without a name",
        exits: "4 when the new name is taken",
    },
    Entry {
        verb: "artifact cp",
        examples: &["heirloom artifact cp animals:v3 archive/animals"],
        output: "the copy's name",
        json: "`name`, `version`, `index`, `id`, `entity`, `project`, `digest`, `created`, `files`, `bytes`",
        exits: "",
    },
    Entry {
        verb: "artifact rm",
        examples: &[
            "heirloom rm animals:v0 --dry-run",
            "heirloom rm animals:v0 animals:v1 --delete-aliases",
            "heirloom rm animals --older-than 30d --keep-last 5",
            "heirloom rm churn --where 'metadata.val_acc<0.5' --dry-run",
            "heirloom rm animals --all-versions",
        ],
        output: "a line per version deleted, or with `--dry-run` per version that would be; what stays, what that frees and \
                 when goes to standard error",
        json: "`dry_run`, `deleted` (`name`, `link`, `held_by` (aliases dropped with it), `files`, `size`), `artifacts` (deleted \
               as a whole), `stays` (what conditions meant but something holds: `name`, `by`), `in_the_way` (with `--dry-run`: \
               why it would be refused), `restorable_until`, `freeable` (`bytes`, `shared` with other versions, `exact`: if not, \
               at most so many; null when they could not be counted)",
        exits: "1 when aliases, protection or links hold a version that is named (all are told, nothing is deleted), 2 when a \
                reference names no version, 4 when what `--where` chose kept changing",
    },
    Entry {
        verb: "artifact restore",
        examples: &[
            "heirloom artifact restore animals:v0",
            "heirloom artifact restore animals --all-versions",
        ],
        output: "the name of each version that can be read again",
        json: "`restored` (names), `made_endless` (those of them whose lifetime had ended)",
        exits: "1 when there is no such version, 2 when no number is given, 4 when it is not deleted or another artifact has the \
                name",
    },
    Entry {
        verb: "whence",
        examples: &["heirloom whence model.h5", "heirloom whence --long data/*.csv"],
        output: "a table: version, path in it, when it was logged, run, git commit, and what the run had used",
        json: "`files`: `file`, `digest`, `size`, `found` (`version` as in `ls`, `path`, `upstream`, `gone` (ids of those of them that were deleted; may be absent), \
               `provenance`)",
        exits: "1 when no version holds some file's content",
    },
    Entry {
        verb: "lineage",
        examples: &[
            "heirloom lineage churn:prod --up",
            "heirloom lineage animals:v0 --down --depth 4 --format mermaid",
            "heirloom lineage churn:prod --format openlineage",
        ],
        output: "the graph in the format asked for",
        json: "as `--format json`: `directed`, `multigraph`, `graph`, `nodes` and `links`, as `networkx.node_link_graph(…, \
               edges=\"links\")` reads it; `--format openlineage` is an array of run events",
        exits: "",
    },
    Entry {
        verb: "impact",
        examples: &["heirloom impact animals:v0 --alias prod", "heirloom impact --file bad.csv"],
        output: "a table of versions",
        json: "`from` (where it started), `versions` (`entity`, `project`, `name`, `version`, `index`, `type`, `state`, `aliases`)",
        exits: "",
    },
    Entry {
        verb: "run start",
        examples: &[
            "export HEIRLOOM_RUN=$(heirloom run start --job-type train --config '{\"epochs\": 3}')",
        ],
        output: "the run's name as HEIRLOOM_RUN takes it",
        json: RUN_START,
        exits: "",
    },
    Entry {
        verb: "run finish",
        examples: &[
            "heirloom run finish --summary '{\"val_acc\": 0.93}'",
            "heirloom run finish vision/k3j2h1g0 --exit-code 1",
        ],
        output: "nothing; a note on standard error",
        json: RUN,
        exits: "4 when the run has ended otherwise already",
    },
    Entry {
        verb: "run ls",
        examples: &["heirloom run ls --job-type train --limit 10"],
        output: "a table, newest first",
        json: "`runs`, each as in `run finish`",
        exits: "",
    },
    Entry {
        verb: "run show",
        examples: &["heirloom run show vision/k3j2h1g0"],
        output: "lines of a name and a value",
        json: "as `run finish`, with `used` and `produced` (each `version`, `at`, `asked`)",
        exits: "",
    },
    Entry {
        verb: "run exec",
        examples: &["heirloom run exec --job-type train -- python train.py --epochs 3"],
        output: "the command's own. It finds HEIRLOOM_HOME, HEIRLOOM_PROJECT and HEIRLOOM_RUN set, so that what it puts and \
                 gets becomes lineage; the run records its exit code, command line and git commit. Signals are passed on",
        json: "a JSON line on standard error at the end: `type` (`run`), `run`, `state`, `exit_code`",
        exits: "the command's; 128 and the signal's number when a signal ended it; 127 when it was not found, 126 when it could \
                not be executed",
    },
    Entry {
        verb: "retention set",
        examples: &[
            "heirloom retention set churn --keep-last 5 --younger-than 30d --aliased --tagged --used",
            "heirloom retention set churn --none",
        ],
        output: "nothing; a note on standard error",
        json: "as `retention apply --dry-run`",
        exits: "",
    },
    Entry {
        verb: "retention show",
        examples: &["heirloom retention show churn"],
        output: "as `retention apply --dry-run`",
        json: "as `retention apply --dry-run`",
        exits: "",
    },
    Entry {
        verb: "retention apply",
        examples: &["heirloom retention apply churn --dry-run", "heirloom retention apply --all"],
        output: "a table: each version, whether it stays, and why",
        json: "`artifacts`: `name`, `retention` (the rules, or null), `dry_run`, `versions` (`version`, `index`, `keep`, \
               `reasons`: each `rule`, `text`), `restorable_until`, `freeable` as in `artifact rm`",
        exits: "",
    },
    Entry {
        verb: "project ls",
        examples: &["heirloom project ls"],
        output: "a table",
        json: "`projects`: `entity`, `name`, `created_at`, `collections`, `ttl`",
        exits: "",
    },
    Entry {
        verb: "project update",
        examples: &["heirloom project update --ttl 90d --project scratch"],
        output: "nothing; a note on standard error",
        json: "`project`, as in `project ls`",
        exits: "",
    },
    Entry {
        verb: "verify",
        examples: &[
            "heirloom verify",
            "heirloom verify --sample 5%",
            "heirloom --json verify > report.json",
        ],
        output: "a line for each damaged, missing or foreign object and row of the catalog, with the versions it hurts (those \
                 that were deleted and can be restored too); else that all is whole. A healthy repository is whole while it is \
                 in use. A sample's seed and objects that `heirloom gc` will remove are told on standard error",
        json: "`ok`, `versions`, `blobs`, `bytes`, `damages` (`object`, `blob`, `what`, `versions`), `leftovers` and \
               `leftover_bytes` (objects that belong to nothing), `sample` (`per_million`, `seed`)",
        exits: "3 when anything is damaged",
    },
    Entry {
        verb: "repair",
        examples: &[
            "heirloom repair --from images --from /mnt/backup/heirloom",
            "heirloom repair --report report.json --from model.h5",
            "heirloom repair --rebuild-catalog",
            "heirloom repair --rebuild-catalog --choose animals:v3=blake3:89d27616d5fd84218ac2d2ee3d7f731928f7391f6228e8ed51999b9f7b7a09f4",
        ],
        output: "a line for each thing repaired and where its bytes came from, then what is still damaged and the versions that \
                 hurts. With `--rebuild-catalog` what was brought back, what is lost, and where the old catalog is kept",
        json: "`ok`, `found` (damages at first), `repaired` (`object`, `blob`, `from`), `left` (as the `damages` of `verify`); with \
               `--rebuild-catalog` `ok`, `projects`, `collections`, `versions`, `tombstones`, `aliases`, `runs`, `edges`, `events`, \
               `pieces`, `ambiguous` (`version`, `candidates`: `record`, `digest`, `created_at`, `actor`, `size`), `lost`, \
               `damages`, `kept`, `new_identity`, `notes`",
        exits: "3 when anything is still damaged or lost, 4 when a number is claimed by several version records: nothing has changed \
                then",
    },
    Entry {
        verb: "push",
        examples: &[
            "heirloom push animals:best --to /mnt/team/heirloom",
            "heirloom push churn --lineage --to ../other",
            "heirloom push animals --all-versions --to ../other --force-aliases",
        ],
        output: "a table: the version here, its name there, whether it was moved, bytes of files that were new there. An alias \
                 comes along unless it is there on something else than an older version of the same artifact; what stays is told \
                 on standard error",
        json: "`versions` (`id`, `from`, `to`, `created`, `deleted`, `new_bytes`, `stored_bytes`), `left_out` (upstream versions \
               that are deleted here), `runs`, `edges`, `aliases` (`alias`, `version`), `aliases_kept` (`alias`, `version`, \
               `holder`, `reason`), `new_bytes`, `stored_bytes`",
        exits: "3 when bytes are damaged where they come from, 4 when a version of the same identity has other content",
    },
    Entry {
        verb: "pull",
        examples: &["heirloom pull animals:best --from /mnt/team/heirloom"],
        output: "as `push`",
        json: "as `push`",
        exits: "as `push`",
    },
    Entry {
        verb: "admin backup",
        examples: &["heirloom admin backup /mnt/backup/heirloom"],
        output: "one line: what the backup holds, and what was copied. The repository may be in use meanwhile",
        json: "`path`, `repository`, `format`, `made_at`, `versions`, `objects`, `bytes`, `copied_objects`, `copied_bytes`, \
               `removed_objects`, `removed_bytes`",
        exits: "3 when objects are damaged: all others were copied, and an earlier backup stays what it was",
    },
    Entry {
        verb: "admin restore",
        examples: &["heirloom admin restore /mnt/backup/heirloom --home ./restored"],
        output: "as `verify`; with `--no-verify` as `admin backup`",
        json: "as `verify`; with `--no-verify` as `admin backup`",
        exits: "3 when something in the backup is damaged; all else was restored",
    },
    Entry {
        verb: "upgrade",
        examples: &["heirloom upgrade", "heirloom upgrade --backup /mnt/backup/heirloom"],
        output: "one line: the formats, and where the older one is kept (`upgrade-backup-N` in the repository's directory unless \
                 told otherwise)",
        json: "`home`, `from`, `to` (equal when there was nothing to do), `kept`",
        exits: "",
    },
    Entry {
        verb: "du",
        examples: &["heirloom du", "heirloom du --by version --project vision"],
        output: "a table, and a line for the whole. *Logical* is the sum of file sizes, *unique* what only this holds, \
                 *shared* what something else holds too",
        json: "`rows` (`name`, `versions`, `logical`, `unique`, `shared`), `logical`, `distinct`, `stored`, `objects`",
        exits: "",
    },
    Entry {
        verb: "gc",
        examples: &["heirloom gc --dry-run", "heirloom gc", "heirloom gc --grace 0"],
        output: "what was removed and rewritten, what stays and for whom, and a line for the whole. It may run at any time, \
                 beside writers, readers and other runs of itself, and be stopped at any time",
        json: "`dry_run`, `expired`, `purged`, `purged_versions`, `drafts_ended`, `freed`; `removed`, `rewritten`, `written`, \
               `orphans`, `leftovers` (each `count`, `bytes`); `kept` (`objects`, `bytes`, `versions`, `restorable`, \
               `restorable_until`, `drafts`, `live_drafts`, `parts`, `beside`); `damages` as `verify`",
        exits: "3 when damage was met: it and what depends on it stays as it is",
    },
    Entry {
        verb: "manifest dump",
        examples: &["heirloom manifest dump animals:v3 > animals.jsonl"],
        output: "JSON lines, with or without `--json`",
        json: "a line `{\"type\":\"manifest\",\"name\",\"version\",\"digest\",\"root\",\"files\",\"size\"}`, then a line per entry as \
               in `artifact files`",
        exits: "",
    },
    Entry {
        verb: "cache info",
        examples: &["heirloom cache info"],
        output: "one line",
        json: "`path`, `files`, `bytes`, `cleaned` (false)",
        exits: "",
    },
    Entry {
        verb: "cache clean",
        examples: &["heirloom cache clean"],
        output: "one line",
        json: "`path`, `files` and `bytes` that were there, `cleaned` (true)",
        exits: "",
    },
    Entry {
        verb: "init",
        examples: &["heirloom init --here --home ./store --project vision"],
        output: "where the repository is. Not needed: the first put makes one",
        json: "`home`, `created`, `project`, `settings` (the file written, or null)",
        exits: "4 when `--here` finds settings already",
    },
    Entry {
        verb: "doctor",
        examples: &["heirloom doctor"],
        output: "a line per check: `fine`, `warning` or `failed`",
        json: "`checks`: `name`, `status`, `detail`",
        exits: "1 when a check failed",
    },
    Entry {
        verb: "completions",
        examples: &[
            "heirloom completions bash > ~/.local/share/bash-completion/completions/heirloom",
        ],
        output: "a script for bash, elvish, fish, powershell or zsh",
        json: "as without: the script",
        exits: "",
    },
];
