-- Version 1. A released file is never edited: a change of the schema is a new file.
CREATE TABLE identity (
    device_id         TEXT    NOT NULL,
    module_id         TEXT    NOT NULL, -- empty for the device itself
    generation        INTEGER NOT NULL,
    etag              INTEGER NOT NULL,
    enabled           INTEGER NOT NULL,
    status_reason     TEXT,
    primary_key       BLOB,             -- both keys or none
    secondary_key     BLOB,
    created_ms        INTEGER NOT NULL,
    updated_ms        INTEGER NOT NULL,
    status_updated_ms INTEGER NOT NULL,
    PRIMARY KEY (device_id, module_id)
) STRICT, WITHOUT ROWID;

-- For lists of devices without their modules.
CREATE INDEX device ON identity (device_id) WHERE module_id = '';

-- AUTOINCREMENT: a number is never used twice, also after the log was trimmed.
CREATE TABLE change (
    sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id TEXT NOT NULL,
    module_id TEXT NOT NULL
) STRICT;

CREATE TRIGGER identity_inserted AFTER INSERT ON identity BEGIN
    INSERT INTO change (device_id, module_id) VALUES (new.device_id, new.module_id);
END;
CREATE TRIGGER identity_updated AFTER UPDATE ON identity BEGIN
    INSERT INTO change (device_id, module_id) VALUES (new.device_id, new.module_id);
END;
CREATE TRIGGER identity_deleted AFTER DELETE ON identity BEGIN
    INSERT INTO change (device_id, module_id) VALUES (old.device_id, old.module_id);
END;
-- Keeps the log within its bound (CHANGES_KEPT in limits.rs).
CREATE TRIGGER change_trimmed AFTER INSERT ON change BEGIN
    DELETE FROM change WHERE sequence <= new.sequence - 200000;
END;
