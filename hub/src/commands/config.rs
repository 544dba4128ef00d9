//! `millrace config check FILE`

use anyhow::Context as _;

use crate::cli::{ConfigArguments, ConfigCommand};
use crate::config::{Config, Flags, Problem};
use crate::output::{Failure, line, remark};

pub(crate) fn run(arguments: &ConfigArguments) -> Result<(), Failure> {
    let ConfigCommand::Check { file, json } = &arguments.command;
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let problems = Config::resolve(&text, &Flags::default()).err().unwrap_or_default();
    if *json {
        line(as_json(&problems));
    } else {
        problems.iter().for_each(|problem| remark(format_args!("{}: {problem}", file.display())));
    }
    match problems.len() {
        0 => {
            if !json {
                line("the configuration is valid");
            }
            Ok(())
        }
        1 => Err(Failure::usage("1 problem")),
        count => Err(Failure::usage(format!("{count} problems"))),
    }
}

fn as_json(problems: &[Problem]) -> serde_json::Value {
    let problem = |problem: &Problem| {
        serde_json::json!({
            "line": problem.place.map(|(line, _)| line),
            "column": problem.place.map(|(_, column)| column),
            "message": problem.message,
        })
    };
    serde_json::json!({ "problems": problems.iter().map(problem).collect::<Vec<_>>() })
}
