//! `harness-delegate token`: the delegate tokens of a manager.

use std::process::ExitCode;

use super::api::{Access, Api, Failure, print, print_json, run_verb, say, segment, table};
use crate::protocol::api::{CreateToken, TokenList, TokenView};

/// Delegate tokens of a manager.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a token and print its value, as DELEGATE_TOKEN takes it.
    Create(Create),
    /// List the tokens, without their values.
    List(List),
    /// Revoke a token: delegates that use it are refused from now on.
    Revoke(Revoke),
}

#[derive(clap::Args)]
pub(super) struct Create {
    /// Name of the token.
    name: String,
    /// When it shall revoke itself, such as 2030-01-31T00:00:00Z.
    #[arg(long)]
    revoke_after: Option<jiff::Timestamp>,
    #[command(flatten)]
    access: Access,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    access: Access,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Revoke {
    /// Name of the token.
    name: String,
    #[command(flatten)]
    access: Access,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(command: Command) -> ExitCode {
    match command {
        Command::Create(args) => run_verb(create(args)),
        Command::List(args) => run_verb(list(args)),
        Command::Revoke(args) => run_verb(revoke(args)),
    }
}

async fn create(args: Create) -> Result<ExitCode, Failure> {
    let api = Api::new(args.access)?;
    let asked = CreateToken {
        name: args.name,
        revoke_after: args.revoke_after,
    };
    let token: TokenView = api.post("/tokens", &asked).await?;
    if args.json {
        print_json(&token)?;
    } else {
        say(&format_args!("Made the token {:?}. Its value:", token.name));
        print(&format!("{}\n", token.value.unwrap_or_default()))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: List) -> Result<ExitCode, Failure> {
    let api = Api::new(args.access)?;
    let reply: TokenList = api.get("/tokens", &[]).await?;
    if args.json {
        print_json(&reply)?;
        return Ok(ExitCode::SUCCESS);
    }
    let time = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    let rows: Vec<_> = reply
        .tokens
        .into_iter()
        .map(|token| {
            [
                token.name,
                token.status,
                time(token.created_at),
                token.revoke_after.map(time).unwrap_or_default(),
            ]
        })
        .collect();
    print(&table(["NAME", "STATUS", "CREATED", "REVOKES ITSELF"], &rows))?;
    Ok(ExitCode::SUCCESS)
}

async fn revoke(args: Revoke) -> Result<ExitCode, Failure> {
    let api = Api::new(args.access)?;
    let path = format!("/tokens/{}/revoke", segment(&args.name));
    let token: TokenView = api.post(&path, &serde_json::json!({})).await?;
    if args.json {
        print_json(&token)?;
    } else {
        say(&format_args!(
            "Revoked the token {:?}; delegates that use it are refused from now on.",
            token.name
        ));
    }
    Ok(ExitCode::SUCCESS)
}
