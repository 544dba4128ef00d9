//! `millrace cert`
//! - Source: routes of ours: `GET /certificates`, `GET`, `PUT` and `DELETE /certificates/{name}`,
//!   `POST /certificates/{name}/generateVerificationCode` and `/verify`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::service::{Audience, Call, path};
use crate::table::{Cell, Columns, Rows};
use crate::target::Target;

const COLUMNS: Columns = Columns::Fixed(&[
    ("NAME", Cell::At("/name")),
    ("KIND", Cell::At("/kind")),
    ("STATUS", Cell::Flag("/isVerified", "verified", "unverified")),
    ("EXPIRY", Cell::At("/expiry")),
    ("SUBJECT", Cell::At("/subject")),
    ("THUMBPRINT", Cell::At("/thumbprint")),
]);

/// What can be asked about certificates.
#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// Add an authority's certificate. Its devices may connect once it is verified.
    #[command(after_help = "\
Examples:
  millrace cert add works-ca ca.pem --data-dir ./data                   then: cert code, cert verify
  millrace cert add works-ca ca.pem --verified --data-dir ./data        you vouch that its key is in good hands")]
    Add {
        /// A name for it.
        #[arg(value_name = "NAME")]
        name: String,
        /// The certificate, PEM; `-` reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// It needs no proof of possession.
        #[arg(long)]
        verified: bool,
        /// Replace the one of that name.
        #[arg(long)]
        replace: bool,
    },
    /// List certificates and revocation lists.
    #[command(after_help = "\
Examples:
  millrace cert list --data-dir ./data")]
    List,
    /// Show a certificate or a revocation list.
    #[command(after_help = "\
Examples:
  millrace cert show works-ca --json --data-dir ./data")]
    Show {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Make a new code and print it: the proof of possession is a certificate with this code as common name, signed with the authority's key.
    #[command(after_help = "\
Examples:
  millrace cert code works-ca --data-dir ./data")]
    Code {
        /// Name of the certificate.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Verify an authority by its proof of possession.
    #[command(after_help = "\
Examples:
  millrace cert verify works-ca proof.pem --data-dir ./data")]
    Verify {
        /// Name of the certificate.
        #[arg(value_name = "NAME")]
        name: String,
        /// The proof, PEM; `-` reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Delete a certificate or a revocation list.
    #[command(after_help = "\
Examples:
  millrace cert delete works-ca --data-dir ./data")]
    Delete {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Add a revocation list of an authority, or replace it: certificates in it no longer let devices in.
    #[command(after_help = "\
Examples:
  millrace cert revoke works-revoked works.crl.pem --data-dir ./data")]
    Revoke {
        /// A name for the list, which is not that of a certificate.
        #[arg(value_name = "NAME")]
        name: String,
        /// The list, PEM; `-` reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(super) async fn run(
    command: CertificateCommand,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let place = |name: &str| path(&["certificates", name]);
    match command {
        CertificateCommand::Add { name, file, verified, replace } => {
            let body = json!({ "certificate": context.text_file(&file)?, "isVerified": verified });
            let client = target.client(context, Audience::Hub)?;
            let call = client.put(&place(&name)?).json(&body);
            show(if replace { call.if_match("*") } else { call }, context).await
        }
        CertificateCommand::List => {
            let found: Vec<Value> =
                target.client(context, Audience::Hub)?.get("/certificates").send(&[200]).await?.json()?;
            context.show(Outcome::Rows(Rows::all(COLUMNS, found)))
        }
        CertificateCommand::Show { name } => {
            let client = target.client(context, Audience::Hub)?;
            show(client.get(&place(&name)?), context).await
        }
        CertificateCommand::Code { name } => {
            let client = target.client(context, Audience::Hub)?;
            let call = client.post(&format!("{}/generateVerificationCode", place(&name)?));
            let answer: Value = call.send(&[200]).await?.json()?;
            let code = answer.get("verificationCode").and_then(Value::as_str).ok_or(OperatorError::Answer)?;
            context.show(Outcome::Secret(crate::table::plain(code).into()))
        }
        CertificateCommand::Verify { name, file } => {
            let body = json!({ "certificate": context.text_file(&file)? });
            let client = target.client(context, Audience::Hub)?;
            show(client.post(&format!("{}/verify", place(&name)?)).json(&body), context).await
        }
        CertificateCommand::Delete { name } => {
            let client = target.client(context, Audience::Hub)?;
            client.delete(&place(&name)?).if_match("*").send(&[200, 204]).await?;
            context.done(format!("deleted {name}"))
        }
        CertificateCommand::Revoke { name, file } => {
            let body = json!({ "revocationList": context.text_file(&file)? });
            let client = target.client(context, Audience::Hub)?;
            show(client.put(&place(&name)?).if_match("*").json(&body), context).await
        }
    }
}

/// Sends a call and shows the certificate that it answers.
async fn show(call: Call<'_>, context: &mut Context<'_>) -> Result<(), OperatorError> {
    let found = call.send(&[200, 201]).await?.json()?;
    context.show(Outcome::Rows(Rows::single(COLUMNS, found)))
}
