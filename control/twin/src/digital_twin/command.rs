//! Commands of digital twins: how they are called as direct methods, and what may be sent along.
//! - Source: IoT Plug and Play conventions: the method of a component's command is `{component}*{command}`.

use serde_json::Value;

use super::error::DigitalTwinError;
use super::is_name;
use super::model::{Command, Content, Model};
use crate::path::cut;

/// Bytes of a component's or command's name; what the newest version of the language allows.
const NAME_BYTES_MAX: usize = 512;

/// The name of the direct method that calls a command, after a look into the model if it is known.
///
/// # Errors
/// When there is no such command, or the payload is not what it takes.
pub fn command_method(
    model: Option<&Model>,
    component: Option<&str>,
    command: &str,
    payload: &Value,
) -> Result<String, DigitalTwinError> {
    let method = component.map_or_else(|| command.to_owned(), |component| format!("{component}*{command}"));
    let refuse = |why| Err(DigitalTwinError::Command { name: cut(&method, 200), why });
    let is_good = |name: &str| is_name(name) && name.len() <= NAME_BYTES_MAX;
    if !is_good(command) || !component.is_none_or(is_good) {
        return refuse("a name is a letter, then letters, digits and _, which is not last".to_owned());
    }
    let Some(model) = model else { return Ok(method) };
    match find(model, component, command).and_then(|found| check_payload(found, payload)) {
        Ok(()) => Ok(method),
        Err(why) => refuse(why),
    }
}

fn find<'a>(model: &'a Model, component: Option<&str>, command: &str) -> Result<&'a Command, String> {
    let owner = match component.map(|name| model.content(name)) {
        None => model,
        Some(Some(Content::Component(component))) => component,
        Some(_) => return Err(format!("{} has no such component", model.id())),
    };
    match owner.content(command) {
        Some(Content::Command(command)) => Ok(command),
        _ => Err(format!("{} has no such command", owner.id())),
    }
}

/// Callers send null, an empty text or an empty object where a command takes nothing.
fn check_payload(command: &Command, payload: &Value) -> Result<(), String> {
    let is_nothing = match payload {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    match &command.request {
        None if is_nothing => Ok(()),
        None => Err("the command takes no payload".to_owned()),
        Some(request) => {
            let fits = request.schema.check(payload);
            fits.map_err(|problems| format!("the payload does not fit {}: {problems}", request.name))
        }
    }
}
