//! The commands: `help` reads all examples, `registry` works on identities in a data directory and through a hub, `calls` compares what is
//! sent with what the API wants, over a hub that answers what it was told to, `whole` and `provisioning` work with the whole API.

use std::io;

use clap::{CommandFactory, Parser};

use crate::{Context, OperatorCommand, OperatorError, Outcome, Presenter};

mod calls;
mod fake;
mod help;
mod provisioning;
mod registry;
mod whole;

pub(crate) const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

/// The command line, as the program has it.
#[derive(Debug, Parser)]
#[command(name = "millrace")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: OperatorCommand,
}

/// Reads a command line.
pub(crate) fn parsed(arguments: &[&str]) -> Result<OperatorCommand, clap::Error> {
    Cli::try_parse_from(["millrace"].iter().chain(arguments)).map(|cli| cli.command)
}

/// Runs a command line; answers what it showed.
pub(crate) async fn run(arguments: &[&str], service: Option<&str>, input: &str) -> Result<Vec<Outcome>, OperatorError> {
    let mut shown = Vec::new();
    let mut show = |outcome| -> io::Result<()> {
        shown.push(outcome);
        Ok(())
    };
    let context = Context { service, input: &mut input.as_bytes(), progress: &mut |_| {}, show: &mut show };
    crate::run(parsed(arguments).unwrap(), context).await?;
    Ok(shown)
}

/// What standard output and standard error would hold, in a pipe.
pub(crate) fn written(outcomes: Vec<Outcome>, json: bool) -> (String, String) {
    let mut presenter = Presenter::new(json, false);
    let shown: Vec<_> = outcomes.into_iter().map(|outcome| presenter.present(outcome)).collect();
    let output = shown.iter().map(|shown| shown.output.as_str()).collect();
    (output, shown.into_iter().flat_map(|shown| shown.remarks).collect::<Vec<_>>().join("\n"))
}

#[test]
fn arguments_are_well_formed() {
    Cli::command().debug_assert();
    let parse = |text: &str| parsed(&text.split(' ').collect::<Vec<_>>());
    let secret = parse("device create d --key c2VjcmV0 --hub http://h --service c2VjcmV0").unwrap();
    assert!(!format!("{secret:?}").contains("c2VjcmV0"));
    for bad in [
        "device create d --key a --x509-ca",
        "device create d --x509-thumbprint xyz",
        "twin update d",
        "method call d m --timeout 4",
        "method call d m --connect-timeout 301",
        "command send d x --property =v",
        "command send d x --property kv",
        "command send d x --ack often",
        "command send d x --expires soon",
        "enrollment create r --key a --x509-certificate f",
        "enrollment derive-key r",
        "job show j --top 3",
        "device list --service a --service-file b",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
