-- Version 1. A released file is never edited: a change of the schema is a new file.
-- Collation "C": ids are compared byte by byte, as SQLite does.
CREATE TABLE identity (
    device_id            text     COLLATE "C" NOT NULL,
    module_id            text     COLLATE "C" NOT NULL, -- empty for the device itself
    generation           bigint   NOT NULL,
    etag                 bigint   NOT NULL,
    enabled              boolean  NOT NULL,
    status_reason        text,
    authentication       smallint NOT NULL,             -- 0 none, 1 keys, 2 thumbprints, 3 authority
    primary_key          bytea,
    secondary_key        bytea,
    primary_thumbprint   bytea,
    secondary_thumbprint bytea,
    iot_edge             boolean  NOT NULL,
    managed_by           text,
    device_scope         text,
    parent_scopes        text,                          -- one a line
    created_ms           bigint   NOT NULL,
    updated_ms           bigint   NOT NULL,
    status_updated_ms    bigint   NOT NULL,
    PRIMARY KEY (device_id, module_id)
);

-- For lists of devices without their modules.
CREATE INDEX device ON identity (device_id) WHERE module_id = '';

-- The log and its bounds. The newest number is a row's and not a sequence's: whoever counts it up holds it until its commit, so numbers
-- become visible in their order, and a follower that has seen one has seen all before it.
CREATE TABLE change (
    sequence  bigint PRIMARY KEY,
    device_id text   COLLATE "C" NOT NULL,
    module_id text   COLLATE "C" NOT NULL,
    kind      bigint NOT NULL                           -- 0 created, 1 changed, 2 deleted
);
CREATE TABLE change_bounds (oldest bigint NOT NULL, newest bigint NOT NULL);
INSERT INTO change_bounds (oldest, newest) VALUES (1, 0);

-- Keeps the log within its bound (CHANGES_KEPT in limits.rs), a thousand at a time. The oldest number is kept, because to look for it
-- in the table would mean to pass all that was deleted and not yet cleaned away: an import of a million would take minutes.
CREATE FUNCTION log_changes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    added bigint := (SELECT count(*) FROM changed);
    first bigint;
    last  bigint;
BEGIN
    IF added = 0 THEN
        RETURN NULL;
    END IF;
    UPDATE change_bounds SET newest = newest + added RETURNING oldest, newest INTO first, last;
    INSERT INTO change (sequence, device_id, module_id, kind)
        SELECT last - added + row_number() OVER (ORDER BY device_id, module_id), device_id, module_id,
               CASE TG_OP WHEN 'INSERT' THEN 0 WHEN 'UPDATE' THEN 1 ELSE 2 END FROM changed;
    IF last - first >= 201000 THEN
        DELETE FROM change WHERE sequence BETWEEN first AND last - 200000;
        UPDATE change_bounds SET oldest = last - 200000 + 1;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER identity_inserted AFTER INSERT ON identity
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION log_changes();
CREATE TRIGGER identity_updated AFTER UPDATE ON identity
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION log_changes();
CREATE TRIGGER identity_deleted AFTER DELETE ON identity
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION log_changes();

-- Owner and name are bytes: a text of PostgreSQL cannot hold every character that a name can. Room in each page: most writes
-- replace a body, and find their place beside the old one without touching the index.
CREATE TABLE document (
    collection smallint NOT NULL,
    owner      bytea    NOT NULL,
    name       bytea    NOT NULL,
    version    bigint   NOT NULL,
    body       bytea    NOT NULL,
    PRIMARY KEY (collection, owner, name)
) WITH (fillfactor = 70);

CREATE TABLE collection_revision (
    collection smallint PRIMARY KEY,
    revision   bigint   NOT NULL
);
INSERT INTO collection_revision (collection, revision) VALUES (18, 0), (19, 0), (20, 0), (26, 0);

-- With an identity goes what belongs to it: with a device all of collections 1 to 15, with a module its twin and its session.
CREATE FUNCTION delete_documents() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.module_id = '' THEN
        DELETE FROM document WHERE collection IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
            AND owner = convert_to(OLD.device_id, 'UTF8');
    ELSE
        DELETE FROM document WHERE collection IN (1, 2)
            AND owner = convert_to(OLD.device_id, 'UTF8') AND name = convert_to(OLD.module_id, 'UTF8');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER documents_deleted AFTER DELETE ON identity FOR EACH ROW EXECUTE FUNCTION delete_documents();

-- Collections that every node keeps in memory.
CREATE FUNCTION revise_collection() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE collection_revision SET revision = revision + 1
        WHERE collection = CASE WHEN TG_OP = 'DELETE' THEN OLD.collection ELSE NEW.collection END;
    RETURN NULL;
END $$;
CREATE TRIGGER document_written AFTER INSERT OR UPDATE ON document
    FOR EACH ROW WHEN (NEW.collection IN (18, 19, 20, 26)) EXECUTE FUNCTION revise_collection();
CREATE TRIGGER document_deleted AFTER DELETE ON document
    FOR EACH ROW WHEN (OLD.collection IN (18, 19, 20, 26)) EXECUTE FUNCTION revise_collection();
