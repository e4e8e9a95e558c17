-- Format 2: retention of collections, parts from many writers, sealed pieces of
-- the journal, and what gc looks up.

ALTER TABLE collection ADD COLUMN retention TEXT;

CREATE INDEX version_purge ON version (purge_after) WHERE state = 1;

-- state: 0 open, 1 expired.
CREATE TABLE part_set (
    id INTEGER NOT NULL PRIMARY KEY,
    project BIGINT NOT NULL REFERENCES project (id),
    name TEXT NOT NULL,
    distributed_id TEXT NOT NULL,
    artifact_type TEXT NOT NULL,
    on_conflict TEXT NOT NULL,
    state SMALLINT NOT NULL,
    expired_at BIGINT,
    created_at BIGINT NOT NULL,
    touched_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    UNIQUE (project, name, distributed_id)
);

CREATE TABLE part (
    part_set BIGINT NOT NULL REFERENCES part_set (id),
    seq BIGINT NOT NULL,
    key TEXT NOT NULL,
    root BLOB NOT NULL,
    entries BIGINT NOT NULL,
    size BIGINT NOT NULL,
    run BIGINT,
    actor TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (part_set, seq),
    UNIQUE (part_set, key)
) WITHOUT ROWID;

CREATE TABLE journal (
    project BIGINT NOT NULL REFERENCES project (id),
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (project, last)
) WITHOUT ROWID;

-- What runs used is in the journal from now on; what they had used before follows,
-- or a catalog that is rebuilt from the sealed journal would lack it.
INSERT INTO event (at, actor, kind, collection, idx, run, detail)
SELECT e.at, r.actor, 'used', v.collection, v.idx, e.run, json_object('asked', e.asked)
FROM edge e JOIN version v ON v.id = e.version JOIN run r ON r.id = e.run
WHERE e.kind = 1 ORDER BY e.at, e.run, e.version;

UPDATE meta SET value = 2 WHERE key IN ('min_reader', 'min_writer');
