-- Format 1 of the catalog. Digests and ids of blobs are raw bytes, times are
-- microseconds since 1970, lifetimes are seconds (NULL inherit, -1 for ever).

CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('schema', 1), ('min_reader', 1), ('min_writer', 1), ('epoch', 0);

CREATE TABLE migration (
    number INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum BLOB NOT NULL
);

CREATE TABLE project (
    id INTEGER NOT NULL PRIMARY KEY,
    entity TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ttl BIGINT,
    UNIQUE (entity, name)
);

CREATE TABLE collection (
    id INTEGER NOT NULL PRIMARY KEY,
    project BIGINT NOT NULL REFERENCES project (id),
    name TEXT NOT NULL,
    artifact_type TEXT NOT NULL,
    kind SMALLINT NOT NULL,
    description TEXT,
    ttl BIGINT,
    next_index BIGINT NOT NULL,
    last_record BLOB,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT,
    checksum BLOB NOT NULL
);
CREATE UNIQUE INDEX collection_name ON collection (project, name) WHERE deleted_at IS NULL;

CREATE TABLE redirect (
    project BIGINT NOT NULL REFERENCES project (id),
    old TEXT NOT NULL,
    target BIGINT NOT NULL REFERENCES collection (id),
    PRIMARY KEY (project, old)
) WITHOUT ROWID;

CREATE TABLE version (
    id INTEGER NOT NULL PRIMARY KEY,
    collection BIGINT NOT NULL REFERENCES collection (id),
    idx BIGINT NOT NULL,
    digest BLOB NOT NULL,
    root BLOB NOT NULL,
    entries BIGINT NOT NULL,
    size BIGINT NOT NULL,
    description TEXT,
    metadata TEXT,
    ttl BIGINT,
    created_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    run BIGINT,
    provenance TEXT NOT NULL,
    record BLOB NOT NULL,
    attachments BLOB NOT NULL,
    state SMALLINT NOT NULL,
    deleted_at BIGINT,
    purge_after BIGINT,
    checksum BLOB NOT NULL
);
CREATE INDEX version_digest ON version (digest);

CREATE TABLE membership (
    collection BIGINT NOT NULL REFERENCES collection (id),
    idx BIGINT NOT NULL,
    version BIGINT NOT NULL REFERENCES version (id),
    created_at BIGINT NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (collection, idx)
) WITHOUT ROWID;
CREATE INDEX membership_version ON membership (version);

CREATE TABLE alias (
    collection BIGINT NOT NULL,
    alias TEXT NOT NULL,
    idx BIGINT NOT NULL,
    protected SMALLINT NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (collection, alias),
    FOREIGN KEY (collection, idx) REFERENCES membership (collection, idx)
) WITHOUT ROWID;
CREATE INDEX alias_idx ON alias (collection, idx);

CREATE TABLE tag (
    version BIGINT NOT NULL REFERENCES version (id),
    tag TEXT NOT NULL,
    PRIMARY KEY (version, tag)
) WITHOUT ROWID;

CREATE TABLE run (
    id INTEGER NOT NULL PRIMARY KEY,
    project BIGINT NOT NULL REFERENCES project (id),
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    job_type TEXT,
    run_group TEXT,
    config TEXT,
    summary TEXT,
    state TEXT NOT NULL,
    exit_code BIGINT,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    actor TEXT NOT NULL,
    provenance TEXT NOT NULL,
    UNIQUE (project, name)
);
CREATE INDEX run_started ON run (project, started_at, id);

-- kind: 0 produced, 1 used.
CREATE TABLE edge (
    run BIGINT NOT NULL REFERENCES run (id),
    kind SMALLINT NOT NULL,
    version BIGINT NOT NULL REFERENCES version (id),
    at BIGINT NOT NULL,
    asked TEXT,
    PRIMARY KEY (run, kind, version)
) WITHOUT ROWID;
CREATE INDEX edge_version ON edge (version, kind, run);

CREATE TABLE event (
    seq INTEGER NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL,
    collection BIGINT NOT NULL REFERENCES collection (id),
    idx BIGINT,
    run BIGINT,
    detail TEXT NOT NULL
);
CREATE INDEX event_collection ON event (collection, seq);

CREATE TABLE operation (
    key TEXT NOT NULL PRIMARY KEY,
    request BLOB NOT NULL,
    answer TEXT NOT NULL,
    at BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE draft (
    id INTEGER NOT NULL PRIMARY KEY,
    project BIGINT NOT NULL REFERENCES project (id),
    name TEXT NOT NULL,
    base BIGINT,
    actor TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    epoch BIGINT NOT NULL
);

-- key: one byte, 0 whole or 1 pack, and the id. state: 0 live, 1 condemned, 2
-- being deleted. Locations and leases name the number: it is short, and theirs
-- are the tables with many rows.
CREATE TABLE object (
    number INTEGER NOT NULL PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    size BIGINT NOT NULL,
    state SMALLINT NOT NULL,
    state_epoch BIGINT NOT NULL,
    claimed_epoch BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE lease (
    draft BIGINT NOT NULL REFERENCES draft (id),
    object BIGINT NOT NULL REFERENCES object (number),
    PRIMARY KEY (draft, object)
) WITHOUT ROWID;
CREATE INDEX lease_object ON lease (object);

-- scope and object exist: that is checked once per batch, not per row.
CREATE TABLE location (
    scope BIGINT NOT NULL,
    digest BLOB NOT NULL,
    object BIGINT NOT NULL,
    position BIGINT NOT NULL,
    stored BIGINT NOT NULL,
    raw BIGINT NOT NULL,
    codec SMALLINT NOT NULL,
    kind SMALLINT NOT NULL,
    PRIMARY KEY (scope, digest, object)
) WITHOUT ROWID;
CREATE INDEX location_object ON location (object, scope, digest);
