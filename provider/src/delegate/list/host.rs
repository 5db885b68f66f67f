//! Delegates that are services of a machine: those in the folder where installations are put that name none.

use tokio_util::sync::CancellationToken;

use super::Found;
use crate::data::ProviderData;
use crate::delegate::model::Ssh;
use crate::delegate::place::told_of_machine;
use crate::delegate::spec::access;
use crate::framework::diagnostics::Diagnostics;
use crate::install::host::Machine;

pub(super) async fn find(
    ssh: Option<&Ssh>,
    provider: &ProviderData,
    stop: &CancellationToken,
) -> Result<Vec<Found>, Diagnostics> {
    let told = |error| told_of_machine(&error);
    let machine = Machine::reach(ssh.map(access).as_ref(), &provider.ssh, stop)
        .await
        .map_err(told)?;
    let names = machine.installed(stop).await.map_err(told)?;
    let place = machine.name();
    let found = names.into_iter().map(|name| Found {
        id: format!("host/{place}/{name}"),
        display_name: match ssh {
            None => name,
            Some(_) => format!("{name} on {place}"),
        },
    });
    Ok(found.collect())
}
