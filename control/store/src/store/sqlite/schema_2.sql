-- Version 2: certificates, IoT Edge, and documents.
ALTER TABLE identity ADD COLUMN authentication INTEGER NOT NULL DEFAULT 1; -- 0 none, 1 keys, 2 thumbprints, 3 authority
ALTER TABLE identity ADD COLUMN primary_thumbprint BLOB;
ALTER TABLE identity ADD COLUMN secondary_thumbprint BLOB;
ALTER TABLE identity ADD COLUMN iot_edge INTEGER NOT NULL DEFAULT 0;
ALTER TABLE identity ADD COLUMN managed_by TEXT;
ALTER TABLE identity ADD COLUMN device_scope TEXT;
ALTER TABLE identity ADD COLUMN parent_scopes TEXT;                        -- one a line
UPDATE identity SET authentication = 0 WHERE primary_key IS NULL;

-- With row ids: a body of up to 4,000 bytes lies in its page, whereas the key's own tree would cut it at 1,000.
CREATE TABLE document (
    collection INTEGER NOT NULL,
    owner      TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    body       BLOB    NOT NULL,
    PRIMARY KEY (collection, owner, name)
) STRICT;

CREATE TABLE collection_revision (
    collection INTEGER PRIMARY KEY,
    revision   INTEGER NOT NULL
) STRICT;
INSERT INTO collection_revision (collection, revision) VALUES (18, 0), (19, 0), (20, 0), (26, 0);

-- With an identity goes what belongs to it: with a device all of collections 1 to 15, with a module its twin and its session.
CREATE TRIGGER device_documents_deleted AFTER DELETE ON identity WHEN old.module_id = '' BEGIN
    DELETE FROM document WHERE collection IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) AND owner = old.device_id;
END;
CREATE TRIGGER module_documents_deleted AFTER DELETE ON identity WHEN old.module_id <> '' BEGIN
    DELETE FROM document WHERE collection IN (1, 2) AND owner = old.device_id AND name = old.module_id;
END;

-- Collections that every node keeps in memory.
CREATE TRIGGER document_inserted AFTER INSERT ON document WHEN new.collection IN (18, 19, 20, 26) BEGIN
    UPDATE collection_revision SET revision = revision + 1 WHERE collection = new.collection;
END;
CREATE TRIGGER document_updated AFTER UPDATE ON document WHEN new.collection IN (18, 19, 20, 26) BEGIN
    UPDATE collection_revision SET revision = revision + 1 WHERE collection = new.collection;
END;
CREATE TRIGGER document_deleted AFTER DELETE ON document WHEN old.collection IN (18, 19, 20, 26) BEGIN
    UPDATE collection_revision SET revision = revision + 1 WHERE collection = old.collection;
END;

-- What each change was, for those who announce them.
ALTER TABLE change ADD COLUMN kind INTEGER NOT NULL DEFAULT 1; -- 0 created, 1 changed, 2 deleted
DROP TRIGGER identity_inserted;
DROP TRIGGER identity_updated;
DROP TRIGGER identity_deleted;
CREATE TRIGGER identity_inserted AFTER INSERT ON identity BEGIN
    INSERT INTO change (device_id, module_id, kind) VALUES (new.device_id, new.module_id, 0);
END;
CREATE TRIGGER identity_updated AFTER UPDATE ON identity BEGIN
    INSERT INTO change (device_id, module_id, kind) VALUES (new.device_id, new.module_id, 1);
END;
CREATE TRIGGER identity_deleted AFTER DELETE ON identity BEGIN
    INSERT INTO change (device_id, module_id, kind) VALUES (old.device_id, old.module_id, 2);
END;
