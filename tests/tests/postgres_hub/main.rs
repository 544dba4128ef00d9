//! Hubs on PostgreSQL: everything that a hub on SQLite does, an outage of the database, and two nodes on one database.

mod exchange;
mod nodes;
mod outage;
mod single;
