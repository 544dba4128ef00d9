//! `millrace route test CONDITION`

use anyhow::Context as _;
use millrace_model::batch::IdentitySlot;
use millrace_model::{
    Batch, BatchBuilder, Identity, IdentityRef, MessageSource, Offset, ShardId, SystemProperty, Timestamp, bag,
};
use millrace_router::{Explanation, explain};

use crate::cli::{RouteArguments, RouteCommand, RouteTestArguments};
use crate::output::{Failure, line};

pub(crate) fn run(arguments: &RouteArguments) -> Result<(), Failure> {
    let RouteCommand::Test(test) = &arguments.command;
    let sample = sample(test)?;
    let message = sample.message(0).context("an empty sample")?;
    let explanation = explain(&test.condition, &message).map_err(|error| Failure::usage(error.to_string()))?;
    if test.json {
        line(as_json(&explanation));
    } else {
        show(&explanation);
    }
    if explanation.selected {
        Ok(())
    } else {
        Err(Failure::Failed(anyhow::anyhow!("the condition is not true for this message")))
    }
}

/// The message that the arguments describe, as a batch of one.
fn sample(test: &RouteTestArguments) -> Result<Batch, Failure> {
    let mut properties = Vec::new();
    for property in &test.property {
        let (key, value) = property
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--property {property}: KEY=VALUE is needed")))?;
        bag::push(&mut properties, key, value);
    }
    let system = [
        (SystemProperty::ContentType, &test.content_type),
        (SystemProperty::ContentEncoding, &test.content_encoding),
        (SystemProperty::MessageId, &test.message_id),
    ];
    for (property, value) in system {
        if let Some(value) = value {
            bag::push(&mut properties, property.bag_key(), value);
        }
    }
    let body = match &test.body_file {
        Some(file) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => test.body.clone().into_bytes(),
    };
    let identity = Identity::new(&IdentityRef {
        device_id: &test.device,
        module_id: test.module.as_deref(),
        generation_id: "1",
        auth_method: r#"{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#,
        model_id: None,
    });
    let identity = identity.ok_or_else(|| Failure::usage("a line feed in an id"))?;
    let mut builder = BatchBuilder::new();
    let now = Timestamp::from(std::time::SystemTime::now());
    let bags: [&[u8]; 2] = [&properties, b""];
    builder.append(&identity, &mut IdentitySlot::default(), MessageSource::Telemetry, now, bags, &body);
    Ok(builder.seal(ShardId(0), Offset(0)))
}

fn show(explanation: &Explanation) {
    for step in &explanation.steps {
        let indent = "  ".repeat(step.depth);
        let reason = step.reason.as_deref().map(|reason| format!("  ({reason})")).unwrap_or_default();
        line(format_args!("{indent}{} = {}{reason}", step.text, step.value));
    }
    line(if explanation.selected { "selected" } else { "not selected" });
}

fn as_json(explanation: &Explanation) -> serde_json::Value {
    let steps: Vec<_> = explanation
        .steps
        .iter()
        .map(|step| {
            serde_json::json!({
                "depth": step.depth, "text": step.text, "value": step.value.to_string(), "reason": step.reason,
            })
        })
        .collect();
    serde_json::json!({ "selected": explanation.selected, "steps": steps })
}
