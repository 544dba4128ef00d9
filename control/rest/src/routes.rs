//! All routes, each with the permission that its operations need.
//! - Shape: one entry for each path; a path that SDKs also write with a slash at its end, or in other letters, stands in [`ALIASES`].
//! - Invariants: a method that a path does not have gets the hub's own answer for that. Where the hub has a word in the place of an id
//!   (`/devices/query`), the POST of the path looks at it, so that a device of that name can still be read and deleted.

use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum::{Extension, Router};
use millrace_control::Permissions;
use millrace_model::HubError;

use crate::answer::Refusal;
use crate::authorization::{guarded, guarded_or_module};
use crate::limits::{
    CERTIFICATE_BODY_BYTES_MAX, COMMAND_BODY_BYTES_MAX, METHOD_BODY_BYTES_MAX, QUERY_BODY_BYTES_MAX,
    REQUEST_BODY_BYTES_MAX,
};
use crate::openapi;
use crate::request::BytesMax;
use crate::state::ServiceState;

mod bulk;
mod certificates;
mod commands;
mod configurations;
mod devices;
mod digital_twins;
mod feedback;
mod jobs;
mod methods;
mod models;
mod queries;
mod statistics;
mod transfers;
mod twins;

const READ: Permissions = Permissions::REGISTRY_READ;
const WRITE: Permissions = Permissions::REGISTRY_WRITE;
const SERVICE: Permissions = Permissions::SERVICE_CONNECT;

/// Other spellings of paths.
pub(crate) const ALIASES: [(&str, &str); 8] = [
    ("/devices", "/devices/"),
    ("/jobs", "/jobs/"),
    ("/configurations", "/configurations/"),
    ("/messages/serviceBound/feedback", "/messages/servicebound/feedback"),
    ("/messages/serviceBound/feedback/{lock}", "/messages/servicebound/feedback/{lock}"),
    ("/messages/serviceBound/feedback/{lock}/abandon", "/messages/servicebound/feedback/{lock}/abandon"),
    ("/messages/serviceBound/filenotifications", "/messages/serviceBound/fileNotifications"),
    ("/devices/{device}/messages/devicebound", "/devices/{device}/messages/deviceBound"),
];

/// The whole API, to be merged into the routers of listeners.
pub fn router(state: ServiceState) -> Router {
    let mut router = Router::new();
    for (path, methods) in table(&state) {
        for (_, alias) in ALIASES.iter().filter(|(known, _)| *known == path) {
            router = router.route(alias, answering(alias, methods.clone()));
        }
        router = router.route(path, answering(path, methods));
    }
    router.with_state(state)
}

/// Other methods get the hub's answer. The device API has a part of one of the paths, and answers for both.
fn answering(path: &str, methods: MethodRouter<ServiceState>) -> MethodRouter<ServiceState> {
    if path.eq_ignore_ascii_case("/devices/{device}/messages/devicebound") {
        return methods;
    }
    methods.fallback(|| async { Refusal(HubError::METHOD) })
}

/// Paths with what can be done there.
fn table(state: &ServiceState) -> Vec<(&'static str, MethodRouter<ServiceState>)> {
    let mut table = registry(state);
    table.extend(twin_side(state));
    table.extend(message_side(state));
    table.extend(job_side(state));
    table.extend(extensions(state));
    table
}

/// The paths, without their other spellings.
#[cfg(test)]
pub(crate) fn paths(state: &ServiceState) -> Vec<&'static str> {
    table(state).into_iter().map(|(path, _)| path).collect()
}

fn registry(state: &ServiceState) -> Vec<(&'static str, MethodRouter<ServiceState>)> {
    let of =
        |wanted, methods: MethodRouter<ServiceState>| sized(guarded(state, wanted, methods), REQUEST_BODY_BYTES_MAX);
    let queries = sized(guarded(state, SERVICE, post(queries::read)), QUERY_BODY_BYTES_MAX);
    let module = of(WRITE, put(devices::write_module).delete(devices::delete_module));
    vec![
        ("/devices", of(READ, get(devices::list)).merge(of(WRITE, post(bulk::apply)))),
        (
            "/devices/{device}",
            of(READ, get(devices::read)).merge(of(WRITE, put(devices::write).delete(devices::delete))).merge(queries),
        ),
        ("/devices/{device}/modules", of(READ, get(devices::modules))),
        ("/devices/{device}/modules/{module}", of(READ, get(devices::read_module)).merge(module)),
        ("/devices/{device}/applyConfigurationContent", of(WRITE, post(configurations::apply))),
        ("/devices/{device}/commands", guarded(state, SERVICE, delete(commands::purge))),
        ("/statistics/devices", of(READ, get(statistics::devices))),
        ("/statistics/service", of(READ, get(statistics::service))),
    ]
}

fn twin_side(state: &ServiceState) -> Vec<(&'static str, MethodRouter<ServiceState>)> {
    let of = |methods| sized(guarded(state, SERVICE, methods), REQUEST_BODY_BYTES_MAX);
    let calling = |methods| sized(guarded_or_module(state, SERVICE, methods), METHOD_BODY_BYTES_MAX);
    vec![
        ("/twins/{device}", of(get(twins::read).patch(twins::merge).put(twins::replace))),
        (
            "/twins/{device}/modules/{module}",
            of(get(twins::read_module).patch(twins::merge_module).put(twins::replace_module)),
        ),
        ("/twins/{device}/methods", calling(post(methods::call))),
        ("/twins/{device}/modules/{module}/methods", calling(post(methods::call_module))),
        ("/digitaltwins/{device}", of(get(digital_twins::read)).merge(of(patch(digital_twins::merge)))),
        ("/digitaltwins/{device}/commands/{command}", of(post(digital_twins::call))),
        ("/digitaltwins/{device}/components/{component}/commands/{command}", of(post(digital_twins::call_component))),
    ]
}

fn message_side(state: &ServiceState) -> Vec<(&'static str, MethodRouter<ServiceState>)> {
    let of = |methods| guarded(state, SERVICE, methods);
    let sent = sized(of(post(commands::send)), COMMAND_BODY_BYTES_MAX);
    vec![
        ("/devices/{device}/messages/devicebound", sent),
        ("/messages/serviceBound/feedback", of(get(feedback::receive))),
        ("/messages/serviceBound/feedback/{lock}", of(delete(feedback::complete))),
        ("/messages/serviceBound/feedback/{lock}/abandon", of(post(feedback::abandon))),
        ("/messages/serviceBound/filenotifications", of(get(feedback::receive_file))),
        ("/messages/serviceBound/filenotifications/{lock}", of(delete(feedback::complete_file))),
        ("/messages/serviceBound/filenotifications/{lock}/abandon", of(post(feedback::abandon_file))),
    ]
}

fn job_side(state: &ServiceState) -> Vec<(&'static str, MethodRouter<ServiceState>)> {
    let of =
        |wanted, methods: MethodRouter<ServiceState>| sized(guarded(state, wanted, methods), REQUEST_BODY_BYTES_MAX);
    let configuration = of(WRITE, put(configurations::write).delete(configurations::delete));
    vec![
        ("/jobs", of(READ, get(transfers::list))),
        (
            "/jobs/{job}",
            of(READ, get(transfers::read)).merge(of(WRITE, post(transfers::create).delete(transfers::cancel))),
        ),
        ("/jobs/v2/{job}", of(SERVICE, get(jobs::read).put(jobs::create))),
        ("/jobs/v2/{job}/cancel", of(SERVICE, post(jobs::cancel))),
        ("/configurations", of(READ, get(configurations::list))),
        (
            "/configurations/{configuration}",
            of(READ, get(configurations::read).post(configurations::test)).merge(configuration),
        ),
    ]
}

fn extensions(state: &ServiceState) -> Vec<(&'static str, MethodRouter<ServiceState>)> {
    let of =
        |wanted, methods: MethodRouter<ServiceState>| sized(guarded(state, wanted, methods), REQUEST_BODY_BYTES_MAX);
    let written = |methods| sized(guarded(state, WRITE, methods), CERTIFICATE_BODY_BYTES_MAX);
    vec![
        ("/models", of(SERVICE, get(models::list)).merge(of(WRITE, post(models::add)))),
        ("/models/{model}", of(SERVICE, get(models::read)).merge(of(WRITE, delete(models::delete)))),
        ("/certificates", of(READ, get(certificates::list))),
        (
            "/certificates/{certificate}",
            of(READ, get(certificates::read)).merge(written(put(certificates::write).delete(certificates::delete))),
        ),
        ("/certificates/{certificate}/generateVerificationCode", written(post(certificates::generate_code))),
        ("/certificates/{certificate}/verify", written(post(certificates::verify))),
        ("/openapi.json", get(openapi::read)),
    ]
}

fn sized(methods: MethodRouter<ServiceState>, bytes_max: usize) -> MethodRouter<ServiceState> {
    let methods: MethodRouter<ServiceState> = methods.layer(DefaultBodyLimit::max(bytes_max));
    methods.layer(Extension(BytesMax(bytes_max)))
}
